// ExecutionPlan: how a JobGraph is laid out at one parallelism. Follows from the graph and the
// parallelism alone, so that every process comes to the same one.
//
// A task group is a chain (or tree) of stages that hand rows to each other directly; each of its
// `parallelism` subtasks is a task. A stage joins the group of the stages it reads from if all its
// edges lead from that one group, which is of its own part, and move no row to another subtask:
// forward edges, and at parallelism 1 any edge. So at parallelism 1 a pipeline is a single task.
#pragma once

#include <string>
#include <vector>

#include "jobs/graph.h"

namespace weir {

struct TaskGroup {
  int part = 0;             // index into ExecutionPlan::parts
  std::vector<int> stages;  // indices into the graph, in topological order; the first is the head
  std::vector<int> input_edges;  // edges that enter the head from other groups
  std::vector<int> inner_edges;
  std::vector<int> output_edges;
};

struct ExecutionPlan {
  int parallelism = 1;
  std::vector<TaskGroup> groups;   // in topological order
  std::vector<int> group_of;       // by stage
  std::vector<std::string> parts;  // of the graph

  int tasks() const { return static_cast<int>(groups.size()) * parallelism; }
};

struct TaskId {
  int group = 0;
  int subtask = 0;
  auto operator<=>(const TaskId&) const = default;
};

// REQUIRES: 1 <= parallelism <= kKeyGroups.
ExecutionPlan MakeExecutionPlan(const JobGraph& graph, int parallelism);

// The subtasks of each of `executors`, which run contiguous ranges, as even as can be.
// REQUIRES: 1 <= executors <= parallelism.
std::vector<int> EvenShares(int parallelism, int executors);

// "source -> rebatch", for messages.
std::string GroupName(const JobGraph& graph, const TaskGroup& group);

}  // namespace weir
