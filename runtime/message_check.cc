#include "runtime/message_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/key_group.h"
#include "core/limits.h"
#include "core/signals.h"
#include "state/manifest.h"

namespace weir {
namespace {

// The group of the task; null if there is no such task.
const TaskGroup* FindGroup(const runtime::TaskRef& task, const ExecutionPlan& plan) {
  if (task.group() >= plan.groups.size() ||
      task.subtask() >= static_cast<uint32_t>(plan.parallelism)) {
    return nullptr;
  }
  return &plan.groups[task.group()];
}

Status CheckTask(const runtime::TaskRef& task, const ExecutionPlan& plan) {
  if (FindGroup(task, plan) != nullptr) return absl::OkStatus();
  return absl::DataLossError(
      fmt::format("there is no subtask {} of group {}", task.subtask(), task.group()));
}

// That each stage is one of the task's, and none comes twice.
template <class Stages>
Status CheckStages(const runtime::TaskRef& task, const Stages& stages, const ExecutionPlan& plan) {
  WEIR_RETURN_IF_ERROR(CheckTask(task, plan));
  const std::vector<int>& own = FindGroup(task, plan)->stages;
  std::set<uint32_t> seen;
  for (const auto& stage : stages) {
    const bool known = std::any_of(own.begin(), own.end(), [&](int index) {
      return static_cast<uint32_t>(index) == stage.stage();
    });
    if (!known || !seen.insert(stage.stage()).second) {
      return absl::DataLossError(fmt::format("stage {} is not one of group {}, or comes twice",
                                             stage.stage(), task.group()));
    }
  }
  return absl::OkStatus();
}

// That each stage is a sink.
Status CheckSinks(const google::protobuf::RepeatedPtrField<runtime::StageHandles>& stages,
                  const JobGraph& graph) {
  for (const runtime::StageHandles& stage : stages) {
    if (stage.stage() >= graph.stages.size() ||
        graph.stages[stage.stage()].role != StageRole::kSink) {
      return absl::DataLossError(fmt::format("there is no sink {}", stage.stage()));
    }
  }
  return absl::OkStatus();
}

Status CheckResources(const state::Resources& resources, const BuiltJob& job) {
  for (const auto& [name, bytes] : ResourceVersion::Read(resources).contents) {
    const int stage = job.graph.FindStage(name);
    if (stage < 0 || !job.stages[stage].reloadable) {
      return absl::DataLossError("a resource came for a stage that has none");
    }
  }
  return absl::OkStatus();
}

// That the executors of each part, in order, share all its subtasks among them, in order, and that
// this is one of them.
Status CheckDeploy(const runtime::Deploy& deploy, const BuiltJob& job) {
  if (deploy.parallelism() < 1 || deploy.parallelism() > kKeyGroups) {
    return absl::DataLossError(fmt::format("a parallelism of {}", deploy.parallelism()));
  }
  if (deploy.executor() >= static_cast<uint32_t>(deploy.executors_size()) ||
      deploy.executors_size() > static_cast<int>(limits::kPeersMax)) {
    return absl::DataLossError(
        fmt::format("there is no executor {} of {}", deploy.executor(), deploy.executors_size()));
  }
  const size_t parts = job.graph.Parts().size();
  uint64_t next = 0;  // counted through all parts
  for (const runtime::ExecutorPlace& place : deploy.executors()) {
    if (place.part() * uint64_t{deploy.parallelism()} + place.first_subtask() != next ||
        place.subtasks() < 1 ||
        place.first_subtask() + uint64_t{place.subtasks()} > deploy.parallelism()) {
      return absl::DataLossError("the subtasks of the executors do not follow each other");
    }
    next += place.subtasks();
  }
  if (next != parts * deploy.parallelism()) {
    return absl::DataLossError(
        fmt::format("the executors have {} subtasks of {}", next, parts * deploy.parallelism()));
  }
  return CheckResources(deploy.resources(), job);
}

}  // namespace

Status CheckMessage(const runtime::ToCoordinator& message, const JobGraph& graph,
                    const ExecutionPlan& plan) {
  using Kind = runtime::ToCoordinator;
  switch (message.message_case()) {
    case Kind::kTaskOpened:
      return CheckTask(message.task_opened().task(), plan);
    case Kind::kTaskFinished:
      return CheckTask(message.task_finished().task(), plan);
    case Kind::kTaskProgress:
      return CheckStages(message.task_progress().task(), message.task_progress().stages(), plan);
    case Kind::kCommitted:
      return CheckSinks(message.committed().stages(), graph);
    case Kind::kTaskFailed: {
      const int code = message.task_failed().code();
      if (code > static_cast<int>(absl::StatusCode::kOk) &&
          code <= static_cast<int>(absl::StatusCode::kUnauthenticated)) {
        return absl::OkStatus();
      }
      return absl::DataLossError(fmt::format("a task failed with the unknown code {}", code));
    }
    case Kind::kCheckpointAck: {
      const runtime::CheckpointAck& ack = message.checkpoint_ack();
      WEIR_RETURN_IF_ERROR(CheckStages(ack.task(), ack.stages(), plan));
      for (const runtime::StageState& stage : ack.stages()) {
        const Status state = SubtaskState::Parse(stage.snapshot()).status();
        if (!state.ok()) return absl::DataLossError(std::string(state.message()));
      }
      return absl::OkStatus();
    }
    default:
      return absl::OkStatus();
  }
}

Status CheckMessage(const runtime::ToExecutor& message, const BuiltJob& job) {
  using Kind = runtime::ToExecutor;
  switch (message.message_case()) {
    case Kind::kDeploy:
      return CheckDeploy(message.deploy(), job);
    case Kind::kTriggerCheckpoint: {
      const runtime::TriggerCheckpoint& trigger = message.trigger_checkpoint();
      if (trigger.kind() < static_cast<uint32_t>(BarrierKind::kCheckpoint) ||
          trigger.kind() > static_cast<uint32_t>(BarrierKind::kFinal)) {
        return absl::DataLossError(fmt::format("a barrier of the unknown kind {}", trigger.kind()));
      }
      return CheckResources(trigger.resources(), job);
    }
    case Kind::kFinishCommit:
      return CheckSinks(message.finish_commit().stages(), job.graph);
    default:
      return absl::OkStatus();
  }
}

}  // namespace weir
