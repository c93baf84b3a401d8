#include "runtime/worker/task_wiring.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace weir {
namespace {

// Of one end of a channel.
size_t ChannelBytes(const TaskWiring& wiring) {
  const size_t all = wiring.plan->parallelism;
  const size_t here = wiring.subtasks;
  size_t channels = 0;
  for (const EdgeSpec& edge : wiring.job->graph.edges) {
    const int from = wiring.plan->group_of[edge.from];
    const int to = wiring.plan->group_of[edge.to];
    if (from == to) continue;
    const bool keyed = edge.partitioning == Partitioning::kKeyed;
    const bool from_here = wiring.plan->groups[from].part == wiring.part;
    const bool to_here = wiring.plan->groups[to].part == wiring.part;
    if (from_here && to_here) {
      // Those among the subtasks here are one object, those to others and from others one each.
      channels += keyed ? here * here + 2 * here * (all - here) : here;
    } else if (from_here || to_here) {
      channels += keyed ? here * all : here;
    }
  }
  return std::max(limits::kChannelBytesMin,
                  wiring.memory->exchange_bytes / std::max<size_t>(1, channels));
}

void MakeChannels(const TaskWiring& wiring, std::map<TaskId, WiredTask>& tasks) {
  const JobGraph& graph = wiring.job->graph;
  const int parallelism = wiring.plan->parallelism;
  const size_t bytes = ChannelBytes(wiring);
  for (int e = 0; e < static_cast<int>(graph.edges.size()); ++e) {
    const EdgeSpec& edge = graph.edges[e];
    const int from = wiring.plan->group_of[edge.from];
    const int to = wiring.plan->group_of[edge.to];
    if (from == to) continue;
    const bool keyed = edge.partitioning == Partitioning::kKeyed;
    for (int sender = 0; sender < parallelism; ++sender) {
      Task::Output* output = nullptr;
      if (wiring.IsHere({from, sender})) {
        output = &tasks[{from, sender}].setup.outputs.emplace_back();
        output->edge = e;
      }
      for (int receiver = keyed ? 0 : sender; receiver < (keyed ? parallelism : sender + 1);
           ++receiver) {
        const bool received_here = wiring.IsHere({to, receiver});
        std::shared_ptr<Channel> channel;
        if (output != nullptr && received_here) {
          channel = std::make_shared<Channel>(bytes, wiring.waker(receiver), wiring.waker(sender));
        } else if (output != nullptr) {
          channel = wiring.remote->Outgoing({e, sender, receiver}, bytes, wiring.waker(sender));
        } else if (received_here) {
          channel = wiring.remote->Incoming({e, sender, receiver}, bytes, wiring.waker(receiver));
        } else {
          continue;
        }
        if (output != nullptr) output->channels.push_back(channel);
        if (!received_here) continue;
        tasks[{to, receiver}].setup.inputs.push_back({std::move(channel), e, edge.input_port});
      }
    }
  }
}

// What an instance restores from: the snapshots of all earlier instances that share a key group
// with it.
void RestoreStage(const TaskWiring& wiring, int stage, int subtask, WiredTask& task) {
  const StageSpec& spec = wiring.job->graph.stages[stage];
  const StageState* earlier = wiring.restored->FindStage(spec.name);
  if (earlier == nullptr) return;
  const int parallelism = wiring.plan->parallelism;
  const KeyGroupRange key_groups = KeyGroupsOf(subtask, parallelism);
  Restore op{OperatorSnapshotsFor(*earlier, key_groups), wiring.reader};
  Restore keyed{KeyedSnapshotsFor(*earlier, key_groups), wiring.reader};
  for (Restore* part : {&op, &keyed}) {
    std::erase_if(part->snapshots, [](const auto& r) { return r.snapshot.format.empty(); });
  }
  task.setup.restore[stage] = std::move(op);
  task.setup.keyed_restore[stage] = std::move(keyed);
  if (spec.role != StageRole::kSink) return;
  size_t turn = 0;
  for (const SubtaskState& state : earlier->subtasks) {
    for (const std::string& handle : state.operator_state.handles) {
      if (static_cast<int>(turn++ % parallelism) == subtask) task.handles[stage].push_back(handle);
    }
  }
}

Sink::Recovery RecoveryOf(const TaskWiring& wiring, int stage) {
  Sink::Recovery recovery;
  recovery.job_id = wiring.context.job_id;
  if (wiring.restored == nullptr) return recovery;
  recovery.restored = wiring.restored->checkpoint;
  const StageState* earlier = wiring.restored->FindStage(wiring.job->graph.stages[stage].name);
  if (earlier == nullptr) return recovery;
  auto add = [](const std::vector<std::string>& from, std::vector<std::string>& to) {
    to.insert(to.end(), from.begin(), from.end());
  };
  for (const SubtaskState& state : earlier->subtasks) {
    add(state.operator_state.handles, recovery.handles);
    add(state.operator_state.open_handles, recovery.open_handles);
  }
  return recovery;
}

}  // namespace

std::map<TaskId, WiredTask> WireTasks(const TaskWiring& wiring) {
  const ExecutionPlan& plan = *wiring.plan;
  std::map<TaskId, WiredTask> tasks;
  for (int group = 0; group < static_cast<int>(plan.groups.size()); ++group) {
    if (plan.groups[group].part != wiring.part) continue;
    for (int i = 0; i < wiring.subtasks; ++i) {
      const int subtask = wiring.first_subtask + i;
      const TaskId id{group, subtask};
      WiredTask& task = tasks[id];
      task.setup.id = id;
      task.setup.job = wiring.job;
      task.setup.plan = wiring.plan;
      task.setup.memory = wiring.memory;
      task.setup.local_dir = wiring.local_dir;
      task.setup.reloaded = wiring.reloaded;
      task.setup.encode_edges = wiring.encode_edges;
      task.setup.heap_state = wiring.heap_state;
      task.setup.listener = wiring.listener;
      task.setup.step_max = wiring.step_max;
      task.setup.coalesce_delay = wiring.coalesce_delay;
      task.setup.context = wiring.context;
      task.setup.context.wake = wiring.waker(subtask);
      task.setup.notice = wiring.notice;
      for (int stage : plan.groups[group].stages) {
        const bool sink = wiring.job->graph.stages[stage].role == StageRole::kSink;
        if (sink && subtask == 0) task.recoveries[stage] = RecoveryOf(wiring, stage);
      }
      if (wiring.restored == nullptr) continue;
      for (int stage : plan.groups[group].stages) RestoreStage(wiring, stage, subtask, task);
    }
  }
  MakeChannels(wiring, tasks);
  return tasks;
}

}  // namespace weir
