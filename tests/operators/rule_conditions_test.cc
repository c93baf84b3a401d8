#include "operators/transforms/rule_conditions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "core/limits.h"
#include "core/time.h"
#include "operators/transforms/rule_conditions_yaml.h"
#include "tests/operators/rules_harness.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(RuleConditions, TextsByPrefixPatternAndPresence) {
  EXPECT_TRUE(Holds("id: {prefix: ab}", {.id = "abc"}));
  EXPECT_TRUE(Holds("id: {prefix: [x, ab]}", {.id = "ab"}));
  EXPECT_FALSE(Holds("id: {prefix: ab}", {.id = "a"}));
  EXPECT_TRUE(Holds("type: {matches: 'o.d'}", {.type = "an order"})) << "found anywhere in it";
  EXPECT_FALSE(Holds("type: {matches: '^o.d'}", {.type = "an order"}));
  EXPECT_FALSE(Holds("type: {matches: 'é'}", {.type = "\xe9"})) << "no UTF-8, no match";
  EXPECT_TRUE(Holds("tenant: {exists: true}", {.tenant = "t"}));
  EXPECT_FALSE(Holds("tenant: {exists: true}", {}));
  EXPECT_TRUE(Holds("tenant: {exists: false}", {}));
  EXPECT_TRUE(Holds("type: {in: [a, b], prefix: b}", {.type = "b"}));
  EXPECT_FALSE(Holds("type: {in: [a, b], prefix: b}", {.type = "a"}));
  EXPECT_TRUE(Holds("payload.a: {matches: '^x+$'}", {}, R"({"a":"xx"})"));
  EXPECT_FALSE(Holds("payload.a: {matches: '1'}", {}, R"({"a":1})")) << "a number is no text";
  EXPECT_TRUE(Holds("payload.a: {in: [1, x], prefix: x}", {}, R"({"a":"x"})"));
}

TEST(RuleConditions, ManyTextsAreASet) {
  std::string list = "type: [t0";
  for (int i = 1; i < 1000; ++i) list += ", t" + std::to_string(i);
  list += "]";
  for (const char* in : {"t0", "t7", "t999"}) EXPECT_TRUE(Holds(list, {.type = in})) << in;
  for (const char* out : {"t1000", "t", ""}) EXPECT_FALSE(Holds(list, {.type = out})) << out;
}

TEST(RuleConditions, BoundsMayBeExclusiveAndTimesAreRfc3339) {
  EXPECT_FALSE(Holds("priority: {above: 2}", {.priority = 2}));
  EXPECT_TRUE(Holds("priority: {above: 2}", {.priority = 3}));
  EXPECT_FALSE(Holds("payload.a: {min: 1, below: 2}", {}, R"({"a":2})"));
  EXPECT_TRUE(Holds("payload.a: {min: 1, below: 2}", {}, R"({"a":1.5})"));
  const Timestamp noon = *ParseRfc3339("2026-11-22T12:00:00Z");
  const std::string_view hour =
      "time: {min: 2026-11-22T12:00:00Z, below: 2026-11-22T14:00:00+01:00}";
  EXPECT_TRUE(Holds(hour, {.time = noon}));
  EXPECT_TRUE(Holds(hour, {.time = noon + Seconds(3599)}));
  EXPECT_FALSE(Holds(hour, {.time = noon + Seconds(3600)}));
  EXPECT_FALSE(Holds(hour, {.time = noon - 1}));
}

TEST(RuleConditions, AllAnyAndNot) {
  const std::string_view either = "any: [{type: a}, {tenant: t, priority: {min: 5}}]";
  EXPECT_TRUE(Holds(either, {.type = "a"}));
  EXPECT_TRUE(Holds(either, {.tenant = "t", .priority = 5}));
  EXPECT_FALSE(Holds(either, {.tenant = "t", .priority = 4}));
  EXPECT_FALSE(Holds("not: {type: a}", {.type = "a"}));
  EXPECT_TRUE(Holds("not: {payload.a: 1}", {})) << "what is missing is not 1";
  EXPECT_TRUE(Holds("not: {any: [{type: a}, {type: b}]}, tenant: t", {.tenant = "t", .type = "c"}));
  EXPECT_FALSE(Holds("all: [{priority: {min: 2}}, {priority: {max: 1}}]", {.priority = 2}));
  EXPECT_FALSE(Holds("not: {payload.a: 1}", {}, "{")) << "neither does it hold if nobody can tell";
}

TEST(RuleConditions, ConditionsLieOnlySoDeep) {
  auto nested = [](int depth) {
    std::string text = "{type: a}";
    for (int i = 0; i < depth; ++i) text = "{not: " + text + "}";
    return "rules: [{when: " + text + ", to: x}]";
  };
  EXPECT_EQ(Match(*Rules(nested(limits::kRulesDepthMax)), {.type = "a"}), Labels{"x"});
  EXPECT_THAT(Errors(nested(limits::kRulesDepthMax + 1)), ElementsAre(HasSubstr("16 deep")));
}

TEST(RuleConditions, APercentageIsStableAndPartOfAGreaterOne) {
  auto taken = [](std::string_view condition) {
    const auto rules =
        Rules("default: no\nrules: [{name: r, when: {" + std::string(condition) + "}, to: yes}]");
    std::set<int> ids;
    for (int i = 0; i < 20'000; ++i) {
      const std::string id = "event-" + std::to_string(i);
      if (Match(*rules, {.id = id}, "{\"n\":" + std::to_string(i) + "}") == kYes) ids.insert(i);
    }
    return ids;
  };
  const auto five = taken("id: {percent: 5, salt: s}");
  const auto ten = taken("id: {percent: 10, salt: s}");
  EXPECT_NEAR(five.size(), 1000, 100);
  EXPECT_NEAR(ten.size(), 2000, 150);
  EXPECT_TRUE(std::includes(ten.begin(), ten.end(), five.begin(), five.end()));
  // Which ones must never change, or a restart would sample others.
  const std::vector<int> first(five.begin(), std::next(five.begin(), 3));
  EXPECT_THAT(first, ElementsAre(5, 18, 38));
  EXPECT_EQ(taken("id: {percent: 0}").size(), 0u);
  EXPECT_EQ(taken("id: {percent: 100}").size(), 20'000u);
  EXPECT_NEAR(taken("id: {percent: 0.5, salt: s}").size(), 100, 40);
  EXPECT_NEAR(taken("payload.n: {percent: 50}").size(), 10'000, 400);

  // Of another salt an independent part: of the five in a hundred, five in a hundred.
  const auto other = taken("id: {percent: 5, salt: t}");
  std::vector<int> both;
  std::set_intersection(five.begin(), five.end(), other.begin(), other.end(),
                        std::back_inserter(both));
  EXPECT_LT(both.size(), 120u);
  EXPECT_EQ(taken("id: {percent: 5}"), taken("id: {percent: 5, salt: r}")) << "the rule's name";
  EXPECT_FALSE(Holds("tenant: {percent: 100}", {})) << "who has no tenant is in no part of them";
}

TEST(RuleConditions, WithoutANameTheLabelsAreTheSalt) {
  const auto unnamed = Rules("default: no\nrules: [{when: {id: {percent: 50}}, to: canary}]");
  const auto named =
      Rules("default: no\nrules: [{when: {id: {percent: 50, salt: canary}}, to: canary}]");
  for (int i = 0; i < 200; ++i) {
    const std::string id = std::to_string(i);
    EXPECT_EQ(Match(*unnamed, {.id = id}), Match(*named, {.id = id}));
  }
}

// With and without the index, in files of either kind.
TEST(RuleConditions, TheIndexChangesNothing) {
  for (const char* mode : {"first", "all"}) {
    std::string few = std::string("match: ") + mode + "\ndefault: none\nrules:\n";
    std::string many = few;
    for (int i = 0; i < 12; ++i) {
      const std::string type = "t" + std::to_string(i % 5);
      const std::string to = ", to: l" + std::to_string(i) + "}\n";
      const std::string when = i % 3 == 2 ? "priority: {min: " + std::to_string(i) + "}"
                                          : "type: [" + type + ", u], priority: {max: 9}";
      many += "  - {when: {" + when + "}" + to;
      // The index does not look into any.
      few += "  - {when: {any: [{" + when + "}]}" + to;
    }
    const auto indexed = Rules(many);
    const auto plain = Rules(few);
    for (const char* type : {"t0", "t1", "t2", "t3", "t4", "u", "v", ""}) {
      for (int64_t priority : {0, 2, 8, 9, 10, 11}) {
        const Event event{.type = type, .priority = priority};
        EXPECT_EQ(Match(*indexed, event), Match(*plain, event)) << mode << type << priority;
      }
    }
  }
}

TEST(RuleConditions, PortsAreThoseThatTheJobDeclares) {
  const std::string_view yaml =
      "rules: [{when: {type: a}, to: x, port: side}, {when: {type: b}, port: side}]";
  auto rules = ParseRouterRules(yaml, "rules.yaml", {.names = {"other", "side"}});
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_TRUE((*rules)->has_ports());
  EXPECT_EQ((*rules)->routes()[0], (Route{"x", 2}));
  EXPECT_EQ((*rules)->routes()[1], (Route{"side", 2})) << "without 'to' the port's name";
  EXPECT_THAT(Errors("rules:\n - {when: {type: a}, port: side}"),
              ElementsAre(AllOf(HasSubstr("rules.yaml:2"), HasSubstr("declares no ports"))));
  auto unknown = ParseRouterRules("rules:\n - {to: x, port: sied}", "rules.yaml",
                                  {.names = {"other", "side"}});
  EXPECT_THAT(std::string(unknown.status().message()),
              AllOf(HasSubstr("rules.yaml:2: port: the job does not declare 'sied'"),
                    HasSubstr("other, side")));
}

TEST(RuleConditions, ConditionsThatCannotBeAreErrors) {
  EXPECT_THAT(
      Errors("rules:\n  - {when: {type: {matches: 'a('}}, to: x}"),
      ElementsAre(AllOf(HasSubstr("rules.yaml:2: type.matches: 'a('"), HasSubstr("missing )"))));
  EXPECT_THAT(Errors("rules: [{when: {type: {matches: '(((a{100}){100}){100})'}}, to: x}]"),
              ElementsAre(HasSubstr("no regular expression that RE2 takes")));
  EXPECT_THAT(Errors("rules: [{when: {type: {percent: 101}}, to: x}]"),
              ElementsAre(HasSubstr("from 0 to 100")));
  EXPECT_THAT(Errors("rules: [{when: {type: {salt: s}}, to: x}]"),
              ElementsAre(HasSubstr("a salt is of use with percent only")));
  EXPECT_THAT(Errors("rules: [{when: {type: {min: 1}}, to: x}]"),
              ElementsAre(AllOf(HasSubstr("unknown key 'min'"), HasSubstr("did you mean 'in'?"))));
  EXPECT_THAT(Errors("rules: [{when: {priority: {above: 3, below: 3}}, to: x}]"),
              ElementsAre(HasSubstr("exclude each other")));
  EXPECT_THAT(Errors("rules: [{when: {time: 2026-11-22}, to: x}]"),
              ElementsAre(HasSubstr("expected {min, max, above, below}")));
  EXPECT_THAT(Errors("rules: [{when: {time: {min: yesterday}}, to: x}]"),
              ElementsAre(HasSubstr("RFC 3339")));
  EXPECT_THAT(Errors("rules: [{when: {any: [{}]}, to: x}]"),
              ElementsAre(HasSubstr("the condition is empty")));
  EXPECT_THAT(Errors("rules: [{when: {any: {type: a}}, to: x}]"),
              ElementsAre(HasSubstr("any: expected a list")));
  EXPECT_THAT(Errors("rules: [{when: {payload.a: {exists: false, prefix: a}}, to: x}]"),
              ElementsAre(HasSubstr("no event can match")));
  std::string patterns = "rules:\n";
  for (size_t i = 0; i <= limits::kRulesPatternsMax; ++i) {
    patterns += "  - {when: {type: {matches: a}}, to: x}\n";
  }
  EXPECT_THAT(Errors(patterns), ElementsAre(HasSubstr("at most 256 regular expressions")));
}

TEST(RuleConditions, AnEventIsExplained) {
  const auto rules = ParseRouterRules(R"(rules:
  - name: late
    when: {type: departure, payload.delay: {min: 60}}
    to: alerts
  - name: big
    when:
      any: [{priority: {min: 5}}, {tenant: ATL}]
      not: {type: arrival}
    to: big
  - {name: rest, when: {type: {prefix: dep}}, to: departures}
)",
                                      "rules.yaml");
  ASSERT_TRUE(rules.ok()) << rules.status();
  const SlabPtr payload = CopyToSlab(R"({"delay": 59})");
  Event event{.tenant = "ATL", .type = "departure", .payload = payload->view()};
  RouteExplanation explained = (*rules)->Explain(event);
  EXPECT_EQ(explained.rules[0].why_not, "line 3: payload.delay: {min: 60}: it is 59");
  EXPECT_TRUE(explained.rules[1].counts);
  EXPECT_TRUE(explained.rules[2].matched);
  EXPECT_FALSE(explained.rules[2].counts) << "an earlier rule takes the event";
  EXPECT_THAT(explained.routes, ElementsAre(Route{"big", 0}));

  event.tenant = "ORD";
  explained = (*rules)->Explain(event);
  EXPECT_EQ(explained.rules[1].why_not,
            "line 7: any: [{priority: {min: 5}}, {tenant: ATL}]: none of these holds");
  event.type = "arrival";
  event.priority = 5;
  explained = (*rules)->Explain(event);
  EXPECT_EQ(explained.rules[1].why_not, "line 8: not: {type: arrival}: what must not hold does");
  EXPECT_TRUE(explained.by_default);
  EXPECT_THAT(explained.routes, ElementsAre(Route{"warehouse", 0}));

  event.type = "departure";
  const SlabPtr broken = CopyToSlab("{");
  event.payload = broken->view();
  explained = (*rules)->Explain(event);
  EXPECT_FALSE(explained.failure.ok());
  EXPECT_TRUE(explained.routes.empty());
  EXPECT_FALSE(explained.rules[1].counts);
}

// docs/routing.md has a row for each field, with everything that can be asked of it.
TEST(RuleConditions, TheTableInTheDocumentationIsThatOfTheParser) {
  std::ifstream file(WEIR_SOURCE_DIR "/docs/routing.md");
  std::vector<std::string> rows;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("| `"))
      rows.push_back(line.substr(0, line.find('|', line.find('|', 2) + 1)));
  }
  std::vector<std::string> expected;
  for (const RuleFieldForm& form : RuleFieldForms()) {
    std::string row = "| `" + std::string(form.name) +
                      (form.field == RuleField::kPayload ? "<path>" : "") + "` | ";
    const char* between = "";
    if (form.values) row += std::exchange(between, ", ") + std::string("a value, a list");
    for (std::string_view ask : form.asks) {
      row += std::exchange(between, ", ") + ("`" + std::string(ask) + "`");
    }
    expected.push_back(row + " ");
  }
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace weir::testing
