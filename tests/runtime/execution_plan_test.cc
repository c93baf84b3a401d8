#include "runtime/execution_plan.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

// source -> rebatch -(keyed)-> dedup -> files; source and dedup reject to dead-letters.
JobGraph Pipeline() {
  JobGraph graph;
  graph.job = "pipeline";
  for (const char* name : {"source", "rebatch", "dedup", "files", "dead-letters"}) {
    graph.stages.push_back({.name = name, .kind = name});
  }
  graph.edges = {{0, 0, 1},
                 {1, 0, 2, 0, Partitioning::kKeyed},
                 {2, 0, 3},
                 {0, kDeadLetterPort, 4},
                 {2, kDeadLetterPort, 4}};
  return graph;
}

TEST(ExecutionPlanTest, AtParallelismOneAPipelineIsOneTask) {
  ExecutionPlan plan = MakeExecutionPlan(Pipeline(), 1);
  EXPECT_EQ(plan.groups.size(), 1u);
  EXPECT_EQ(plan.tasks(), 1);
  EXPECT_TRUE(plan.groups[0].input_edges.empty());
}

TEST(ExecutionPlanTest, AKeyedEdgeEndsAGroup) {
  const JobGraph graph = Pipeline();
  ExecutionPlan plan = MakeExecutionPlan(graph, 4);
  ASSERT_EQ(plan.groups.size(), 3u);
  EXPECT_EQ(GroupName(graph, plan.groups[0]), "source -> rebatch");
  EXPECT_EQ(GroupName(graph, plan.groups[1]), "dedup -> files");
  EXPECT_EQ(GroupName(graph, plan.groups[2]), "dead-letters");
  EXPECT_EQ(plan.tasks(), 12);
  EXPECT_EQ(plan.groups[2].input_edges, (std::vector<int>{3, 4}));
}

TEST(ExecutionPlanTest, TwoSourcesMakeTwoGroups) {
  JobGraph graph;
  for (const char* name : {"a", "b", "union"}) graph.stages.push_back({.name = name, .kind = name});
  graph.edges = {{0, 0, 2}, {1, 0, 2}};
  EXPECT_EQ(MakeExecutionPlan(graph, 1).groups.size(), 3u);
}

TEST(ExecutionPlanTest, PartsShareNoGroup) {
  JobGraph graph = Pipeline();
  graph.stages[2].part = "b";
  graph.stages[3].part = graph.stages[4].part = "c";
  const ExecutionPlan plan = MakeExecutionPlan(graph, 1);
  EXPECT_EQ(plan.parts, (std::vector<std::string>{"", "b", "c"}));
  ASSERT_EQ(plan.groups.size(), 4u);
  EXPECT_EQ(GroupName(graph, plan.groups[0]), "source -> rebatch");
  EXPECT_EQ(plan.groups[0].part, 0);
  EXPECT_EQ(GroupName(graph, plan.groups[1]), "dedup");
  EXPECT_EQ(plan.groups[1].part, 1);
  EXPECT_EQ(GroupName(graph, plan.groups[2]), "files");
  EXPECT_EQ(GroupName(graph, plan.groups[3]), "dead-letters");
  EXPECT_EQ(plan.groups[3].part, 2);
}

}  // namespace
}  // namespace weir
