#include "runtime/execution_plan.h"

#include <algorithm>

#include "core/check.h"
#include "core/key_group.h"

namespace weir {

ExecutionPlan MakeExecutionPlan(const JobGraph& graph, int parallelism) {
  WEIR_CHECK(parallelism >= 1 && parallelism <= kKeyGroups);
  ExecutionPlan plan;
  plan.parallelism = parallelism;
  plan.group_of.assign(graph.stages.size(), -1);
  plan.parts = graph.Parts();
  for (int stage = 0; stage < static_cast<int>(graph.stages.size()); ++stage) {
    int group = -1;
    bool alone = false;
    const auto part = std::find(plan.parts.begin(), plan.parts.end(), graph.stages[stage].part);
    const int part_index = static_cast<int>(part - plan.parts.begin());
    for (const EdgeSpec& edge : graph.edges) {
      if (edge.to != stage) continue;
      const int from = plan.group_of[edge.from];
      alone |= plan.groups[from].part != part_index;
      alone |= edge.partitioning == Partitioning::kKeyed && parallelism > 1;
      alone |= group >= 0 && group != from;
      group = from;
    }
    if (group < 0 || alone) {
      group = static_cast<int>(plan.groups.size());
      plan.groups.emplace_back().part = part_index;
    }
    plan.groups[group].stages.push_back(stage);
    plan.group_of[stage] = group;
  }
  for (int e = 0; e < static_cast<int>(graph.edges.size()); ++e) {
    const int from = plan.group_of[graph.edges[e].from];
    const int to = plan.group_of[graph.edges[e].to];
    if (from == to) {
      plan.groups[from].inner_edges.push_back(e);
    } else {
      plan.groups[from].output_edges.push_back(e);
      plan.groups[to].input_edges.push_back(e);
    }
  }
  return plan;
}

std::vector<int> EvenShares(int parallelism, int executors) {
  WEIR_CHECK(executors >= 1 && executors <= parallelism);
  std::vector<int> shares;
  for (int i = 0; i < executors; ++i) {
    shares.push_back(parallelism * (i + 1) / executors - parallelism * i / executors);
  }
  return shares;
}

std::string GroupName(const JobGraph& graph, const TaskGroup& group) {
  std::string name;
  for (int stage : group.stages) {
    if (!name.empty()) name += " -> ";
    name += graph.stages[stage].name;
  }
  return name;
}

}  // namespace weir
