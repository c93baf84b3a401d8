// Task: drives one chain of operators on its slot's thread.
//
// The driver always runs the most downstream operator that has work, and takes new input only when
// all inboxes are empty and all channels have credit. At a barrier (injected in front of a source,
// aligned by the InputGate elsewhere) it drains every operator in order, freezes them all at once,
// sends the barrier on, and hands the frozen state to the I/O pool.
//
// Everything is called on the slot's thread, but for progress(), which any thread may call. Reports
// go to the TaskListener, whose calls come from the slot's thread or the I/O pool.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "runtime/exchange/input_gate.h"
#include "runtime/execution_plan.h"
#include "runtime/worker/chain_node.h"
#include "runtime/worker/memory_plan.h"
#include "state/snapshot.h"

namespace weir {

// A node's share of a checkpoint.
struct StageSnapshot {
  int stage = 0;
  StateSnapshot op;
  StateSnapshot keyed;
  StageCounters counters;
};

// Where a task's share of a checkpoint has spent its time.
struct BarrierWay {
  Duration arrival = 0;    // from the announcement until a barrier came; of a source: until it was
                           // quiet
  Duration alignment = 0;  // until it had come from all inputs
  Duration drain = 0;      // until operators were drained, what they sent had gone, all was frozen
  Duration write = 0;      // until the frozen state was written
  uint64_t bytes = 0;      // of rows that were taken from the inputs meanwhile
};

struct TaskSnapshot {
  std::vector<StageSnapshot> stages;
  BarrierWay way;
};

class TaskListener {
 public:
  virtual ~TaskListener() = default;
  virtual void OnOpened(TaskId task) = 0;
  virtual void OnFinished(
      TaskId task) = 0;  // end of input has been passed on; barriers are still served
  virtual void OnFailed(TaskId task, const Status& status) = 0;
  virtual void OnSnapshot(TaskId task, CheckpointId checkpoint,
                          StatusOr<TaskSnapshot> snapshot) = 0;
};

// By stage: what its instances share of its reloadable resource.
using ReloadedStages = std::map<int, Reloaded>;

struct TaskProgressReport {
  struct Stage {
    int stage = 0;
    StageCounters counters;
    Timestamp watermark = kMinTimestamp;
    uint64_t busy_micros = 0;
    uint64_t state_bytes = 0;
    uint64_t stalls = 0;  // as StallDetector has them; set by the executor
    Duration stalled = 0;
    SourceProgress source;
  };
  std::vector<Stage> stages;
  uint64_t busy_micros = 0;
  uint64_t backpressured_micros = 0;
  uint64_t queued_bytes = 0;
  uint64_t queue_capacity_bytes = 0;
};

class Task {
 public:
  struct Output {
    int edge = 0;
    std::vector<std::shared_ptr<Channel>> channels;
  };
  struct Setup {
    TaskId id;
    const BuiltJob* job = nullptr;
    const ExecutionPlan* plan = nullptr;
    const MemoryPlan* memory = nullptr;
    OperatorContext context;               // job id, attempt, env, wake; the rest is set per node
    OperatorLog notice;                    // as ChainNode::Setup has it
    std::string local_dir;                 // of the attempt; each node gets a folder below it
    std::map<int, Restore> restore;        // by stage
    std::map<int, Restore> keyed_restore;  // by stage
    std::vector<InputGate::Input> inputs;  // empty: the head is a source
    std::vector<Output> outputs;
    std::shared_ptr<const ReloadedStages> reloaded;  // in force when the attempt begins
    bool encode_edges = false;
    bool heap_state = false;  // as ChainNode::Setup has it
    TaskListener* listener = nullptr;
    Duration step_max = limits::kStepMax;              // 0: one piece of work a step
    Duration coalesce_delay = limits::kCoalesceDelay;  // as ExchangeWriter::Options has it
  };
  explicit Task(Setup setup);
  ~Task();

  void Open();        // reports OnOpened or OnFailed
  void StartInput();  // rows may flow
  // A source ends where it is, as if its input ended there. Nothing where the head is none.
  void DrainSource();
  // Sources inject the barrier; for other tasks the snapshot's writer is announced by it. reloaded:
  // what the rows behind the barrier are to be handled by; null where that stays as it is.
  void TriggerCheckpoint(Barrier barrier, std::shared_ptr<SnapshotWriter> writer,
                         std::shared_ptr<const ReloadedStages> reloaded = nullptr);
  void OnCheckpointComplete(CheckpointId checkpoint);

  // Works for at most about Setup::step_max. False: there is nothing to do before next_wake() or a
  // wake-up.
  bool Step();
  // Clock::MonotonicMicros(); nullopt: only a wake-up helps.
  std::optional<int64_t> next_wake() const;
  // When there is work because of the time alone, reports of progress aside.
  std::optional<int64_t> next_due() const;

  TaskProgressReport progress() const;
  const std::vector<std::unique_ptr<ChainNode>>& nodes() const { return nodes_; }
  TaskId id() const { return setup_.id; }

 private:
  enum class Phase { kCreated, kOpen, kRunning, kFinished, kFailed };
  enum class Taken { kSomething, kNothing };

  bool Congested() const;
  void SendDue(int64_t now);
  StatusOr<Taken> StepOnce(int64_t now);
  StatusOr<Taken> TakeInput(int64_t now);
  StatusOr<Taken> AdvanceBarrier(int64_t now);
  StatusOr<Taken> AdvanceEnd(int64_t now);
  StatusOr<Taken> FireTimers(int64_t now);
  void EndInput();
  bool FlushOutputs();
  void PropagateWatermarks(int64_t now);
  void Fail(const Status& status);
  void FreezeAll(int64_t now);
  Status Reload(std::shared_ptr<const ReloadedStages> reloaded);
  void PublishProgress(int64_t now);

  Setup setup_;
  std::vector<std::unique_ptr<ChainNode>> nodes_;  // topological order; [0] is the head
  std::vector<std::vector<size_t>> upstream_;      // by node: the nodes it reads from
  std::unique_ptr<InputGate> gate_;                // null: the head is a source
  std::vector<std::unique_ptr<ExchangeWriter>> writers_;
  std::vector<size_t> writer_node_;  // beside writers_: the node that sends

  Phase phase_ = Phase::kCreated;
  int64_t next_poll_ = 0;  // the source is idle until then
  bool input_ended_ = false;
  bool drain_ = false;    // the input is to end where it is
  bool stopped_ = false;  // behind a stop barrier a source is not polled any more

  std::optional<Barrier> barrier_;  // being worked through
  std::optional<Barrier> requested_barrier_;
  size_t barrier_cursor_ = 0;                        // the next node to drain
  std::shared_ptr<SnapshotWriter> snapshot_writer_;  // of the announced checkpoint
  Barrier announced_;
  // Of the barrier that was announced or came last; BarrierWay is made of them.
  int64_t announced_micros_ = 0;
  uint64_t announced_bytes_ = 0;  // that the gate had taken then
  int64_t arrived_micros_ = 0;
  int64_t aligned_micros_ = 0;
  std::shared_ptr<const ReloadedStages> announced_reload_;  // of that checkpoint
  bool ending_ = false;                                     // input has ended; being worked through
  size_t end_cursor_ = 0;

  uint64_t busy_micros_ = 0;
  uint64_t backpressured_micros_ = 0;
  int64_t congested_since_ = 0;
  int64_t published_ = 0;
  mutable std::mutex progress_mutex_;
  TaskProgressReport progress_;  // guarded by progress_mutex_
};

}  // namespace weir
