// JobMaster: what is asked of a job from outside, and how a coordinator that has started again
// takes it up.
#include <fmt/format.h>

#include <numeric>

#include "core/check.h"
#include "runtime/coordinator/job_master.h"

namespace weir {

void JobMaster::RequestStop(int64_t now_micros) {
  stop_requested_ = true;
  if (phase_ == Phase::kRunning) return MaybeTrigger(now_micros);
  if (reattached_) return;  // it is as good as running
  // Nothing has been read since the last checkpoint, or nothing can be saved.
  if (phase_ == Phase::kStarting || phase_ == Phase::kDeploying || phase_ == Phase::kRecovering) {
    CancelAttempt(RunState::kSuspended);
  }
  if (phase_ == Phase::kWaiting || phase_ == Phase::kPlacing) End(RunState::kSuspended);
}

void JobMaster::RequestDrain(int64_t) {
  drain_requested_ = true;
  if (phase_ == Phase::kRunning) SendDrain();
}

void JobMaster::SendDrain() {
  runtime::ToExecutor message = Message();
  message.mutable_drain_sources();
  SendToAll(message);
}

void JobMaster::RequestCancel(int64_t) {
  switch (phase_) {
    case Phase::kEnded:
      return;
    case Phase::kCanceling:
      if (!after_cancel_ || *after_cancel_ == RunState::kSuspended) {
        after_cancel_ = RunState::kCanceled;
      }
      return;
    case Phase::kCreated:
    case Phase::kPlacing:
    case Phase::kWaiting:
      return End(RunState::kCanceled);
    default:
      return CancelAttempt(RunState::kCanceled);
  }
}

void JobMaster::RequestSavepoint(int64_t now_micros) {
  savepoint_requested_ = true;
  MaybeTrigger(now_micros);
}

void JobMaster::Rescale(int parallelism, int64_t now_micros) {
  parallelism_ = parallelism;
  restart_requested_ = true;
  MaybeTrigger(now_micros);
}

runtime::AttemptState JobMaster::AttemptState() const {
  runtime::AttemptState state;
  state.set_attempt(record_.attempt);
  state.set_restored(restored_);
  state.set_revoke(revoke_);
  for (const int share : shares_) state.add_shares(share);
  for (const auto& [stage, counters] : base_counters_) {
    counters.Write((*state.mutable_base_counters())[stage]);
  }
  resources_.Write(*state.mutable_resources());
  state.set_checkpoint(triggered_);
  state.set_kind(static_cast<uint32_t>(triggered_kind_));
  return state;
}

void JobMaster::Reattach(const runtime::AttemptState& state, int64_t now_micros) {
  WEIR_CHECK(phase_ == Phase::kCreated && state.attempt() == record_.attempt);
  shares_.assign(state.shares().begin(), state.shares().end());
  plan_ = MakeExecutionPlan(graph_, std::accumulate(shares_.begin(), shares_.end(), 0));
  restored_ = state.restored();
  revoke_ = state.revoke();
  for (const auto& [stage, counters] : state.base_counters()) {
    base_counters_[stage] = StageCounters::Read(counters);
  }
  resources_ = ResourceVersion::Read(state.resources());
  for (const auto& [stage, bytes] : resources_.contents) wanted_resources_[stage] = bytes;
  triggered_ = state.checkpoint();
  triggered_kind_ = static_cast<BarrierKind>(state.kind());
  ResetAttempt(now_micros);
  reattached_ = true;
  Log(fmt::format("attempt {}: waiting for its executors", record_.attempt));
}

}  // namespace weir
