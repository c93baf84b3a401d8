// JobMaster: checkpoints, and the resources that change with them.
#include <fmt/format.h>

#include "core/check.h"
#include "jobs/parameters.h"
#include "runtime/coordinator/job_master.h"

namespace weir {

void JobMaster::TriggerCheckpoint(BarrierKind kind, int64_t now_micros) {
  // The number is spent before anything carries it.
  ++record_.last_checkpoint;
  triggered_ = record_.last_checkpoint;
  triggered_kind_ = kind;
  // Behind the last barrier of a run there are no rows.
  const bool rows_follow = kind == BarrierKind::kCheckpoint || kind == BarrierKind::kSavepoint;
  if (rows_follow && wanted_resources_ != resources_.contents) ActivateResources(triggered_);
  if (Status saved = SaveRecord(); !saved.ok()) return OnFailure(RecordFailure(saved));
  const Barrier barrier = checkpoints_->Trigger(kind, now_micros);
  WEIR_CHECK(barrier.checkpoint == triggered_);
  way_.Start(triggered_, now_micros);
  SendTrigger();
}

void JobMaster::SendTrigger() {
  runtime::ToExecutor message = Message();
  runtime::TriggerCheckpoint& trigger = *message.mutable_trigger_checkpoint();
  trigger.set_checkpoint(triggered_);
  trigger.set_kind(static_cast<uint32_t>(triggered_kind_));
  trigger.set_resources_version(resources_.version);
  if (resources_.version == triggered_) resources_.Write(*trigger.mutable_resources());
  SendToAll(message);
}

void JobMaster::ActivateResources(CheckpointId checkpoint) {
  for (const auto& [stage, bytes] : wanted_resources_) {
    if (resources_.contents[stage] == bytes) continue;
    // Of this attempt: if the checkpoint fails, nothing has been reloaded.
    ++base_counters_[stage].named["reloads"];
    Log(fmt::format("stage '{}': {} (SHA-256 {:.12}...) takes effect behind checkpoint {}", stage,
                    options_.resources.at(stage).resource, Sha256Hex(bytes), checkpoint));
  }
  // A number that no other checkpoint has ever had, so that a version is never two things.
  resources_ = {checkpoint, wanted_resources_};
}

void JobMaster::RecordResources() {
  for (const auto& [stage, bytes] : completed_resources_.contents) {
    record_.identity.resources[options_.resources.at(stage).resource] = Sha256Hex(bytes);
  }
}

bool JobMaster::Reload(const std::map<std::string, std::string>& contents, int64_t now_micros) {
  bool news = false;
  for (const auto& [stage, bytes] : contents) {
    WEIR_CHECK(options_.resources.contains(stage));
    news |= std::exchange(wanted_resources_[stage], bytes) != bytes;
  }
  MaybeTrigger(now_micros);
  return news;
}

void JobMaster::OnReloadRefused(const std::vector<std::string>& stages, const Status& why) {
  for (const std::string& stage : stages) {
    // Whatever becomes of this attempt, it was refused.
    for (auto* counters : {&base_counters_, &completed_counters_, &pending_counters_}) {
      ++(*counters)[stage].named["reloads_refused"];
    }
    Log(LogLine::Warning(fmt::format(
        "stage '{}': {} cannot be reloaded, so that version {} stays in force: {}", stage,
        options_.resources.at(stage).resource, resources_.version, std::string(why.message()))));
  }
}

void JobMaster::MaybeTrigger(int64_t now_micros) {
  if (phase_ != Phase::kRunning || collecting_ ||
      checkpoints_->phase() != CheckpointCoordinator::Phase::kIdle) {
    return;
  }
  if (static_cast<int>(finished_.size()) == plan_.tasks()) {
    TriggerCheckpoint(BarrierKind::kFinal, now_micros);
  } else if (stop_requested_ || restart_requested_) {
    TriggerCheckpoint(BarrierKind::kStop, now_micros);
  } else if (std::exchange(savepoint_requested_, false)) {
    savepoint_under_way_ = true;
    TriggerCheckpoint(BarrierKind::kSavepoint, now_micros);
  } else if (checkpoints_->due(now_micros) || wanted_resources_ != resources_.contents) {
    TriggerCheckpoint(BarrierKind::kCheckpoint, now_micros);
  }
}

void JobMaster::OnAck(const runtime::CheckpointAck& ack, int64_t now_micros) {
  if (phase_ != Phase::kRunning || !checkpoints_->OnAck(ack)) return;
  way_.OnGathered(ack, now_micros);
  Manifest manifest = MakeManifest();
  pending_counters_.clear();
  for (const StageState& stage : manifest.stages) pending_counters_[stage.name] = stage.counters;
  host_.WriteManifest(std::move(manifest));
}

Manifest JobMaster::MakeManifest() const {
  Manifest manifest;
  manifest.job_id = record_.job_id;
  manifest.job_name = record_.identity.job_name;
  manifest.checkpoint = checkpoints_->current().checkpoint;
  manifest.kind = checkpoints_->current().kind;
  manifest.attempt = record_.attempt;
  manifest.graph_fingerprint = fmt::format("{:016x}", graph_.Fingerprint());
  manifest.resources = resources_;
  for (const StageSpec& spec : graph_.stages) {
    StageState& stage = manifest.stages.emplace_back();
    stage.name = spec.name;
    stage.parallelism = plan_.parallelism;
    stage.key = spec.key;
    if (spec.role == StageRole::kSink) stage.place = spec.place;
    stage.subtasks.resize(plan_.parallelism);
    if (auto base = base_counters_.find(spec.name); base != base_counters_.end()) {
      stage.counters = base->second;
    }
  }
  for (const runtime::CheckpointAck& ack : checkpoints_->pieces()) {
    for (const runtime::StageState& piece : ack.stages()) {
      StageState& stage = manifest.stages.at(piece.stage());
      stage.counters += StageCounters::Read(piece.counters());
      StatusOr<SubtaskState> subtask = SubtaskState::Parse(piece.snapshot());
      WEIR_CHECK(subtask.ok());
      stage.subtasks.at(ack.task().subtask()) = *std::move(subtask);
    }
  }
  return manifest;
}

void JobMaster::OnManifestOutcome(CheckpointId checkpoint, const Status& status) {
  WEIR_CHECK(checkpoints_->current().checkpoint == checkpoint &&
             checkpoints_->phase() == CheckpointCoordinator::Phase::kWriting);
  checkpoints_->OnManifestOutcome(status.ok());
  if (status.ok()) {
    last_completed_ = checkpoint;
    completed_counters_ = pending_counters_;
    completed_resources_ = resources_;
    restarts_in_a_row_ = 0;
    ++status_.checkpoints_completed;
    status_.last_checkpoint = checkpoint;
    if (phase_ == Phase::kRunning) {
      // Before anything is committed: whoever finds the checkpoint gone later must know of it.
      record_.last_completed = checkpoint;
      RecordResources();
      record_.crashes = 0;
      if (Status saved = SaveRecord(); !saved.ok()) {
        return OnFailure(RecordFailure(saved));
      }
      SendCommit();
    }
  } else {
    ++status_.checkpoints_failed;
    if (phase_ == Phase::kRunning) {
      OnFailure(Annotate(status, fmt::format("checkpoint {}", checkpoint)));
    }
  }
}

void JobMaster::SendCommit() {
  runtime::ToExecutor message = Message();
  message.mutable_checkpoint_complete()->set_checkpoint(triggered_);
  committed_.clear();
  finish_commit_.Clear();
  finish_commit_.set_checkpoint(triggered_);
  SendToAll(message);
}

void JobMaster::OnCommitted(int executor, const runtime::Committed& committed) {
  if (phase_ != Phase::kRunning || committed.checkpoint() != finish_commit_.checkpoint() ||
      !committed_.insert(executor).second) {
    return;
  }
  finish_commit_.mutable_stages()->MergeFrom(committed.stages());
  if (static_cast<int>(committed_.size()) < executors()) return;
  runtime::ToExecutor message = Message();
  message.mutable_finish_commit()->Swap(&finish_commit_);
  host_.Send(sinks_executor(), message);
}

void JobMaster::OnCommitFinished(const runtime::CommitFinished& finished, int64_t now_micros) {
  if (phase_ != Phase::kRunning || !checkpoints_->OnCommitted(finished.checkpoint(), now_micros)) {
    return;
  }
  status_.last_checkpoint_micros = checkpoints_->last_duration_micros();
  way_.OnCommitted(now_micros);
  if (way_.slow()) Log(LogLine::Warning(way_.ToText(graph_, plan_), "slow checkpoint"));
  const BarrierKind kind = checkpoints_->current().kind;
  if (kind == BarrierKind::kSavepoint || (kind == BarrierKind::kStop && stop_requested_)) {
    savepoint_under_way_ = false;
    host_.OnSavepoint(checkpoints_->current().checkpoint);
  }
  CollectGarbage(record_.attempt - 1);
  switch (kind) {
    case BarrierKind::kFinal:
      return CancelAttempt(RunState::kFinished);
    case BarrierKind::kStop:
      if (stop_requested_) return CancelAttempt(RunState::kSuspended);
      return CancelAttempt(std::nullopt);
    default:
      return MaybeTrigger(now_micros);
  }
}

}  // namespace weir
