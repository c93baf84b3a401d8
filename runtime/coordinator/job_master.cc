#include "runtime/coordinator/job_master.h"

#include <fmt/format.h>

#include <algorithm>

#include "jobs/parameters.h"

namespace weir {
namespace {

constexpr int64_t kTickMax = Milliseconds(200);

}  // namespace

JobMaster::JobMaster(const JobGraph& graph, JobRecord record, Options options, Host& host)
    : graph_(graph),
      plan_(MakeExecutionPlan(graph, options.parallelism)),
      options_(std::move(options)),
      host_(host),
      record_(std::move(record)),
      revoke_(options_.revoke) {
  if (options_.restore) {
    last_completed_ = options_.restore->checkpoint;
    for (const StageState& stage : options_.restore->stages) {
      completed_counters_[stage.name] = stage.counters;
    }
  }
  for (const auto& [stage, content] : options_.resources) {
    wanted_resources_[stage] = content.bytes;
  }
  completed_resources_.contents = wanted_resources_;
  if (options_.restore) {
    completed_resources_.version = options_.restore->resources.version;
    for (const auto& [stage, bytes] : options_.restore->resources.contents) {
      const auto found = completed_resources_.contents.find(stage);
      if (found != completed_resources_.contents.end()) found->second = bytes;
    }
  }
  status_.job_id = record_.job_id;
  status_.job_name = record_.identity.job_name;
  for (const StageSpec& stage : graph_.stages) {
    OperatorStatus& op = status_.operators.emplace_back();
    op.name = stage.name;
    op.kind = stage.kind;
    op.component = stage.component;
  }
}

runtime::ToExecutor JobMaster::Message() const {
  runtime::ToExecutor message;
  message.set_attempt(record_.attempt);
  return message;
}

void JobMaster::Start(int64_t now_micros) { StartAttempt(now_micros); }

void JobMaster::StartAttempt(int64_t now_micros) {
  ++record_.attempt;
  record_.state = RunState::kRunning;
  // Its handles are committed next.
  record_.last_completed = std::max(record_.last_completed, last_completed_);
  if (Status saved = host_.SaveRecord(record_); !saved.ok()) {
    // Without a durable attempt number, names of files could be used twice.
    failure_ = Annotate(saved, "cannot write the job's record");
    return End(RunState::kFailed);
  }
  opened_.clear();
  finished_.clear();
  restored_ = last_completed_;
  base_counters_ = completed_counters_;
  resources_ = completed_resources_;
  if (restored_ != 0) status_.restored_from = restored_;
  checkpoints_ = std::make_unique<CheckpointCoordinator>(
      CheckpointCoordinator::Options{options_.checkpoint_interval, plan_.tasks(),
                                     record_.last_checkpoint},
      now_micros);
  committed_.clear();
  canceled_.clear();
  cause_known_ = false;
  phase_ = Phase::kStarting;
  host_.Log(restored_ == 0 ? fmt::format("attempt {}: a fresh start", record_.attempt)
                           : fmt::format("attempt {}: going on from checkpoint {}", record_.attempt,
                                         restored_));
  host_.StartExecutors(record_.attempt, options_.executors);
}

void JobMaster::OnExecutorsStarted(uint32_t attempt, const std::vector<std::string>& addresses) {
  if (phase_ != Phase::kStarting || attempt != record_.attempt) return;
  WEIR_CHECK(static_cast<int>(addresses.size()) == options_.executors);
  phase_ = Phase::kDeploying;
  runtime::ToExecutor message = Message();
  runtime::Deploy& deploy = *message.mutable_deploy();
  deploy.set_job_id(record_.job_id);
  deploy.set_parallelism(plan_.parallelism);
  deploy.set_graph_fingerprint(graph_.Fingerprint());
  deploy.set_restore_checkpoint(restored_);
  resources_.Write(*deploy.mutable_resources());
  for (int executor = 0; executor < options_.executors; ++executor) {
    runtime::ExecutorPlace& place = *deploy.add_executors();
    place.set_address(addresses[executor]);
    const int first = plan_.parallelism * executor / options_.executors;
    const int end = plan_.parallelism * (executor + 1) / options_.executors;
    place.set_first_subtask(first);
    place.set_subtasks(end - first);
  }
  for (int executor = 0; executor < options_.executors; ++executor) {
    deploy.set_executor(executor);
    host_.Send(executor, message);
  }
}

void JobMaster::OnExecutorLost(uint32_t attempt, int executor, const Loss& loss,
                               int64_t now_micros) {
  if (attempt != record_.attempt || phase_ == Phase::kEnded) return;
  if (!loss.crash.empty()) record_.CountCrash(loss.crash);
  canceled_.insert(executor);
  OnFailure(loss.why);
  // Its peers may have missed it first, and know less of why.
  if (phase_ == Phase::kCanceling && !after_cancel_ && loss.by_itself &&
      !std::exchange(cause_known_, true)) {
    failure_ = loss.why;
  }
  OnCanceled(executor, now_micros);
}

void JobMaster::SendToAll(const runtime::ToExecutor& message) {
  for (int executor = 0; executor < options_.executors; ++executor) {
    if (!canceled_.contains(executor)) host_.Send(executor, message);
  }
}

void JobMaster::OnMessage(int executor, const runtime::ToCoordinator& message, int64_t now_micros) {
  // An old attempt has nothing to say any more.
  if (message.attempt() != record_.attempt || phase_ == Phase::kEnded) return;
  using Kind = runtime::ToCoordinator;
  switch (message.message_case()) {
    case Kind::kTaskOpened:
      return OnTaskOpened(message.task_opened());
    case Kind::kSinksRecovered: {
      if (phase_ != Phase::kRecovering) return;
      phase_ = Phase::kRunning;
      revoke_ = false;
      runtime::ToExecutor start = Message();
      start.mutable_start_input();
      SendToAll(start);
      return MaybeTrigger(now_micros);
    }
    case Kind::kCheckpointAck:
      return OnAck(message.checkpoint_ack());
    case Kind::kCommitted:
      return OnCommitted(executor, message.committed());
    case Kind::kCommitFinished:
      return OnCommitFinished(message.commit_finished(), now_micros);
    case Kind::kTaskFinished:
      finished_.insert(ToTaskId(message.task_finished().task()));
      return MaybeTrigger(now_micros);
    case Kind::kTaskFailed:
      return OnFailure(Status(static_cast<absl::StatusCode>(message.task_failed().code()),
                              message.task_failed().message()));
    case Kind::kTaskProgress:
      return OnProgress(message.task_progress(), now_micros);
    case Kind::kCanceled:
      return OnCanceled(executor, now_micros);
    case Kind::kExecutorProgress:
      status_.resident_bytes_max = std::max<uint64_t>(
          status_.resident_bytes_max, message.executor_progress().resident_bytes_max());
      return;
    case Kind::kNotice:
      return host_.Log(message.notice().line());
    case Kind::MESSAGE_NOT_SET:
      return;
  }
}

void JobMaster::OnTaskOpened(const runtime::TaskOpened& opened) {
  if (phase_ != Phase::kDeploying) return;
  opened_.insert(ToTaskId(opened.task()));
  if (static_cast<int>(opened_.size()) < plan_.tasks()) return;
  // The checkpoint fits, so the job is from now on what it was started as. Going back is in the
  // record before anything is taken back: a run that dies on the way must not go on from a
  // checkpoint whose results are gone.
  record_.identity = options_.identity;
  RecordResources();
  record_.sinks.clear();
  for (const StageSpec& stage : graph_.stages) {
    if (stage.role == StageRole::kSink) record_.sinks[stage.name] = stage.place;
  }
  if (revoke_) record_.GoBackTo(restored_);
  if (Status saved = host_.SaveRecord(record_); !saved.ok()) {
    failure_ = Annotate(saved, "cannot write the job's record");
    return CancelAttempt(std::nullopt);
  }
  if (revoke_) {
    host_.Log(restored_ == 0
                  ? "starting over: what was committed is taken back"
                  : fmt::format("what was committed after checkpoint {} is taken back", restored_));
  }
  // All handles of the restored checkpoint are committed: what is still pending belongs to nobody.
  phase_ = Phase::kRecovering;
  runtime::ToExecutor message = Message();
  message.mutable_recover_sinks()->set_restored(restored_);
  message.mutable_recover_sinks()->set_revoke(revoke_);
  host_.Send(0, message);
}

void JobMaster::TriggerCheckpoint(BarrierKind kind, int64_t now_micros) {
  // The number is spent before anything carries it.
  ++record_.last_checkpoint;
  if (Status saved = host_.SaveRecord(record_); !saved.ok()) {
    --record_.last_checkpoint;
    failure_ = Annotate(saved, "cannot write the job's record");
    return CancelAttempt(std::nullopt);
  }
  const Barrier barrier = checkpoints_->Trigger(kind, now_micros);
  WEIR_CHECK(barrier.checkpoint == record_.last_checkpoint);
  runtime::ToExecutor message = Message();
  runtime::TriggerCheckpoint& trigger = *message.mutable_trigger_checkpoint();
  trigger.set_checkpoint(barrier.checkpoint);
  trigger.set_kind(static_cast<uint32_t>(barrier.kind));
  // Behind the last barrier of a run there are no rows.
  const bool rows_follow = kind == BarrierKind::kCheckpoint || kind == BarrierKind::kSavepoint;
  if (rows_follow && wanted_resources_ != resources_.contents) {
    ActivateResources(barrier.checkpoint);
    resources_.Write(*trigger.mutable_resources());
  }
  trigger.set_resources_version(resources_.version);
  SendToAll(message);
}

void JobMaster::ActivateResources(CheckpointId checkpoint) {
  for (const auto& [stage, bytes] : wanted_resources_) {
    if (resources_.contents[stage] == bytes) continue;
    // Of this attempt: if the checkpoint fails, nothing has been reloaded.
    ++base_counters_[stage].named["reloads"];
    host_.Log(fmt::format("stage '{}': {} (SHA-256 {:.12}...) takes effect behind checkpoint {}",
                          stage, options_.resources.at(stage).resource, Sha256Hex(bytes),
                          checkpoint));
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
    host_.Log(fmt::format(
        "stage '{}': {} cannot be reloaded, so that version {} stays in force: {}", stage,
        options_.resources.at(stage).resource, resources_.version, std::string(why.message())));
  }
}

void JobMaster::MaybeTrigger(int64_t now_micros) {
  if (phase_ != Phase::kRunning || collecting_ ||
      checkpoints_->phase() != CheckpointCoordinator::Phase::kIdle) {
    return;
  }
  if (static_cast<int>(finished_.size()) == plan_.tasks()) {
    TriggerCheckpoint(BarrierKind::kFinal, now_micros);
  } else if (stop_requested_) {
    TriggerCheckpoint(BarrierKind::kStop, now_micros);
  } else if (checkpoints_->due(now_micros) || wanted_resources_ != resources_.contents) {
    TriggerCheckpoint(BarrierKind::kCheckpoint, now_micros);
  }
}

void JobMaster::OnAck(const runtime::CheckpointAck& ack) {
  if (phase_ != Phase::kRunning || !checkpoints_->OnAck(ack)) return;
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
  const Barrier barrier = checkpoints_->OnManifestOutcome(status.ok());
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
      if (Status saved = host_.SaveRecord(record_); !saved.ok()) {
        failure_ = Annotate(saved, "cannot write the job's record");
        return CancelAttempt(std::nullopt);
      }
      runtime::ToExecutor message = Message();
      message.mutable_checkpoint_complete()->set_checkpoint(barrier.checkpoint);
      committed_.clear();
      finish_commit_.Clear();
      finish_commit_.set_checkpoint(barrier.checkpoint);
      SendToAll(message);
    }
  } else {
    ++status_.checkpoints_failed;
    if (phase_ == Phase::kRunning) {
      failure_ = Annotate(status, fmt::format("checkpoint {}", checkpoint));
      return CancelAttempt(std::nullopt);
    }
  }
}

void JobMaster::OnCommitted(int executor, const runtime::Committed& committed) {
  if (phase_ != Phase::kRunning || committed.checkpoint() != finish_commit_.checkpoint() ||
      !committed_.insert(executor).second) {
    return;
  }
  finish_commit_.mutable_stages()->MergeFrom(committed.stages());
  if (static_cast<int>(committed_.size()) < options_.executors) return;
  runtime::ToExecutor message = Message();
  message.mutable_finish_commit()->Swap(&finish_commit_);
  host_.Send(0, message);
}

void JobMaster::OnCommitFinished(const runtime::CommitFinished& finished, int64_t now_micros) {
  if (phase_ != Phase::kRunning || !checkpoints_->OnCommitted(finished.checkpoint(), now_micros)) {
    return;
  }
  status_.last_checkpoint_micros = checkpoints_->last_duration_micros();
  collecting_ = true;
  host_.CollectGarbage();
  switch (checkpoints_->current().kind) {
    case BarrierKind::kFinal:
      return CancelAttempt(RunState::kFinished);
    case BarrierKind::kStop:
      return CancelAttempt(RunState::kSuspended);
    default:
      return MaybeTrigger(now_micros);
  }
}

void JobMaster::OnFailure(const Status& failure) {
  if (phase_ == Phase::kCanceling || phase_ == Phase::kWaiting) return;
  failure_ = failure;
  if (checkpoints_->phase() == CheckpointCoordinator::Phase::kGathering) {
    ++status_.checkpoints_failed;
  }
  CancelAttempt(std::nullopt);
}

void JobMaster::CancelAttempt(std::optional<RunState> after) {
  phase_ = Phase::kCanceling;
  after_cancel_ = after;
  runtime::ToExecutor message = Message();
  message.mutable_cancel();
  SendToAll(message);
}

void JobMaster::OnCanceled(int executor, int64_t now_micros) {
  if (phase_ != Phase::kCanceling) return;
  canceled_.insert(executor);
  if (static_cast<int>(canceled_.size()) < options_.executors) return;
  if (after_cancel_) return End(*after_cancel_);
  status_.failure = failure_;
  // Nothing is lost: the last checkpoint stands.
  if (stop_requested_ && IsRetryable(failure_)) return End(RunState::kSuspended);
  const bool give_up = restarts_in_a_row_ >= options_.restarts_max;
  if (!IsRetryable(failure_) || give_up || record_.CrashedTooOften()) {
    if (record_.CrashedTooOften()) {
      failure_ = Annotate(failure_, fmt::format("crashed {} times in a row without a checkpoint "
                                                "between, the last time {}",
                                                record_.crashes, record_.crash));
    } else if (give_up) {
      failure_ = Annotate(failure_, fmt::format("given up after {} restarts without a checkpoint",
                                                restarts_in_a_row_));
    }
    return End(RunState::kFailed);
  }
  Duration delay = limits::kRestartDelayMin;
  for (int i = 0; i < restarts_in_a_row_ && delay < limits::kRestartDelayMax; ++i) delay *= 2;
  delay = std::min(delay, limits::kRestartDelayMax);
  ++restarts_;
  ++restarts_in_a_row_;
  restart_at_ = now_micros + delay;
  phase_ = Phase::kWaiting;
  host_.Log(fmt::format("attempt {} failed: {}; trying again in {}", record_.attempt,
                        std::string(failure_.message()), FormatDuration(delay)));
}

void JobMaster::End(RunState state) {
  phase_ = Phase::kEnded;
  record_.state = state;
  record_.failure = state == RunState::kFailed ? std::string(failure_.message()) : "";
  status_.failure = state == RunState::kFailed ? failure_ : absl::OkStatus();
  if (Status saved = host_.SaveRecord(record_); !saved.ok()) {
    host_.Log(fmt::format("cannot write the job's record: {}", std::string(saved.message())));
  }
}

void JobMaster::RequestStop(int64_t now_micros) {
  stop_requested_ = true;
  if (phase_ == Phase::kRunning) return MaybeTrigger(now_micros);
  // Nothing has been read since the last checkpoint, or nothing can be saved.
  if (phase_ == Phase::kStarting || phase_ == Phase::kDeploying || phase_ == Phase::kRecovering) {
    CancelAttempt(RunState::kSuspended);
  }
  if (phase_ == Phase::kWaiting) End(RunState::kSuspended);
}

void JobMaster::OnGarbageCollected(int64_t now_micros) {
  collecting_ = false;
  MaybeTrigger(now_micros);
}

int64_t JobMaster::Tick(int64_t now_micros) {
  if (phase_ == Phase::kWaiting) {
    // The outcome of a manifest must be known before anything else is done with the job.
    const bool open = checkpoints_->phase() == CheckpointCoordinator::Phase::kWriting;
    if (!open && now_micros >= restart_at_) StartAttempt(now_micros);
    return open ? now_micros + kTickMax : std::max(restart_at_, now_micros + 1000);
  }
  MaybeTrigger(now_micros);
  if (phase_ == Phase::kRunning && checkpoints_->periodic()) {
    return std::clamp(checkpoints_->next_due(), now_micros + 1000, now_micros + kTickMax);
  }
  return now_micros + kTickMax;
}

}  // namespace weir
