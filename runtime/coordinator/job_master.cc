#include "runtime/coordinator/job_master.h"

#include <fmt/format.h>

#include <algorithm>

#include "jobs/parameters.h"
#include "runtime/message_check.h"

namespace weir {
namespace {

constexpr int64_t kTickMax = Milliseconds(200);

}  // namespace

JobMaster::JobMaster(const JobGraph& graph, JobRecord record, Options options, Host& host)
    : graph_(graph),
      options_(std::move(options)),
      host_(host),
      record_(std::move(record)),
      parallelism_(options_.parallelism),
      plan_(MakeExecutionPlan(graph, parallelism_)),
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

void JobMaster::Log(LogLine line) const {
  line.attempt = record_.attempt;
  host_.Log(line);
}

void JobMaster::OnNotice(int executor, const runtime::Notice& notice) const {
  LogLine line(notice.line());
  if (notice.warning()) line.level = LogLevel::kWarning;
  line.executor = executor;
  line.op = notice.stage();
  if (!line.op.empty()) line.subtask = static_cast<int>(notice.subtask());
  Log(std::move(line));
}

runtime::ToExecutor JobMaster::Message() const {
  runtime::ToExecutor message;
  message.set_attempt(record_.attempt);
  return message;
}

void JobMaster::Start(int64_t now_micros) { StartAttempt(now_micros); }

Status JobMaster::SaveRecord() { return host_.SaveRecord(record_, AttemptState()); }

Status JobMaster::RecordFailure(const Status& saved) {
  return Annotate(saved, "cannot write the job's record");
}

void JobMaster::StartAttempt(int64_t now_micros) {
  shares_ = host_.PlaceExecutors(parallelism_);
  if (shares_.empty()) {
    if (phase_ != Phase::kPlacing) Log("waiting for free slots");
    phase_ = Phase::kPlacing;
    restart_at_ = now_micros + kTickMax;
    return;
  }
  plan_ = MakeExecutionPlan(graph_, parallelism_);
  ++record_.attempt;
  record_.state = RunState::kRunning;
  // Its handles are committed next.
  record_.last_completed = std::max(record_.last_completed, last_completed_);
  restored_ = last_completed_;
  base_counters_ = completed_counters_;
  resources_ = completed_resources_;
  triggered_ = 0;
  savepoint_requested_ |= std::exchange(savepoint_under_way_, false);
  restart_requested_ = false;
  reattached_ = false;
  if (Status saved = SaveRecord(); !saved.ok()) {
    // Without a durable attempt number, names of files could be used twice.
    failure_ = RecordFailure(saved);
    if (options_.restarts_max || !IsRetryable(saved)) return End(RunState::kFailed);
    status_.failure = failure_;
    return TryAgain(now_micros);
  }
  ResetAttempt(now_micros);
  Log(restored_ == 0
          ? fmt::format("attempt {}: a fresh start", record_.attempt)
          : fmt::format("attempt {}: going on from checkpoint {}", record_.attempt, restored_));
  host_.StartExecutors(record_.attempt, shares_);
}

void JobMaster::ResetAttempt(int64_t now_micros) {
  if (restored_ != 0) status_.restored_from = restored_;
  opened_.clear();
  finished_.clear();
  checkpoints_ = std::make_unique<CheckpointCoordinator>(
      CheckpointCoordinator::Options{options_.checkpoint_interval, plan_.tasks(),
                                     record_.last_checkpoint},
      now_micros);
  committed_.clear();
  canceled_.clear();
  cause_known_ = false;
  failure_ = absl::OkStatus();
  phase_ = Phase::kStarting;
}

void JobMaster::OnExecutorsStarted(uint32_t attempt, const std::vector<std::string>& addresses) {
  if (phase_ != Phase::kStarting || attempt != record_.attempt) return;
  WEIR_CHECK(static_cast<int>(addresses.size()) == executors());
  phase_ = Phase::kDeploying;
  runtime::ToExecutor message = Message();
  runtime::Deploy& deploy = *message.mutable_deploy();
  deploy.set_job_id(record_.job_id);
  deploy.set_parallelism(plan_.parallelism);
  deploy.set_graph_fingerprint(graph_.Fingerprint());
  deploy.set_restore_checkpoint(restored_);
  resources_.Write(*deploy.mutable_resources());
  for (uint32_t part = 0; part < plan_.parts.size(); ++part) {
    int first = 0;
    for (const int share : shares_) {
      const int executor = deploy.executors_size();
      runtime::ExecutorPlace& place = *deploy.add_executors();
      place.set_address(addresses[executor]);
      place.set_first_subtask(first);
      place.set_subtasks(share);
      place.set_part(part);
      first += share;
    }
  }
  for (int executor = 0; executor < executors(); ++executor) {
    deploy.set_executor(executor);
    host_.Send(executor, message);
  }
}

void JobMaster::OnExecutorLost(uint32_t attempt, int executor, const Loss& loss,
                               int64_t now_micros) {
  if (attempt != record_.attempt || !has_attempt()) return;
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

int JobMaster::sinks_executor() const {
  for (const TaskGroup& group : plan_.groups) {
    for (const int stage : group.stages) {
      if (graph_.stages[stage].role == StageRole::kSink) {
        return group.part * static_cast<int>(shares_.size());
      }
    }
  }
  return 0;
}

void JobMaster::SendToAll(const runtime::ToExecutor& message) {
  for (int executor = 0; executor < executors(); ++executor) {
    if (!canceled_.contains(executor)) host_.Send(executor, message);
  }
}

void JobMaster::OnMessage(int executor, const runtime::ToCoordinator& message, int64_t now_micros) {
  // An old attempt has nothing to say any more.
  if (message.attempt() != record_.attempt || !has_attempt()) return;
  if (Status status = CheckMessage(message, graph_, plan_); !status.ok()) {
    return OnFailure(Annotate(status, fmt::format("what executor {} sent", executor)));
  }
  using Kind = runtime::ToCoordinator;
  switch (message.message_case()) {
    case Kind::kTaskOpened:
      return OnTaskOpened(message.task_opened());
    case Kind::kSinksRecovered:
      if (phase_ == Phase::kRecovering) OnRunning(now_micros);
      return;
    case Kind::kCheckpointAck:
      return OnAck(message.checkpoint_ack(), now_micros);
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
      return OnNotice(executor, message.notice());
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
  if (Status saved = SaveRecord(); !saved.ok()) {
    return OnFailure(RecordFailure(saved));
  }
  if (revoke_) {
    Log(restored_ == 0
            ? "starting over: what was committed is taken back"
            : fmt::format("what was committed after checkpoint {} is taken back", restored_));
  }
  // All handles of the restored checkpoint are committed: what is still pending belongs to nobody.
  phase_ = Phase::kRecovering;
  runtime::ToExecutor message = Message();
  message.mutable_recover_sinks()->set_restored(restored_);
  message.mutable_recover_sinks()->set_revoke(revoke_);
  host_.Send(sinks_executor(), message);
}

void JobMaster::OnRunning(int64_t now_micros) {
  phase_ = Phase::kRunning;
  if (std::exchange(revoke_, false)) {
    // Behind this, what is committed is not taken back any more, whoever goes on with the attempt.
    if (Status saved = SaveRecord(); !saved.ok()) return OnFailure(RecordFailure(saved));
  }
  runtime::ToExecutor start = Message();
  start.mutable_start_input();
  SendToAll(start);
  if (drain_requested_) SendDrain();
  if (triggered_ != 0) {  // by a coordinator that was here before
    const bool stands = last_completed_ == triggered_;
    checkpoints_->TakeUp(triggered_kind_, stands, now_micros);
    way_.Start(triggered_, now_micros);
    return stands ? SendCommit() : SendTrigger();
  }
  MaybeTrigger(now_micros);
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
  if (static_cast<int>(canceled_.size()) < executors()) return;
  if (after_cancel_) return End(*after_cancel_);
  if (failure_.ok()) {  // behind a checkpoint, on purpose
    if (stop_requested_) return End(RunState::kSuspended);
    Log(fmt::format("starting again at parallelism {}", parallelism_));
    return StartAttempt(now_micros);
  }
  status_.failure = failure_;
  host_.OnAttemptFailed(record_.attempt, failure_);
  // Nothing is lost: the last checkpoint stands.
  if (stop_requested_ && IsRetryable(failure_)) return End(RunState::kSuspended);
  const bool give_up = options_.restarts_max && restarts_in_a_row_ >= *options_.restarts_max;
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
  TryAgain(now_micros);
}

void JobMaster::TryAgain(int64_t now_micros) {
  Duration delay = limits::kRestartDelayMin;
  for (int i = 0; i < restarts_in_a_row_ && delay < limits::kRestartDelayMax; ++i) delay *= 2;
  delay = std::min(delay, limits::kRestartDelayMax);
  ++restarts_;
  ++restarts_in_a_row_;
  restart_at_ = now_micros + delay;
  phase_ = Phase::kWaiting;
  // What failed checkpoints have left must not be what keeps the next one from having room.
  if (absl::IsResourceExhausted(failure_) && !writing_manifest()) {
    CollectGarbage(record_.attempt);
  }
  Log(LogLine::Warning(fmt::format("attempt {} failed: {}; trying again in {}", record_.attempt,
                                   std::string(failure_.message()), FormatDuration(delay))));
}

void JobMaster::End(RunState state) {
  phase_ = Phase::kEnded;
  record_.state = state;
  record_.failure = state == RunState::kFailed ? std::string(failure_.message()) : "";
  status_.failure = state == RunState::kFailed ? failure_ : absl::OkStatus();
  if (Status saved = SaveRecord(); !saved.ok()) {
    Log(LogLine::Error(
        fmt::format("cannot write the job's record: {}", std::string(saved.message()))));
  }
}

void JobMaster::CollectGarbage(uint32_t attempts_over) {
  if (!std::exchange(collecting_, true)) host_.CollectGarbage(attempts_over);
}

void JobMaster::OnGarbageCollected(int64_t now_micros) {
  collecting_ = false;
  MaybeTrigger(now_micros);
}

int64_t JobMaster::Tick(int64_t now_micros) {
  if (phase_ == Phase::kPlacing) {
    if (now_micros >= restart_at_) StartAttempt(now_micros);
    return std::max(restart_at_, now_micros + 1000);
  }
  if (phase_ == Phase::kWaiting) {
    // The outcome of a manifest must be known before anything else is done with the job.
    if (writing_manifest()) return now_micros + kTickMax;
    if (now_micros >= restart_at_) StartAttempt(now_micros);
    return std::max(restart_at_, now_micros + 1000);
  }
  MaybeTrigger(now_micros);
  if (phase_ == Phase::kRunning && checkpoints_->periodic()) {
    return std::clamp(checkpoints_->next_due(), now_micros + 1000, now_micros + kTickMax);
  }
  return now_micros + kTickMax;
}

}  // namespace weir
