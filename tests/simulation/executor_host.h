// SimExecutor: a process of the simulated cluster that is an executor of one attempt, as
// runtime/worker/executor_process.cc makes one: it connects to the coordinator, says Hello, and
// gives what it is told to a real Executor. When the connection is lost it goes on, and connects
// again to whoever is the coordinator then (runtime/worker/coordinator_link.h).
#pragma once

#include <memory>
#include <string>

#include "runtime/worker/attempt_answers.h"
#include "runtime/worker/executor.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"
#include "tests/simulation/network.h"
#include "tests/simulation/peer_links.h"

namespace weir::simulation {

class SimExecutor {
 public:
  struct Options {
    std::string job_id;
    uint32_t attempt = 0;
    int executor = 0;
    std::string checkpoints;  // folders
    std::string work;
    size_t channel_bytes = 0;
    PlantedBugs bugs;
  };
  // How a coordinator takes a connection of an executor; what is called runs in its process.
  struct Coordinator {
    std::shared_ptr<SimConnection> connection;  // of which the executor is end 1
    std::function<void()> hello;
    std::function<void(const std::string& bytes)> message;
  };
  // To whoever is the coordinator now; empty while there is none. Outlives the executor.
  struct Door {
    std::function<Coordinator(SimExecutor& executor)> connect;
    // A message that was long on its way, on whatever path: its attempt may be over.
    std::function<void(uint32_t attempt, int executor, const std::string& bytes)> late;
  };

  SimExecutor(SimProcess& process, SimNetwork& network, LinksByAddress& links, const BuiltJob& job,
              const Door& door, Options options);
  ~SimExecutor();

  void Start();
  void OnMessage(const std::string& bytes);  // from the coordinator
  void OnClosed(const Status& why);          // the connection to it

  SimProcess& process() { return process_; }
  const Options& options() const { return options_; }

 private:
  class SimSlot;
  struct Parts;

  void Connect();
  void Send(const runtime::ToCoordinator& message);
  void Carry(const runtime::ToCoordinator& message);
  void ReportProgress();

  SimProcess& process_;
  SimNetwork& network_;
  const BuiltJob& job_;
  const Options options_;
  const Door& door_;
  Coordinator coordinator_;  // without a connection: it is lost
  int64_t lost_at_ = 0;      // 0: it is there
  bool canceled_ = false;    // said so
  AttemptAnswers answers_;
  std::unique_ptr<Parts> parts_;  // null: the process is gone
};

}  // namespace weir::simulation
