// ExecutorProcesses: an ExecutorPool whose executors are processes on this machine, one for each
// executor and attempt, that connect to it over loopback; with TLS where the start message names
// the files for it, to each other as well.
//
//   Start     makes the processes; each connects, says Hello and loads the job
//   started   when all have said Hello
//   lost      a process that ended before it said Canceled, or did not say Hello in time; its
//             crash, if it left one, and how it ended
//   Cancel    a process that does not answer in time is killed
//
// An attempt's processes are gone before the next one's are started.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/environment.h"
#include "runtime/event_loop.h"
#include "runtime/executor_pool.h"
#include "runtime/net/connection.h"
#include "runtime/net/doorkeeper.h"
#include "runtime/net/network_thread.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

struct ExecutorProcessOptions {
  std::string program;           // "weir": run as `weir executor`, it reads ExecutorStart from 3
  runtime::ExecutorStart start;  // what is the same for all
  std::vector<std::string> parts = {""};  // of the job; each has as many executors as the others
  std::string folder;                     // for the local state of all of them
  std::vector<int> descriptors;           // held by the processes as long as they live
};

class ExecutorProcesses final : public ExecutorPool {
 public:
  // Begins to listen. `log` is called on the loop's thread, a line for people.
  static StatusOr<std::unique_ptr<ExecutorProcesses>> Listen(
      EventLoop& loop, Environment& env, ExecutorProcessOptions options, Events events,
      std::function<void(std::string_view)> log);
  ~ExecutorProcesses() override;

  void Start(uint32_t attempt, int executors) override;
  void Send(int executor, const runtime::ToExecutor& message) override;
  void AskProgress() override;

 private:
  struct Member {
    ChildProcess process;
    std::string crash_file;
    uint64_t connection = 0;  // 0: has not said Hello
    std::string address;
    bool canceled = false;  // said so
    bool over = false;      // lost, or gone after it said Canceled
    int64_t deadline = 0;   // of what it is to do next; 0: none
    std::string late;       // what it has not done by then
  };
  // A connection that has proved to belong to an attempt.
  struct Peer {
    std::unique_ptr<Connection> connection;
    int executor = -1;  // -1: its Hello has not been looked at
  };

  ExecutorProcesses(EventLoop& loop, Environment& env, ExecutorProcessOptions options,
                    Events events, std::function<void(std::string_view)> log);
  StatusOr<ChildProcess> StartProcess(int executor, int executors, const std::string& secret,
                                      const std::string& crash_file);
  StatusOr<Connection::Callbacks> Greet(const Frame& first,
                                        std::unique_ptr<Connection>& connection);
  void OnArrival(uint64_t peer, const runtime::ExecutorHello& hello);
  void OnFrame(uint64_t peer, const Frame& frame);
  Status OnHello(uint64_t peer, const runtime::ExecutorHello& hello);
  void OnClosed(uint64_t peer, const Status& why);
  // The end of a member, by itself or because it is ended here.
  void End(int executor, const Status& why, bool by_itself = false);
  void EndAll();

  EventLoop& loop_;
  Environment& env_;
  const ExecutorProcessOptions options_;
  const Events events_;
  const std::function<void(std::string_view)> log_;

  uint32_t attempt_ = 0;
  std::vector<Member> members_;
  std::map<uint64_t, Peer> peers_;
  // What the network thread shares.
  std::mutex mutex_;
  std::string secret_;  // of the attempt; guarded by mutex_
  std::map<uint64_t, std::unique_ptr<Connection>>
      arrivals_;            // not in peers_ yet; guarded by mutex_
  uint64_t last_peer_ = 0;  // guarded by mutex_
  // What is posted from the network thread does nothing once this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);

  NetworkThread network_;
  std::unique_ptr<Doorkeeper> doorkeeper_;
};

}  // namespace weir
