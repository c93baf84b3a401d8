#include "testing/job_attempt.h"

#include <fmt/format.h>

#include <chrono>

namespace weir::testing {
namespace {

// By the machine's clock: how long the job's blocking work is waited for after each piece of work,
// so that the next one finds it done; and how long the job may be at work at one time.
constexpr Duration kSettleMax = Milliseconds(50);
constexpr auto kPatience = std::chrono::seconds(60);

}  // namespace

JobAttempt::JobAttempt(Options options)
    : options_(std::move(options)),
      io_(RealEnvironment().io),
      env_{*options_.clock, RealEnvironment().disk, io_, RealEnvironment().random} {}

JobAttempt::~JobAttempt() {
  io_.WaitUntilIdle();
  tasks_.clear();
}

Status JobAttempt::Start() {
  WEIR_RETURN_IF_ERROR(CheckStages());
  WEIR_RETURN_IF_ERROR(MakeTasks());
  for (auto& [id, task] : tasks_) task->Open();
  WEIR_RETURN_IF_ERROR(failure());
  WEIR_RETURN_IF_ERROR(CommitHandles());
  handles_.clear();
  WEIR_RETURN_IF_ERROR(RecoverSinks());
  for (auto& [id, task] : tasks_) task->StartInput();
  return absl::OkStatus();
}

Status JobAttempt::CheckStages() {
  if (options_.number > 1) return absl::OkStatus();
  for (size_t stage = 0; stage < options_.job->stages.size(); ++stage) {
    const auto& check = options_.job->stages[stage].check;
    if (!check) continue;
    WEIR_RETURN_IF_ERROR(
        Annotate(check(env_, options_.job_id),
                 fmt::format("stage '{}'", options_.job->graph.stages[stage].name)));
  }
  return absl::OkStatus();
}

Status JobAttempt::MakeTasks() {
  plan_ = MakeExecutionPlan(options_.job->graph, options_.parallelism);
  WEIR_ASSIGN_OR_RETURN(
      memory_, PlanMemory(options_.job->graph, options_.parallelism, options_.memory_bytes));
  TaskWiring wiring;
  wiring.job = options_.job;
  wiring.plan = &plan_;
  wiring.subtasks = options_.parallelism;
  wiring.memory = &memory_;
  wiring.listener = this;
  wiring.context.job_id = options_.job_id;
  wiring.context.attempt = options_.number;
  wiring.context.env = &env_;
  wiring.local_dir = options_.local_dir;
  wiring.restored = options_.restored ? &*options_.restored : nullptr;
  wiring.reader = options_.snapshots;
  wiring.waker = [wakes = wakes_](int) { return [wakes] { ++*wakes; }; };
  wiring.encode_edges = options_.encode_edges;
  wiring.step_max = 0;        // so that what blocks is done before the next call
  wiring.coalesce_delay = 0;  // no time passes only for a row to travel on
  std::map<TaskId, WiredTask> wired_tasks = WireTasks(wiring);
  for (auto& [id, wired] : wired_tasks) {
    for (auto& [stage, handles] : wired.handles) handles_[{id, stage}] = std::move(handles);
    recoveries_.merge(wired.recoveries);
    tasks_[id] = std::make_unique<Task>(std::move(wired.setup));
  }
  return absl::OkStatus();
}

Status JobAttempt::CommitHandles() {
  for (auto& [id, task] : tasks_) {
    for (const auto& node : task->nodes()) {
      if (node->sink() == nullptr) continue;
      const std::vector<std::string>& handles = handles_[{id, node->stage()}];
      WEIR_RETURN_IF_ERROR(Annotate(node->sink()->CommitAll(handles), node->where()));
    }
  }
  return absl::OkStatus();
}

Status JobAttempt::TellCommitted(CheckpointId checkpoint) {
  std::map<int, std::vector<std::string>> committed;  // by stage
  for (auto& [id, handles] : handles_) {
    std::vector<std::string>& all = committed[id.second];
    all.insert(all.end(), handles.begin(), handles.end());
  }
  handles_.clear();
  for (auto& [id, task] : tasks_) {
    for (const auto& node : task->nodes()) {
      if (id.subtask != 0 || node->sink() == nullptr) continue;
      const std::vector<std::string>& handles = committed[node->stage()];
      WEIR_RETURN_IF_ERROR(Annotate(node->sink()->Committed(checkpoint, handles), node->where()));
    }
  }
  return absl::OkStatus();
}

Status JobAttempt::RecoverSinks() {
  for (auto& [id, task] : tasks_) {
    for (const auto& node : task->nodes()) {
      if (id.subtask != 0 || node->sink() == nullptr) continue;
      const Sink::Recovery& recovery = recoveries_.at(node->stage());
      WEIR_RETURN_IF_ERROR(Annotate(node->sink()->CheckRecovery(recovery), node->where()));
      WEIR_RETURN_IF_ERROR(Annotate(node->sink()->Recover(recovery), node->where()));
    }
  }
  return absl::OkStatus();
}

Status JobAttempt::Process() {
  const auto since = std::chrono::steady_clock::now();
  while (true) {
    const uint64_t wakes = *wakes_;
    bool worked = false;
    for (auto& [id, task] : tasks_) {
      worked |= task->Step();
      io_.WaitUntilIdleFor(kSettleMax);
      WEIR_RETURN_IF_ERROR(failure());
    }
    // What is still under way after so long waits for something outside, or for time to pass.
    if (!worked && *wakes_ == wakes) return absl::OkStatus();
    if (std::chrono::steady_clock::now() - since > kPatience) {
      return absl::DeadlineExceededError(
          "the job is still at work after a minute, and no time has passed in it: a source that "
          "never ends, or a stage that asks to be called again for ever");
    }
  }
}

std::optional<int64_t> JobAttempt::NextDue() const {
  std::optional<int64_t> next;
  for (const auto& [id, task] : tasks_) {
    const std::optional<int64_t> due = task->next_due();
    if (due) next = std::min(next.value_or(*due), *due);
  }
  return next;
}

StatusOr<Manifest> JobAttempt::TakeCheckpoint(Barrier barrier) {
  {
    std::lock_guard lock(mutex_);
    acks_.clear();
  }
  // The snapshots outlive whoever writes to them.
  const std::shared_ptr<SnapshotWriter> writer(options_.snapshots, [](SnapshotWriter*) {});
  for (auto& [id, task] : tasks_) task->TriggerCheckpoint(barrier, writer);
  WEIR_RETURN_IF_ERROR(Process());
  Manifest manifest;
  {
    std::lock_guard lock(mutex_);
    if (acks_.size() < tasks_.size()) {
      return absl::FailedPreconditionError(fmt::format(
          "checkpoint {} does not come to its end while time stands still: {} of {} tasks have "
          "passed their barrier; some stage does not come to the end of Drain()",
          barrier.checkpoint, acks_.size(), tasks_.size()));
    }
    manifest = MakeManifest(barrier);
  }
  for (auto& [id, task] : tasks_) task->OnCheckpointComplete(barrier.checkpoint);
  WEIR_RETURN_IF_ERROR(CommitHandles());
  WEIR_RETURN_IF_ERROR(TellCommitted(barrier.checkpoint));
  return manifest;
}

// As the coordinator makes it, of what the tasks have acknowledged.
Manifest JobAttempt::MakeManifest(const Barrier& barrier) {
  Manifest manifest;
  manifest.job_id = options_.job_id;
  manifest.job_name = options_.job->graph.job;
  manifest.checkpoint = barrier.checkpoint;
  manifest.kind = barrier.kind;
  manifest.attempt = options_.number;
  manifest.created = options_.clock->Now();
  for (const StageSpec& spec : options_.job->graph.stages) {
    StageState& stage = manifest.stages.emplace_back();
    stage.name = spec.name;
    stage.parallelism = options_.parallelism;
    stage.key = spec.key;
    stage.subtasks.resize(options_.parallelism);
    if (!options_.restored) continue;
    if (const StageState* base = options_.restored->FindStage(spec.name)) {
      stage.counters = base->counters;
    }
  }
  for (auto& [id, snapshots] : acks_) {
    for (StageSnapshot& snapshot : snapshots) {
      StageState& stage = manifest.stages[snapshot.stage];
      stage.counters += snapshot.counters;
      handles_[{id, snapshot.stage}] = snapshot.op.handles;
      stage.subtasks[id.subtask] = {std::move(snapshot.op), std::move(snapshot.keyed)};
    }
  }
  return manifest;
}

StageCounters JobAttempt::Counters(int stage) const {
  StageCounters counters;
  if (options_.restored) {
    const std::string& name = options_.job->graph.stages[stage].name;
    if (const StageState* base = options_.restored->FindStage(name)) counters = base->counters;
  }
  for (const auto& [id, task] : tasks_) {
    for (const auto& node : task->nodes()) {
      if (node->stage() == stage) counters += node->counters();
    }
  }
  return counters;
}

void JobAttempt::OnFailed(TaskId, const Status& status) {
  std::lock_guard lock(mutex_);
  if (failure_.ok()) failure_ = status;
}

void JobAttempt::OnSnapshot(TaskId task, CheckpointId checkpoint, StatusOr<TaskSnapshot> snapshot) {
  std::lock_guard lock(mutex_);
  if (snapshot.ok()) {
    acks_[task] = std::move(snapshot->stages);
  } else if (failure_.ok()) {
    failure_ = Annotate(snapshot.status(), fmt::format("checkpoint {}", checkpoint));
  }
}

Status JobAttempt::failure() {
  std::lock_guard lock(mutex_);
  return failure_;
}

}  // namespace weir::testing
