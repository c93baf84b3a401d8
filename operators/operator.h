// Operator: what transforms rows. One instance is one subtask of one stage; it is called only by
// the task that owns it, never from two threads.
//
// Order of calls:
//   DescribeState                              any number, before Open or without it
//   Open                                       once; state is already restored
//   OnReload                                   once, if the stage has a reloadable resource: what
//                                              is in force
//   Process | OnWatermark | OnTimer | Resume   any number, in any order; Resume only after
//                                              kMoreOutput or kBlocked, and nothing before it then
//   Drain(kBarrier), Freeze                    at each checkpoint, behind the rows in front of it
//   OnReload                                   behind some of these: another version of the
//                                              resource, for all rows that come later
//   Drain(kEndOfInput)                         once, when every input has ended; after it come only
//                                              Drain(kBarrier) and Freeze
//   OnCheckpointComplete                       for some of the frozen checkpoints, in order; may be
//                                              repeated after a restart
//   Close                                      last, unless the process ends first
//
// A callback with `out` returns how it went. No watermark, barrier or end of input is passed on
// before kDone. A call takes at most about a millisecond or one batch and never blocks on anything
// but a read of local state; work that blocks belongs on the I/O pool. A Status that is not OK
// fails the job's attempt; what one row did wrong is no such Status, but out.Reject().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/batch.h"
#include "core/environment.h"
#include "core/event.h"
#include "core/key_group.h"
#include "core/limits.h"
#include "state/keyed_store.h"
#include "state/snapshot.h"
#include "state/stage_counters.h"
#include "state/state_description.h"

namespace weir {

enum class Progress {
  kDone,
  kMoreOutput,  // call Resume() once the output has been taken
  kBlocked,     // call Resume() after a wake-up (OperatorContext::wake, TimerService::SetWakeUp)
};

enum class DrainReason { kBarrier, kEndOfInput };

// Where a callback puts rows. Emit() never fails and never recurses: it appends to the next
// operator's inbox.
class Output {
 public:
  virtual ~Output() = default;
  // Takes the batch; an empty one is dropped. Port 0 is always read; of another one that nobody
  // reads (Stream::Side) the rows are dropped and counted.
  virtual void Emit(int port, BatchPtr batch) = 0;
  // A row that this operator cannot take. It goes where the stage's policy says: to the dead
  // letters (default), away, or it ends the job. Nothing else of the row may be left behind,
  // neither output nor state. The bytes are copied.
  virtual void Reject(std::string_view error, std::string_view record, Timestamp time) = 0;
};

// Timers of one operator instance. They are not state: set them anew in Open(). OnTimer(kind, time,
// ...) is called once at or after `time`; setting the same time again changes nothing.
class TimerService {
 public:
  virtual ~TimerService() = default;
  // By the wall clock, Clock::Now(), for what is to happen at a time of day. Where that clock jumps
  // ahead, it fires soon; where it jumps back, it fires when the time has come again.
  virtual void SetProcessingTimer(Timestamp time) = 0;
  // By Clock::MonotonicMicros(), for how long something may take: no jump moves it.
  virtual void SetDelayTimer(int64_t time) = 0;
  virtual void SetEventTimer(Timestamp time) = 0;
  // By Clock::MonotonicMicros(): an operator that is kBlocked at `time`, or returns kBlocked later,
  // is woken. No timer fires while an operator is kBlocked, so this is how it gives up waiting. Of
  // several times the earliest counts; a wake-up spends it.
  virtual void SetWakeUp(int64_t time) = 0;
};

// kNotified is no timer: OperatorContext::notify was called.
enum class TimerKind { kProcessingTime, kEventTime, kDelay, kNotified };

// Counted by the operator itself, since it was opened; the runtime counts rows in, rows out and
// dead letters. Checkpoints keep the sums over all instances and attempts.
class OperatorCounters {
 public:
  uint64_t dropped =
      0;  // rows taken that lead to no output, by intent (a duplicate, a filtered row)
  uint64_t unusable_times =
      0;  // of a source: events whose time was missing, malformed or too far in the future

  // A counter of the operator's own ("duplicates"), shown in the report by its name. The reference
  // stays valid as long as the counters do: look it up once, or once a batch. What comes after
  // limits::kNamedCountersMax names is counted together as "others".
  uint64_t& Named(std::string_view name);
  const NamedCounts& named() const { return named_; }

  // What was counted for each tenant. Set its kinds in Open().
  TenantCounts tenants;

 private:
  NamedCounts named_;
};

// What an instance is and what it may use. Everything outlives the instance.
struct OperatorContext {
  std::string job_id;
  uint32_t attempt = 0;
  std::string stage;
  int subtask = 0;
  int parallelism = 1;
  KeyGroupRange key_groups;
  std::string local_dir;  // of this instance and attempt alone; exists, is empty, is removed after
                          // the attempt

  size_t memory_bytes = limits::kInstanceBytesDefault;  // what the instance may hold in memory,
                                                        // its keyed state included

  Environment* env = nullptr;
  const Restore* restore = nullptr;  // never null; only valid during Open()
  KeyedStore* keyed = nullptr;  // null unless the stage asked for keyed state; already restored
  TimerService* timers = nullptr;
  OperatorCounters* counters = nullptr;
  // Makes the driver call Resume(). Thread-safe; may be copied and outlive the instance.
  std::function<void()> wake;
  // The same for an operator that is not kBlocked: the driver calls OnTimer(kNotified, ...) soon,
  // once for all calls since the last. For results that come while nothing waits for them. Null
  // where a test has no driver: then they leave with the next call.
  std::function<void()> notify;
  // A line for the people who run the job, into its log; the runtime puts the stage and the subtask
  // in front. Thread-safe. For what is rare: never a line per row or batch.
  std::function<void(std::string_view line)> log = [](std::string_view) {};
};

// The content of a stage's reloadable resource (Reloadable in jobs/built_job.h), as the stage's own
// function compiled it; all instances share it. A checkpoint names the version that the rows behind
// it are handled by, so that they are handled alike when they come again.
struct Reloaded {
  CheckpointId version = 0;  // the checkpoint at whose barrier it took effect; 0: as started
  std::shared_ptr<const void> content;
};

class Operator {
 public:
  virtual ~Operator() = default;

  // What the operator keeps in checkpoints. Asked of an instance that is never opened: a checkpoint
  // is compared with it before anything of it is restored, and one that holds other state of the
  // stage is refused. The keyed state, and what Freeze() hands over; nothing by default.
  virtual StatusOr<StateDescription> DescribeState() { return StateDescription{}; }

  virtual Status Open(OperatorContext& context) { return absl::OkStatus(); }
  // All instances get a version at the same barrier. Returns at once.
  virtual Status OnReload(const Reloaded& reloaded) { return absl::OkStatus(); }
  virtual StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) = 0;
  virtual StatusOr<Progress> Resume(Output& out) { return Progress::kDone; }
  virtual StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) {
    return Progress::kDone;
  }
  virtual StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) {
    return Progress::kDone;
  }
  // Sends out what must not be in flight across the barrier, or all that is left at the end of the
  // input.
  virtual StatusOr<Progress> Drain(DrainReason reason, Output& out) { return Progress::kDone; }
  // Hands over the state as it is now, at once; null: there is none. Keyed state is frozen by the
  // runtime.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) { return nullptr; }
  virtual void OnCheckpointComplete(CheckpointId checkpoint) {}
  virtual void Close() {}

  // The watermark that may go on downstream, given that `input` has been passed to OnWatermark():
  // less than `input` while the operator holds rows that came before it. Asked after every
  // callback; never falls.
  virtual Timestamp OutputWatermark(Timestamp input) const { return input; }

  // How far, in event time, one of the instance's inputs may be ahead of another; a sender that
  // runs further ahead is made to wait (runtime/exchange/input_gate.h). For operators that remember
  // something for every span of event time between them. None: it does not matter.
  virtual std::optional<Duration> watermark_drift_max() const { return std::nullopt; }
};

}  // namespace weir
