// SimCoordinator: a process of the simulated cluster that is the coordinator of the job: the real
// JobMaster and CheckpointStore, with a host that does what ClusterJob does. Finds what it needs on
// the disk, so that the next one takes up the attempt that one that died was running.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "runtime/coordinator/job_master.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"
#include "tests/simulation/cluster.h"
#include "tests/simulation/executor_pool.h"

namespace weir::simulation {

class SimCoordinator final : private JobMaster::Host {
 public:
  struct Options {
    int parallelism = 3;
    int executors = 3;
    Duration checkpoint_interval = Milliseconds(500);
  };
  // What came of it.
  struct Outcome {
    bool ended = false;  // the job's run; else the process died, or could not start
    RunState state = RunState::kRunning;
    Status failure;  // of a run that failed, or of a start
  };

  SimCoordinator(Cluster& cluster, SimProcess& process, Options options);
  ~SimCoordinator() override;

  // Finds the job's record and starts its next attempt. `over`: called once, behind all that is
  // under way in it, when the run has ended or cannot start; then the process is to be ended.
  void Start(std::function<void(const Outcome&)> over);
  // What somebody may ask for; nothing if the run has ended.
  void RequestStop();
  void RequestSavepoint();
  void Rescale(const Options& options);

  SimProcess& process() { return process_; }
  // Of this process, as far as anybody knows.
  uint64_t checkpoints_completed() const { return completed_; }
  uint32_t attempts() const { return attempts_; }

 private:
  struct Parts;

  Status Prepare();
  bool running() const;
  void Tick();
  void Drive(const std::function<void()>& call);
  std::vector<int> PlaceExecutors(int parallelism) override;
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override;
  void Send(int executor, const runtime::ToExecutor& message) override;
  Status SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) override;
  void WriteManifest(Manifest manifest) override;
  void SettleManifest(std::shared_ptr<Manifest> manifest);
  void CollectGarbage(uint32_t attempts_over) override;
  void Log(const LogLine& line) override;

  Cluster& cluster_;
  SimProcess& process_;
  Options options_;
  std::function<void(const Outcome&)> over_;
  JobRecord record_;
  runtime::AttemptState attempt_;
  JobMaster::Options start_;
  std::unique_ptr<Parts> parts_;  // null: the process is gone
  uint64_t next_tick_ = 0;        // the one that counts
  uint64_t completed_ = 0;
  uint32_t attempts_ = 0;
};

}  // namespace weir::simulation
