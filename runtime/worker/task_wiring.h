// WireTasks: everything that the tasks of one attempt of a job are made from in one executor: their
// channels, what each instance restores from, and the handles that are to be committed first. Makes
// no task and starts nothing.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "operators/sink.h"
#include "runtime/worker/task.h"
#include "state/manifest.h"

namespace weir {

// A channel of the attempt, wherever its ends are.
struct ChannelKey {
  int edge = 0;  // of the graph
  int sender = 0;
  int receiver = 0;
};

// Makes the ends here of channels whose other ends are in other executors.
class RemoteEnds {
 public:
  virtual ~RemoteEnds() = default;
  // What a task here sends into; `wake_sender` as Channel has it.
  virtual std::shared_ptr<Channel> Outgoing(const ChannelKey& key, size_t capacity_bytes,
                                            std::function<void()> wake_sender) = 0;
  // What a task here receives from.
  virtual std::shared_ptr<Channel> Incoming(const ChannelKey& key, size_t capacity_bytes,
                                            std::function<void()> wake_receiver) = 0;
};

struct TaskWiring {
  // All of these outlive the tasks.
  const BuiltJob* job = nullptr;
  const ExecutionPlan* plan = nullptr;
  int part = 0;           // that is here, of the plan's
  int first_subtask = 0;  // of its subtasks that are here
  int subtasks = 0;
  RemoteEnds* remote = nullptr;  // null: all are here. Only needed during the call
  const MemoryPlan* memory = nullptr;
  TaskListener* listener = nullptr;

  OperatorContext context;             // job id, attempt and env
  OperatorLog notice;                  // as ChainNode::Setup has it
  std::string local_dir;               // of the attempt
  const Manifest* restored = nullptr;  // null: a fresh start. Only needed during the call
  SnapshotReader* reader = nullptr;    // of the restored checkpoint; outlives the tasks' Open()
  // Makes a function that wakes the tasks of a subtask; it may be called from any thread.
  std::function<std::function<void()>(int subtask)> waker;
  std::shared_ptr<const ReloadedStages> reloaded;  // as Task::Setup has it
  bool encode_edges = false;
  bool heap_state = false;
  // As Task::Setup has them.
  Duration step_max = limits::kStepMax;
  Duration coalesce_delay = limits::kCoalesceDelay;

  bool IsHere(const TaskId& task) const {
    return plan->groups[task.group].part == part && task.subtask >= first_subtask &&
           task.subtask < first_subtask + subtasks;
  }
};

struct WiredTask {
  Task::Setup setup;
  // Of the restored checkpoint, by sink stage: what this task's sink is to commit. Dealt out
  // evenly, since any subtask can commit any handle.
  std::map<int, std::vector<std::string>> handles;
  // Of subtask 0, by sink stage: what its sink is to recover, with the handles of all subtasks.
  std::map<int, Sink::Recovery> recoveries;
};

std::map<TaskId, WiredTask> WireTasks(const TaskWiring& wiring);

}  // namespace weir
