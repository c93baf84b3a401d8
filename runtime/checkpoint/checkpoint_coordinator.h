// CheckpointCoordinator: decides when a job takes a checkpoint, gathers its pieces, and says when
// it is complete. A state machine without I/O: calls in, decisions out; its owner (JobMaster) does
// what it says.
//
//   idle --Trigger--> gathering --all acks--> writing --manifest stands--> committing --all
// sinks--> idle
//
// One checkpoint at a time: the next is not triggered before the last one's handles are committed,
// because a restore commits only the handles of the checkpoint that it restores.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/signals.h"
#include "runtime/execution_plan.h"
#include "state/snapshot.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

class CheckpointCoordinator {
 public:
  enum class Phase { kIdle, kGathering, kWriting, kCommitting };

  struct Options {
    Duration interval = 0;  // 0: only when asked
    int tasks = 0;
    CheckpointId last_used = 0;  // numbers at or below it are spent
  };
  CheckpointCoordinator(Options options, int64_t now_micros);

  Phase phase() const { return phase_; }
  // The periodic checkpoint is due. kIdle is a precondition of Trigger().
  bool due(int64_t now_micros) const;
  int64_t next_due() const { return last_trigger_ + options_.interval; }
  bool periodic() const { return options_.interval > 0; }

  Barrier Trigger(BarrierKind kind, int64_t now_micros);
  // Instead, where a coordinator that has started again takes up a checkpoint that was triggered
  // before: its manifest stands, or its pieces are gathered again. Starting with `last_used` behind
  // it.
  void TakeUp(BarrierKind kind, bool manifest_stands, int64_t now_micros);
  // True if this was the last piece: the manifest may be written from pieces().
  bool OnAck(const runtime::CheckpointAck& ack);
  const std::vector<runtime::CheckpointAck>& pieces() const { return pieces_; }
  // Whether the manifest stands, and so commits are to be asked for. If not, the checkpoint is
  // over.
  Barrier OnManifestOutcome(bool stands);
  // True if this ends the checkpoint.
  bool OnCommitted(uint64_t checkpoint, int64_t now_micros);

  const Barrier& current() const { return current_; }
  CheckpointId last_used() const { return options_.last_used; }
  int64_t last_duration_micros() const { return last_duration_; }

 private:
  Options options_;
  Phase phase_ = Phase::kIdle;
  Barrier current_;
  int64_t last_trigger_ = 0;
  int64_t last_duration_ = 0;
  std::set<TaskId> acked_;
  std::vector<runtime::CheckpointAck> pieces_;
};

}  // namespace weir
