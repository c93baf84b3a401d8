// Source: where rows come from. One instance is one subtask; called only by the task that owns it.
//
// Order of calls: Open, then Poll and Freeze in any order, Close. The runtime injects barriers
// between polls: a source never sees checkpoint control. A source owns splits (a file range, a
// partition); a split belongs to the owner of its name's key group, and its position is keyed
// state, so that rescaling and discovery need no coordinator.
#pragma once

#include "operators/operator.h"

namespace weir {

struct PollResult {
  enum Kind {
    kMore,      // call again soon
    kIdle,      // nothing now; call again at `next_poll`, or after OperatorContext::wake
    kFinished,  // nothing ever again; Poll is not called any more
  };
  Kind kind = kMore;
  int64_t next_poll = 0;  // Clock::MonotonicMicros(), for kIdle
};

// How far a bounded source has come, for progress bars; total 0: unknown.
struct SourceProgress {
  uint64_t done_bytes = 0;
  uint64_t total_bytes = 0;
};

class Source {
 public:
  virtual ~Source() = default;
  // As Operator::DescribeState().
  virtual StatusOr<StateDescription> DescribeState() { return StateDescription{}; }
  virtual Status Open(OperatorContext& context) = 0;
  // Emits at most about one batch, on port 0. At most about a millisecond, reads of local files
  // aside.
  virtual StatusOr<PollResult> Poll(Output& out) = 0;
  // No row with a time at or below it is to be expected, from what has been read so far. Asked
  // after every Poll(); never falls.
  virtual Timestamp watermark() const = 0;
  // True while this subtask has nothing to say about time, so that the others' watermarks count
  // alone (it owns no split).
  virtual bool idle() const { return false; }
  // State beside the keyed one; null: none.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) { return nullptr; }
  virtual SourceProgress progress() const { return {}; }
  virtual void Close() {}
};

}  // namespace weir
