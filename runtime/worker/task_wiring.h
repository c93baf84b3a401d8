// WireTasks: everything that the tasks of one attempt of a job are made from, where all of them run
// in one process: their channels, what each instance restores from, and the handles that are to be
// committed first. Makes no task and starts nothing.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "operators/sink.h"
#include "runtime/worker/task.h"
#include "state/manifest.h"

namespace weir {

struct TaskWiring {
  // All of these outlive the tasks.
  const BuiltJob* job = nullptr;
  const ExecutionPlan* plan = nullptr;
  const MemoryPlan* memory = nullptr;
  TaskListener* listener = nullptr;

  OperatorContext context;             // job id, attempt and env
  std::string local_dir;               // of the attempt
  const Manifest* restored = nullptr;  // null: a fresh start. Only needed during the call
  SnapshotReader* reader = nullptr;    // of the restored checkpoint; outlives the tasks' Open()
  // Makes a function that wakes the tasks of a subtask; it may be called from any thread.
  std::function<std::function<void()>(int subtask)> waker;
  std::shared_ptr<const ReloadedStages> reloaded;  // as Task::Setup has it
  bool encode_edges = false;
  // As Task::Setup has them.
  Duration step_max = limits::kStepMax;
  Duration coalesce_delay = limits::kCoalesceDelay;
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
