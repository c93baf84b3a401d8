// Executor: the worker's part in one job. Makes the tasks of an attempt that are its own, places
// them in slots, and does what the coordinator says.
//
// Lives on the event loop's thread; slots and the I/O pool report to it by posting there. One
// attempt at a time: Deploy makes it, Cancel ends it, and a message of another attempt is refused.
#pragma once

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jobs/built_job.h"
#include "runtime/event_loop.h"
#include "runtime/execution_plan.h"
#include "runtime/worker/counting_io_pool.h"
#include "runtime/worker/slot.h"
#include "runtime/worker/task.h"
#include "runtime/worker/task_wiring.h"
#include "state/checkpoint_store.h"
#include "state/manifest.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

// The connections of an executor to the others of an attempt.
class PeerLinks : public RemoteEnds {
 public:
  // Once, first: makes Outgoing() and Incoming() possible.
  virtual void Prepare(const BuiltJob& job, const runtime::Deploy& deploy) = 0;
  // Once, when all channels have been made. `lost` is called once when a peer cannot be reached, is
  // lost or sends what it must not; from any thread. What tasks send meanwhile waits in the
  // channels.
  virtual void Connect(std::function<void(const Status&)> lost) = 0;
  // Ends all of it; nothing is called and no channel is touched any more.
  virtual void Close() = 0;
};

class Executor final : public TaskListener {
 public:
  struct Options {
    std::string work_dir;  // of this job, for local state; a folder per attempt below it
    bool encode_edges = false;
    size_t memory_bytes = limits::kMemoryBytesDefault;  // PlanMemory() has accepted it
    // For attempts of more executors than one.
    std::function<std::unique_ptr<PeerLinks>()> make_links;
    // Keyed state is kept in memory alone, in place of RocksDB.
    bool heap_state = false;
    // Where slots and the I/O pool have no threads of their own; null: they have. The help is that
    // of CountingIoPool.
    std::function<std::unique_ptr<Slot>(int index)> make_slot;
    std::function<bool()> help_io;
    // A call of an operator that holds its slot longer is told of; 0: nobody looks.
    Duration stall_max = 0;
    // Of one operator, in limits::kLogPeriod.
    size_t notice_lines_max = std::numeric_limits<size_t>::max();
  };
  // All references must outlive the executor. `send` is called on the loop's thread.
  Executor(const BuiltJob& job, CheckpointStore& store, Environment& env, EventQueue& loop,
           Options options, std::function<void(const runtime::ToCoordinator&)> send);
  ~Executor() override;

  void OnMessage(const runtime::ToExecutor& message);
  // Reports the progress of all tasks; called a few times a second.
  void SendProgress();

 private:
  struct Attempt;

  void OnOpened(TaskId task) override;
  void OnFinished(TaskId task) override;
  void OnFailed(TaskId task, const Status& status) override;
  void OnSnapshot(TaskId task, CheckpointId checkpoint, StatusOr<TaskSnapshot> snapshot) override;

  Status Deploy(uint32_t attempt, const runtime::Deploy& deploy);
  void MakeTasks(const std::optional<Manifest>& restored,
                 std::shared_ptr<const ReloadedStages> reloaded);
  // Everything that is given, as the stages' own functions make it. Blocks.
  StatusOr<std::shared_ptr<const ReloadedStages>> Compile(const ResourceVersion& resources) const;
  void RecoverSinks(const runtime::RecoverSinks& recover);
  void TriggerCheckpoint(const runtime::TriggerCheckpoint& trigger);
  void AnnounceCheckpoint(const Barrier& barrier, std::shared_ptr<const ReloadedStages> reloaded);
  void Commit(CheckpointId checkpoint);
  void FinishCommit(const runtime::FinishCommit& finish);
  void Cancel();
  void Acknowledge(TaskId task, CheckpointId checkpoint, TaskSnapshot snapshot);
  runtime::ToCoordinator Message() const;
  void SendFailure(const Status& status);
  void SendProcess();
  // Runs `work` on the loop's thread, unless the attempt has ended by then.
  void Post(std::function<void()> work);
  // The same, after `work` has run on the I/O pool.
  void RunBlocking(std::function<Status()> work, std::function<void(const Status&)> then);

  const BuiltJob& job_;
  CheckpointStore& store_;
  Environment& env_;
  EventQueue& loop_;
  const Options options_;
  const std::function<void(const runtime::ToCoordinator&)> send_;
  std::unique_ptr<Attempt> attempt_;
  // Held by everything that is posted, so that what comes after the executor is gone does nothing.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir
