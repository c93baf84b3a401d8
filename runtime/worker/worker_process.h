// WorkerProcess: what `weir worker` is: a supervisor that offers slots to a coordinator and runs,
// for each attempt of a job that has subtasks here, an executor in a process of its own.
//
//   <data>/lock                          one worker at a time
//   <data>/blobs/                        libraries and resources that were fetched, by SHA-256
//   <data>/executors/<job>-<attempt>-<i>/  local state, log and crash file of an executor
//
// It joins when it reaches the coordinator, and again after it has lost it; executors go on
// meanwhile, and end with this process. Of no use for user code: that runs in executors alone.
//
// Run() on the main thread, with which executors end; everything happens on its event loop.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/environment.h"
#include "runtime/blob_store.h"
#include "runtime/event_loop.h"
#include "runtime/log.h"
#include "runtime/net/connection.h"
#include "runtime/net/network_thread.h"
#include "runtime/worker/output_file.h"
#include "weir/runtime/cluster.pb.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {

struct WorkerOptions {
  std::string data_dir;
  Address join;
  int slots = 1;
  uint64_t memory_bytes = 0;  // of all its slots together
  std::string http;           // where it tells of itself; for people
  std::string program;        // "weir": run as `weir executor`
  // With which it, and its executors, prove themselves; null: in the clear.
  std::shared_ptr<const TlsContext> tls;
  TlsFiles tls_files;
  std::string token;  // that it joins with; empty: none
  // What the processes of its executors may have resident, all together: each its share, by its
  // slots. 0: twice its share of memory_bytes, and limits::kExecutorMemorySlackBytes. nullopt: no
  // limit.
  std::optional<uint64_t> memory_limit_bytes = 0;
  std::string log_format;  // that its executors are to write in
  std::function<void(const LogLine& line)> log;
};

class WorkerProcess {
 public:
  // Locks the data folder; Unavailable if it is in use.
  static StatusOr<std::unique_ptr<WorkerProcess>> Make(NetworkThread& network, Environment& env,
                                                       WorkerOptions options);
  ~WorkerProcess();

  // Until it has left (OK) or cannot join (FailedPrecondition says why). Once.
  Status Run();
  // From any thread: hand the executors over to other workers, within limits::kLeaveMax, and end.
  void RequestLeave();
  // OK where it has joined. From any thread.
  Status Ready() const;
  // What it tells of itself; from any thread.
  rest::Snapshot Snapshot() const;

 private:
  struct Running {
    runtime::ExecutorRef ref;
    ChildProcess process;
    std::string folder;             // empty: it could not be started
    uint64_t memory_bytes_max = 0;  // 0: no limit
    OutputFile output;
  };

  WorkerProcess(NetworkThread& network, Environment& env, WorkerOptions options);
  void Connect();
  void OnFrame(const Frame& frame);
  void OnClosed(const Status& why);
  void OnWelcome(const runtime::Welcome& welcome);
  void Start(const runtime::StartExecutor& start);
  Status StartNow(const runtime::StartExecutor& start);
  void EndExecutor(const runtime::ExecutorRef& ref);
  // crash_of_job: what counts as a crash though the executor has left no word of one.
  void ReportEnd(const Running& running, std::string how, bool by_itself,
                 std::string crash_of_job = "");
  uint64_t MemoryLimitOf(const runtime::ExecutorStart& start) const;
  void EndTheGreedy();
  void OnBlob(const runtime::Blob& blob);
  void Send(const runtime::FromWorker& message);
  int64_t Tick();
  void Finish(Status why);

  NetworkThread& network_;
  Environment& env_;
  const WorkerOptions options_;
  const std::string id_;
  EventLoop loop_;
  std::unique_ptr<FileLock> lock_;
  BlobStore blobs_;

  std::unique_ptr<Connection> connection_;  // null: it is lost
  uint64_t generation_ = 0;                 // of the connection
  std::atomic<bool> joined_ = false;
  int64_t connect_at_ = 0;
  int64_t tell_at_ = 0;                          // the coordinator, that it is there
  int64_t complained_at_ = 0;                    // that the coordinator is not reached
  std::map<std::string, Running> running_;       // by the name of its folder
  std::vector<runtime::StartExecutor> waiting_;  // for blobs
  std::vector<std::string> asked_for_;           // blobs
  int64_t leave_by_ = 0;                         // 0: it is to stay
  int64_t look_at_memory_at_ = 0;
  Status result_;
};

}  // namespace weir
