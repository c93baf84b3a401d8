#include "runtime/checkpoint/checkpoint_coordinator.h"

#include "core/check.h"

namespace weir {

CheckpointCoordinator::CheckpointCoordinator(Options options, int64_t now_micros)
    : options_(options), last_trigger_(now_micros) {}

bool CheckpointCoordinator::due(int64_t now_micros) const {
  return phase_ == Phase::kIdle && periodic() && now_micros >= next_due();
}

Barrier CheckpointCoordinator::Trigger(BarrierKind kind, int64_t now_micros) {
  WEIR_CHECK(phase_ == Phase::kIdle);
  phase_ = Phase::kGathering;
  current_ = {++options_.last_used, kind};
  last_trigger_ = now_micros;
  acked_.clear();
  pieces_.clear();
  return current_;
}

void CheckpointCoordinator::TakeUp(BarrierKind kind, bool manifest_stands, int64_t now_micros) {
  --options_.last_used;
  Trigger(kind, now_micros);
  if (manifest_stands) phase_ = Phase::kCommitting;
}

bool CheckpointCoordinator::OnAck(const runtime::CheckpointAck& ack) {
  if (phase_ != Phase::kGathering || ack.checkpoint() != current_.checkpoint) return false;
  TaskId task{static_cast<int>(ack.task().group()), static_cast<int>(ack.task().subtask())};
  if (!acked_.insert(task).second) return false;
  pieces_.push_back(ack);
  if (static_cast<int>(pieces_.size()) < options_.tasks) return false;
  phase_ = Phase::kWriting;
  return true;
}

Barrier CheckpointCoordinator::OnManifestOutcome(bool stands) {
  WEIR_CHECK(phase_ == Phase::kWriting);
  phase_ = stands ? Phase::kCommitting : Phase::kIdle;
  pieces_.clear();
  return current_;
}

bool CheckpointCoordinator::OnCommitted(uint64_t checkpoint, int64_t now_micros) {
  if (phase_ != Phase::kCommitting || checkpoint != current_.checkpoint) return false;
  phase_ = Phase::kIdle;
  last_duration_ = now_micros - last_trigger_;
  return true;
}

}  // namespace weir
