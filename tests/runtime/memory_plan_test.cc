#include "runtime/worker/memory_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

JobGraph Graph() {
  JobGraph graph;
  graph.stages = {{.name = "source", .role = StageRole::kSource, .keyed_state = true},
                  {.name = "dedup", .id_state = true},
                  {.name = "count", .keyed_state = true},
                  {.name = "map"},
                  {.name = "files", .role = StageRole::kSink},
                  {.name = "dead-letters", .role = StageRole::kSink}};
  return graph;
}

TEST(MemoryPlanTest, WhatAllInstancesMayHoldIsWithinTheBudget) {
  for (int parallelism : {1, 2, 7}) {
    constexpr size_t kBudget = 2ull << 30;
    StatusOr<MemoryPlan> plan = PlanMemory(Graph(), parallelism, kBudget);
    ASSERT_TRUE(plan.ok()) << plan.status();
    size_t total = plan->exchange_bytes + plan->block_cache_bytes + limits::kProcessBytes;
    for (size_t bytes : plan->instance_bytes) total += bytes * static_cast<size_t>(parallelism);
    EXPECT_LE(total, kBudget);
    EXPECT_EQ(plan->instance_bytes[0], 0u) << "a source keeps little";
    EXPECT_EQ(plan->instance_bytes[1], plan->instance_bytes[2]);
    EXPECT_GE(plan->instance_bytes[1] * 2 * parallelism, kBudget / 2 - 2 * parallelism);
    EXPECT_EQ(plan->instance_bytes[3], 0u);
    EXPECT_GT(plan->instance_bytes[4], 0u);
  }
}

TEST(MemoryPlanTest, TheLeastThatAnErrorNamesIsEnough) {
  for (int parallelism : {1, 2, 7, 64}) {
    Status status = PlanMemory(Graph(), parallelism, 1 << 20).status();
    ASSERT_TRUE(absl::IsInvalidArgument(status)) << status;
    const std::string message(status.message());
    EXPECT_THAT(message, HasSubstr("1MiB is too small"));
    const size_t at = message.find("at least ") + 9;
    StatusOr<uint64_t> least = ParseSize(message.substr(at, message.find(' ', at) - at));
    ASSERT_TRUE(least.ok()) << message;
    EXPECT_TRUE(PlanMemory(Graph(), parallelism, *least).ok()) << message;
    EXPECT_FALSE(PlanMemory(Graph(), parallelism, *least - 8).ok()) << message;
  }
}

}  // namespace
}  // namespace weir
