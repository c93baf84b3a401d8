#include "operators/transforms/router.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/rule_program.h"
#include "operators/transforms/rule_set.h"
#include "testing/recording_output.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

struct Row {
  std::string type;
  std::string payload;
};

BatchPtr Events(const std::vector<Row>& rows, bool hashes = false) {
  auto batch = std::make_unique<Batch<Event>>();
  std::vector<uint64_t> key_hashes;
  SlabArena arena;
  for (size_t i = 0; i < rows.size(); ++i) {
    Event event;
    event.type = arena.Copy(rows[i].type);
    event.payload = arena.Copy(rows[i].payload);
    batch->Add(event, static_cast<Timestamp>(100 + i));
    key_hashes.push_back(i);
  }
  arena.Release(batch->slabs());
  if (hashes) batch->set_key_hashes(key_hashes);
  return batch;
}

class RouterTest : public ::testing::Test {
 protected:
  void Run(std::string_view yaml, BatchPtr batch) {
    auto rules = ParseRouterRules(yaml, "rules.yaml", {.names = {"side"}});
    ASSERT_TRUE(rules.ok()) << rules.status();
    Run(*std::move(rules), std::move(batch));
  }
  void Run(std::shared_ptr<const RouterRules> rules, BatchPtr batch) {
    Router router(std::move(rules));
    OperatorContext context;
    context.counters = &counters;
    ASSERT_TRUE(router.Open(context).ok());
    auto progress = router.Process(0, std::move(batch), out);
    ASSERT_TRUE(progress.ok());
    EXPECT_EQ(*progress, Progress::kDone);
    // The router and its rules end here: what was emitted must stand on its own.
  }
  std::vector<std::pair<std::string, std::string>> Routed(int port = 0) const {
    std::vector<std::pair<std::string, std::string>> routed;
    for (const Event& event : out.Rows<Event>(port))
      routed.emplace_back(event.route, event.payload);
    return routed;
  }
  RecordingOutput out;
  OperatorCounters counters;
};

TEST_F(RouterTest, WritesTheRouteIntoEachEvent) {
  Run("rules: [{when: {type: a}, to: x}]", Events({{"a", "1"}, {"b", "2"}, {"a", "3"}}, true));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "1"), Pair("warehouse", "2"), Pair("x", "3")));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), ElementsAre(0, 1, 2));
  EXPECT_EQ(counters.dropped, 0u);
}

TEST_F(RouterTest, DropsAndCountsWhatNoRuleTakes) {
  Run("default: none\nrules: [{when: {type: a}, to: x}]",
      Events({{"b", "1"}, {"a", "2"}, {"b", "3"}}));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "2")));
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(101));
  EXPECT_EQ(counters.dropped, 2u);
  EXPECT_TRUE(out.rejected.empty());
}

TEST_F(RouterTest, AnEventGoesOutOnceForEachLabelAndKeepsItsColumns) {
  Run("match: all\ndefault: none\nrules: [{when: {type: [a, b]}, to: x}, {when: {type: b}, to: y}]",
      Events({{"a", "1"}, {"c", "2"}, {"b", "3"}}, true));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "1"), Pair("x", "3"), Pair("y", "3")));
  ASSERT_EQ(out.emitted.size(), 1u);
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(100, 102, 102));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), ElementsAre(0, 2, 2));
  EXPECT_EQ(counters.dropped, 1u);
}

TEST_F(RouterTest, RejectsAnEventWhosePayloadARuleCannotRead) {
  Run("rules: [{when: {type: a, payload.x: 1}, to: x}]",
      Events({{"a", "{\"x\":"}, {"b", "{\"x\":"}, {"a", "{\"x\":1}"}}));
  EXPECT_THAT(Routed(), ElementsAre(Pair("warehouse", "{\"x\":"), Pair("x", "{\"x\":1}")));
  ASSERT_EQ(out.rejected.size(), 1u);
  EXPECT_EQ(out.rejected[0].record, "{\"x\":");
  EXPECT_EQ(out.rejected[0].time, 100);
  EXPECT_THAT(out.rejected[0].error, HasSubstr("a rule looks into the payload"));
  EXPECT_EQ(counters.dropped, 0u);
}

TEST_F(RouterTest, EmitsNothingForABatchOfWhichNothingIsLeft) {
  Run("default: none", Events({{"a", "1"}, {"b", "2"}}));
  EXPECT_TRUE(Routed().empty());
  EXPECT_EQ(counters.dropped, 2u);
}

TEST_F(RouterTest, OverwritesAnEarlierRoute) {
  BatchPtr batch = Events({{"a", "1"}});
  Batch<Event>::Of(*batch)[0].route = "old";
  Run("default: new", std::move(batch));
  EXPECT_THAT(Routed(), ElementsAre(Pair("new", "1")));
}

TEST_F(RouterTest, RulesMaySendEventsToAPort) {
  Run("default: none\nmatch: all\nrules:\n  - {when: {type: [a, b]}, to: x}\n"
      "  - {when: {type: [b, c]}, to: y, port: side}",
      Events({{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}, true));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "1"), Pair("x", "2")));
  EXPECT_THAT(Routed(1), ElementsAre(Pair("y", "2"), Pair("y", "3")));
  ASSERT_EQ(out.emitted.size(), 2u);
  EXPECT_THAT(out.emitted[1].batch->key_hashes(), ElementsAre(1, 2));
  EXPECT_THAT(out.emitted[1].batch->times(), ElementsAre(101, 102));
  EXPECT_EQ(counters.dropped, 1u);
}

TEST_F(RouterTest, ANewVersionIsForTheRowsThatComeLater) {
  auto first = ParseRouterRules("default: one", "rules.yaml");
  auto second = ParseRouterRules("default: two", "rules.yaml");
  ASSERT_TRUE(first.ok() && second.ok());
  Router router(*first);
  OperatorContext context;
  context.counters = &counters;
  ASSERT_TRUE(router.Open(context).ok());
  ASSERT_TRUE(router.Process(0, Events({{"a", "1"}}), out).ok());
  ASSERT_TRUE(router.OnReload({7, std::shared_ptr<const RouterRules>(*second)}).ok());
  ASSERT_TRUE(router.Process(0, Events({{"a", "2"}}), out).ok());
  EXPECT_THAT(Routed(), ElementsAre(Pair("one", "1"), Pair("two", "2")));
}

TEST_F(RouterTest, PredicatesInCpp) {
  const std::string wanted = "b";
  auto rules =
      RuleSet()
          .When("x", [](const Event& event) { return event.type == "a"; })
          .When({.port = "side"}, [wanted](const Event& event) { return event.type == wanted; })
          .When("x",
                [](const Event& event) -> StatusOr<bool> {
                  if (event.type == "bad") return absl::InvalidArgumentError("a bad type");
                  if (event.type == "worse") throw std::runtime_error("worse");
                  return event.payload == "x";
                })
          .Otherwise("rest")
          .Build({"side"});
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ((*rules)->rules(), 3u);
  Run(*rules,
      Events({{"a", "1"}, {"b", "2"}, {"bad", "3"}, {"worse", "4"}, {"c", "x"}, {"c", "6"}}));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "1"), Pair("x", "x"), Pair("rest", "6")));
  EXPECT_THAT(Routed(1), ElementsAre(Pair("side", "2")));
  ASSERT_EQ(out.rejected.size(), 2u);
  EXPECT_EQ(out.rejected[0].error, "a bad type");
  EXPECT_EQ(out.rejected[0].record, "3");
  EXPECT_EQ(out.rejected[1].error, "worse");
}

TEST_F(RouterTest, EveryPredicateThatHoldsCountsIfAllAreAskedFor) {
  auto rules = RuleSet()
                   .When("x", [](const Event& event) { return event.type != "c"; })
                   .When("y", [](const Event& event) { return event.type == "a"; })
                   .When("x", [](const Event& event) { return event.type == "a"; })
                   .MatchAll()
                   .OtherwiseDrop()
                   .Build({});
  ASSERT_TRUE(rules.ok()) << rules.status();
  Run(*rules, Events({{"a", "1"}, {"b", "2"}, {"c", "3"}}));
  EXPECT_THAT(Routed(), ElementsAre(Pair("x", "1"), Pair("y", "1"), Pair("x", "2")));
  EXPECT_EQ(counters.dropped, 1u);
}

TEST_F(RouterTest, WrongRoutesOfPredicatesAreErrors) {
  auto always = [](const Event&) { return true; };
  EXPECT_THAT(std::string(RuleSet().When("../x", always).Build({}).status().message()),
              HasSubstr("'../x' cannot be a label"));
  EXPECT_THAT(
      std::string(RuleSet().When({.port = "side"}, always).Build({"else"}).status().message()),
      HasSubstr("the port 'side'"));
}

}  // namespace
}  // namespace weir::testing
