#include "jobs/job_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/connectors.h"
#include "jobs/job_library.h"
#include "jobs/stream.h"

namespace weir {
namespace {

using ::testing::HasSubstr;

SourceSpec<Event> Events() { return EventFiles({.input = "in"}, {}); }

StatusOr<BuiltJob> Pipeline(Duration window) {
  JobBuilder job("pipeline");
  job.From("source", Events())
      .Rebatch("rebatch")
      .Dedup("dedup", {.window = window}, [](const Event& e) { return e.id; })
      .To("files", Blackhole<Event>());
  job.DeadLetters("dead-letters", Blackhole<DeadLetter>());
  return job.Build();
}

TEST(JobBuilderTest, BuildsTheGraphInOrder) {
  StatusOr<BuiltJob> built = Pipeline(Hours(1));
  ASSERT_TRUE(built.ok()) << built.status();
  const JobGraph& graph = built->graph;
  ASSERT_EQ(graph.stages.size(), 5u);
  EXPECT_EQ(graph.stages[4].name, "dead-letters");
  EXPECT_EQ(built->stages.size(), graph.stages.size());
  EXPECT_EQ(built->edges.size(), graph.edges.size());
  int keyed = 0;
  int rejected = 0;
  for (size_t e = 0; e < graph.edges.size(); ++e) {
    EXPECT_LT(graph.edges[e].from, graph.edges[e].to);
    keyed += graph.edges[e].partitioning == Partitioning::kKeyed;
    EXPECT_EQ(graph.edges[e].partitioning == Partitioning::kKeyed,
              built->edges[e].hash_keys != nullptr);
    rejected += graph.edges[e].port == kDeadLetterPort;
  }
  EXPECT_EQ(keyed, 1);
  EXPECT_EQ(rejected, 4);
}

TEST(JobBuilderTest, TheGraphSurvivesItsBytes) {
  StatusOr<BuiltJob> built = Pipeline(Hours(1));
  ASSERT_TRUE(built.ok());
  StatusOr<JobGraph> parsed = JobGraph::Parse(built->graph.Serialize());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->Serialize(), built->graph.Serialize());
  EXPECT_EQ(parsed->Fingerprint(), built->graph.Fingerprint());
  EXPECT_FALSE(parsed->stages[1].key);
  ASSERT_TRUE(parsed->stages[2].key);
  EXPECT_EQ(parsed->stages[2].key->ToText(), "string");
}

TEST(JobBuilderTest, HostileGraphBytesAreRefused) {
  const std::string bytes = Pipeline(Hours(1))->graph.Serialize();
  for (size_t i = 0; i < bytes.size(); ++i) {
    (void)JobGraph::Parse(bytes.substr(0, i));  // must not crash
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x5a);
    StatusOr<JobGraph> graph = JobGraph::Parse(flipped);
    if (!graph.ok()) continue;
    for (const EdgeSpec& edge : graph->edges)
      ASSERT_LT(edge.to, static_cast<int>(graph->stages.size()));
  }
}

TEST(JobBuilderTest, OptionsArePartOfTheFingerprint) {
  EXPECT_EQ(Pipeline(Hours(1))->graph.Fingerprint(), Pipeline(Hours(1))->graph.Fingerprint());
  EXPECT_NE(Pipeline(Hours(1))->graph.Fingerprint(), Pipeline(Hours(2))->graph.Fingerprint());
}

TEST(JobBuilderTest, AllErrorsAreToldAtOnceByStage) {
  JobBuilder job("bad");
  auto source = job.From("source", Events());
  source.Filter("same", [](const Event&) { return true; }).To("out", Blackhole<Event>());
  source.Filter("same", [](const Event&) { return true; }).To("a/b", Blackhole<Event>());
  source.Filter("loose", [](const Event&) { return true; });
  StatusOr<BuiltJob> built = job.Build();
  ASSERT_FALSE(built.ok());
  const std::string message(built.status().message());
  EXPECT_THAT(message, HasSubstr("stage 'same': there are two stages of this name"));
  EXPECT_THAT(message, HasSubstr("stage 'a/b': a stage's name is"));
  EXPECT_THAT(message, HasSubstr("stage 'loose': nothing reads its output"));
}

TEST(JobBuilderTest, RebatchByKeyDealsOutByKeyAndSaysWhatIsWrongWithItsOptions) {
  auto build = [](RebatchOptions options) {
    JobBuilder job("rebatch");
    auto tenant = [](const Event& e) { return e.tenant; };
    job.From("a", Events())
        .Rebatch("all", options)
        .Rebatch("by-tenant", options, tenant)
        .KeyBy(tenant)
        .Rebatch("again", options)
        .To("out", Blackhole<Event>());
    return job.Build();
  };
  StatusOr<BuiltJob> built = build({.rows = 10});
  ASSERT_TRUE(built.ok()) << built.status();
  for (const EdgeSpec& edge : built->graph.edges) {
    const bool by_key = edge.to == 2 || edge.to == 3;
    EXPECT_EQ(edge.partitioning, by_key ? Partitioning::kKeyed : Partitioning::kForward);
  }
  EXPECT_NE(built->graph.Fingerprint(),
            build({.rows = 10, .open_batches = 7})->graph.Fingerprint());
  EXPECT_THAT(std::string(build({.delay = 0}).status().message()),
              HasSubstr("stage 'by-tenant': rebatch by key: the delay is 0"));
}

TEST(JobBuilderTest, AUnionIsAnEdgeFromEachOfItsStreams) {
  JobBuilder job("union");
  auto a = job.From("a", Events());
  auto b = job.From("b", Events());
  auto key = [](const Event& e) { return e.id; };
  a.Union(b, a).Dedup("dedup", {.window = Hours(1)}, key).To("out", Blackhole<Event>());
  StatusOr<BuiltJob> built = job.Build();
  ASSERT_TRUE(built.ok()) << built.status();
  const int dedup = built->graph.FindStage("dedup");
  std::vector<int> from;
  for (size_t e = 0; e < built->graph.edges.size(); ++e) {
    const EdgeSpec& edge = built->graph.edges[e];
    if (edge.to != dedup) continue;
    from.push_back(edge.from);
    EXPECT_EQ(edge.partitioning, Partitioning::kKeyed);
    EXPECT_TRUE(built->edges[e].hash_keys);
  }
  EXPECT_EQ(from, (std::vector<int>{0, 1, 0}));
}

TEST(JobBuilderTest, WhatIsMeantBehindAUnionMustBeClear) {
  JobBuilder job("union");
  JobBuilder other("other");
  auto a = job.From("a", Events());
  auto b = job.From("b", Events());
  a.Union(other.From("c", Events())).To("out", Blackhole<Event>());
  a.Union(b).OnFailure(FailurePolicy::kDrop).To("all", Blackhole<Event>());
  a.Union(b).Side<Event>(1).To("side", Blackhole<Event>());
  const std::string message(job.Build().status().message());
  EXPECT_THAT(message, HasSubstr("stage 'a': Union() with a stream of another JobBuilder"));
  EXPECT_THAT(message, HasSubstr("stage 'a': OnFailure() behind Union()"));
  EXPECT_THAT(message, HasSubstr("stage 'a': Side() behind Union()"));
}

TEST(JobBuilderTest, AStageWhoseMainOutputNobodyReadsIsAnError) {
  JobBuilder job("side");
  job.From("a", Events()).Side<Event>(1).To("out", Blackhole<Event>());
  EXPECT_THAT(std::string(job.Build().status().message()), HasSubstr("stage 'a': nothing reads"));
}

TEST(JobBuilderTest, WithoutDeadLettersARejectedRowEndsTheJob) {
  JobBuilder job("strict");
  job.From("source", Events()).To("out", Blackhole<Event>());
  StatusOr<BuiltJob> built = job.Build();
  ASSERT_TRUE(built.ok());
  EXPECT_EQ(built->graph.stages[0].on_failure, FailurePolicy::kFail);
}

TEST(JobBuilderTest, AskingForDeadLettersThatAreNotThereIsAnError) {
  JobBuilder job("strict");
  job.From("source", Events()).OnFailure(FailurePolicy::kDeadLetter).To("out", Blackhole<Event>());
  EXPECT_THAT(std::string(job.Build().status().message()), HasSubstr("JobBuilder::DeadLetters"));
}

TEST(JobBuilderTest, AnEmptyJobIsAnError) {
  JobBuilder job("nothing");
  EXPECT_THAT(std::string(job.Build().status().message()), HasSubstr("no stages"));
}

TEST(JobBuilderTest, ARoutersOutputsHaveToBeDeclaredAndRead) {
  auto build = [](auto finish) {
    JobBuilder job("job");
    auto routed =
        job.From("events", EventFiles({.input = "in"}, {}))
            .Route("router", RuleSet().When({.port = "side"}, [](const Event&) { return true; }),
                   {"side"});
    routed.To("files", Blackhole<Event>());
    finish(routed);
    return job.Build();
  };
  StatusOr<BuiltJob> built =
      build([](Stream<Event> routed) { routed.Side("side").To("aside", Blackhole<Event>()); });
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_EQ(built->graph.stages[1].outputs, std::vector<std::string>{"side"});
  EXPECT_EQ(built->graph.edges.back().port, 1);
  StatusOr<JobGraph> parsed = JobGraph::Parse(built->graph.Serialize());
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->stages[1].outputs, built->graph.stages[1].outputs);

  built = build([](Stream<Event>) {});
  EXPECT_THAT(std::string(built.status().message()),
              HasSubstr("nothing reads its side output 'side'"));
  built = build([](Stream<Event> routed) {
    routed.Side("side").To("aside", Blackhole<Event>());
    routed.Side("sied").To("nowhere", Blackhole<Event>());
  });
  EXPECT_THAT(std::string(built.status().message()), HasSubstr("no side output 'sied'"));
}

TEST(JobBuilderTest, RulesOfAFileMayBeReloadedAndMayNotNameAnotherPort) {
  auto build = [](std::string bytes) {
    JobBuilder job("job");
    auto routed =
        job.From("events", EventFiles({.input = "in"}, {}))
            .Route("router", Resource{"rules.yaml", "/etc/rules.yaml", bytes, ""}, {"side"});
    routed.To("files", Blackhole<Event>());
    routed.Side("side").To("aside", Blackhole<Event>());
    return job.Build();
  };
  StatusOr<BuiltJob> built = build("default: x");
  ASSERT_TRUE(built.ok()) << built.status();
  ASSERT_TRUE(built->stages[1].reloadable);
  const Reloadable& reloadable = *built->stages[1].reloadable;
  EXPECT_EQ(reloadable.path, "/etc/rules.yaml");
  EXPECT_EQ(reloadable.bytes, "default: x");
  EXPECT_TRUE(reloadable.compile("rules: [{to: new-label, port: side}]").ok());
  EXPECT_THAT(std::string(reloadable.compile("rules:\n- {to: x, port: new}").status().message()),
              HasSubstr("/etc/rules.yaml:2: port: the job does not declare 'new'"));
  built = build("default: '!'");
  EXPECT_THAT(std::string(built.status().message()), HasSubstr("/etc/rules.yaml:1: default"));
}

TEST(JobLibraryTest, OneOfOtherHeadersIsRefusedAndToldFromOneOfAnotherAbi) {
  const Status refused = JobLibrary::Load(WEIR_TEST_JOB).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(
      std::string(refused.message()),
      ::testing::AllOf(HasSubstr(WEIR_TEST_JOB " was built with other headers than this Weir"),
                       HasSubstr("compiler 1.2"), HasSubstr("build it again")));
}

}  // namespace
}  // namespace weir
