// JobAttempt: one attempt of a job, all of its tasks in one thread, in virtual time. What TestJob
// runs; it plays the coordinator's and the executor's part.
//
// Tasks are stepped in turn, one piece of work each, and what blocks is waited for before the next
// one, so that the same calls do the same in the same order. Used by one thread.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "runtime/worker/counting_io_pool.h"
#include "runtime/worker/task_wiring.h"
#include "testing/memory_snapshots.h"

namespace weir::testing {

class JobAttempt final : public TaskListener {
 public:
  struct Options {
    // All of these outlive the attempt.
    const BuiltJob* job = nullptr;
    Clock* clock = nullptr;
    MemorySnapshots* snapshots = nullptr;

    std::string job_id;
    uint32_t number = 1;
    std::string local_dir;
    int parallelism = 1;
    size_t memory_bytes = limits::kMemoryBytesDefault;
    bool encode_edges = false;
    std::optional<Manifest> restored;
  };
  explicit JobAttempt(Options options);
  // As a kill -9 would end it, but that what blocks is waited for.
  ~JobAttempt() override;

  // Everything up to the point from which rows flow.
  Status Start();
  // Works until there is nothing to do at this time. DeadlineExceeded after a minute of it.
  Status Process();
  // When there is something to do by the clock alone.
  std::optional<int64_t> NextDue() const;
  // Every input has ended, and that has been passed on everywhere.
  bool finished() const { return finished_.size() == tasks_.size(); }
  // Takes a checkpoint and commits it. FailedPrecondition if some stage keeps it from ending.
  StatusOr<Manifest> TakeCheckpoint(Barrier barrier);
  // Of a stage, with what the restored checkpoint holds.
  StageCounters Counters(int stage) const;

 private:
  // TaskListener. On the thread that uses the attempt, but for OnSnapshot.
  void OnOpened(TaskId) override {}
  void OnFinished(TaskId task) override { finished_.insert(task); }
  void OnFailed(TaskId task, const Status& status) override;
  void OnSnapshot(TaskId task, CheckpointId checkpoint, StatusOr<TaskSnapshot> snapshot) override;

  Status CheckStages();
  Status MakeTasks();
  Status RecoverSinks();
  Status CommitHandles();
  Status TellCommitted(CheckpointId checkpoint);
  Manifest MakeManifest(const Barrier& barrier);
  Status failure();

  const Options options_;
  CountingIoPool io_;
  Environment env_;
  ExecutionPlan plan_;
  MemoryPlan memory_;
  std::map<TaskId, std::unique_ptr<Task>> tasks_;
  std::map<std::pair<TaskId, int>, std::vector<std::string>> handles_;  // not committed yet
  std::map<int, Sink::Recovery> recoveries_;                            // by the sink's stage
  std::set<TaskId> finished_;
  // Counts calls of OperatorContext::wake; shared with what calls them.
  std::shared_ptr<std::atomic<uint64_t>> wakes_ = std::make_shared<std::atomic<uint64_t>>(0);

  std::mutex mutex_;
  std::map<TaskId, std::vector<StageSnapshot>> acks_;  // guarded by mutex_
  Status failure_;                                     // guarded by mutex_
};

}  // namespace weir::testing
