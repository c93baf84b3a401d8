// Weave: which stages the woven job has, who is refused, and what it begins with.
#include "shadow/weave.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/connectors.h"
#include "jobs/stream.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

struct Order {
  int64_t id = 0;
  BOOST_DESCRIBE_CLASS(Order, (), (id), (), ())
};

struct Settings {
  std::string input = "-";
  bool calls = false;
  bool safe_in_shadow = false;
};

BuiltJob Job(const Settings& settings) {
  JobBuilder job("job");
  auto orders = job.From("orders", JsonFiles<Order>({.input = settings.input}));
  if (settings.calls) {
    orders = orders.Async<Order>("ask", {.safe_in_shadow = settings.safe_in_shadow},
                                 [](const Order& order) -> StatusOr<Order> { return order; });
  }
  orders.To("files", JsonFileSink<Order>({.directory = "/nowhere", .by_partition = false}));
  auto built = job.Build();
  WEIR_CHECK(built.ok());
  return *std::move(built);
}

StatusOr<BuiltJob> Woven(const Settings& baseline, const Settings& candidate,
                         std::string part = "") {
  WeaveOptions options;
  options.job = "woven";
  options.baseline = Job(baseline).graph;
  options.candidate = Job(candidate).graph;
  options.rules = RulesOf("");
  options.results = JsonFileSink<PartialResult>({.directory = "/results", .by_partition = false});
  const BuiltJob code = Job(part == "candidate" ? candidate : baseline);
  if (!part.empty()) options.code = &code;
  options.part = std::move(part);
  return Weave(std::move(options));
}

// "stage (part)", of all.
std::vector<std::string> StagesOf(const JobGraph& graph) {
  std::vector<std::string> stages;
  for (const StageSpec& stage : graph.stages)
    stages.push_back(stage.name + " (" + stage.part + ")");
  return stages;
}

TEST(WeaveTest, EachVersionIsAPartAndASharedSourceIsReadOnce) {
  const auto shared = Woven({}, {});
  ASSERT_TRUE(shared.ok()) << shared.status();
  EXPECT_THAT(StagesOf(shared->graph),
              UnorderedElementsAre("baseline-orders (baseline)", "baseline-files (baseline)",
                                   "again-orders (again)", "again-files (again)",
                                   "candidate-orders (candidate)", "candidate-files (candidate)",
                                   "compare (comparison)", "results (comparison)"));
  for (const StageSpec& stage : shared->graph.stages) {
    EXPECT_EQ(stage.role == StageRole::kSource, stage.name == "baseline-orders") << stage.name;
    EXPECT_EQ(stage.role == StageRole::kSink, stage.name == "results") << stage.name;
  }
  // Where one reads for itself all do, so that the baselines differ as much as it does.
  const auto apart = Woven({}, {.input = "elsewhere"});
  ASSERT_TRUE(apart.ok()) << apart.status();
  for (const StageSpec& stage : apart->graph.stages) {
    EXPECT_EQ(stage.role == StageRole::kSource, stage.name.ends_with("-orders")) << stage.name;
  }
}

// No process has the code of two versions, nor that of a sink of theirs.
TEST(WeaveTest, APartHasItsOwnCodeAlone) {
  for (const std::string part : {"baseline", "again", "candidate"}) {
    const auto woven = Woven({}, {}, part);
    ASSERT_TRUE(woven.ok()) << woven.status();
    for (size_t s = 0; s < woven->stages.size(); ++s) {
      const StageSpec& stage = woven->graph.stages[s];
      const StageCode& code = woven->stages[s];
      if (stage.part == kComparisonPart) continue;
      EXPECT_EQ(code.op != nullptr || code.source != nullptr, stage.part == part) << stage.name;
      EXPECT_FALSE(code.sink) << stage.name;
    }
  }
}

TEST(WeaveTest, WhatCallsOutsideIsRefusedUnlessItIsSafe) {
  const Settings calls{.calls = true};
  const Settings asks{.calls = true, .safe_in_shadow = true};
  EXPECT_TRUE(Woven(asks, asks).ok());
  const Status of_baseline = Woven(calls, asks).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(of_baseline)) << of_baseline;
  EXPECT_THAT(std::string(of_baseline.message()), HasSubstr("stage 'ask' of the baseline"));
  const Status of_candidate = Woven(asks, calls).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(of_candidate)) << of_candidate;
  EXPECT_THAT(std::string(of_candidate.message()), HasSubstr("stage 'ask' of the candidate"));
}

TEST(WeaveTest, ABuilderThatBuildsAnotherGraphIsRefused) {
  WeaveOptions options;
  options.job = "woven";
  options.baseline = options.candidate = Job({}).graph;
  options.rules = RulesOf("");
  options.results = JsonFileSink<PartialResult>({.directory = "/results", .by_partition = false});
  const BuiltJob other = Job({.calls = true, .safe_in_shadow = true});
  options.part = "baseline";
  options.code = &other;
  const Status status = Weave(std::move(options)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("another graph"));
}

TEST(WeaveTest, ACheckpointIsOfEveryVersionAndOfNoSink) {
  Manifest manifest;
  manifest.checkpoint = 7;
  for (const char* stage : {"orders", "ask", "files"}) {
    StageState state;
    state.name = stage;
    state.subtasks.resize(1);
    manifest.stages.push_back(state);
  }
  const JobGraph graph = Job({.calls = true, .safe_in_shadow = true}).graph;
  const auto stages_of = [](const Manifest& woven) {
    std::vector<std::string> names;
    for (const StageState& stage : woven.stages) names.push_back(stage.name);
    return names;
  };
  EXPECT_THAT(
      stages_of(WeaveCheckpoint(manifest, graph, graph)),
      UnorderedElementsAre("baseline-orders", "baseline-ask", "again-ask", "candidate-ask"));
  const JobGraph reads_itself =
      Job({.input = "elsewhere", .calls = true, .safe_in_shadow = true}).graph;
  EXPECT_THAT(stages_of(WeaveCheckpoint(manifest, graph, reads_itself)),
              UnorderedElementsAre("baseline-orders", "baseline-ask", "again-orders", "again-ask",
                                   "candidate-orders", "candidate-ask"));
}

}  // namespace
}  // namespace weir::shadow
