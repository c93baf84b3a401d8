#include "operators/transforms/router_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operators/rules_harness.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(RouterRules, TheFirstRuleThatHoldsCounts) {
  const auto rules = Rules(R"(
match: first
default: warehouse
rules:
  - name: big-delays
    when: {type: departure, tenant: [ATL, ORD], priority: {min: 2}, payload.delay: {min: 60}}
    to: alerts
  - name: departures
    when: {type: departure}
    to: [departures, archive]
  - when: {priority: [7, 9]}
    to: sevens
)");
  EXPECT_FALSE(rules->match_all());
  Event event{.tenant = "ATL", .type = "departure", .priority = 2};
  EXPECT_EQ(Match(*rules, event, R"({"delay": 60})"), Labels{"alerts"});
  EXPECT_THAT(Match(*rules, event, R"({"delay": 59})"), ElementsAre("departures", "archive"));
  EXPECT_THAT(Match(*rules, event, R"({"delay": "60"})"), ElementsAre("departures", "archive"));
  event.tenant = "JFK";
  EXPECT_THAT(Match(*rules, event, "not JSON, but nobody looks"),
              ElementsAre("departures", "archive"));
  EXPECT_EQ(Match(*rules, {.type = "arrival", .priority = 9}), Labels{"sevens"});
  EXPECT_EQ(Match(*rules, {.type = "arrival", .priority = 8}), Labels{"warehouse"});
  EXPECT_EQ(Match(*rules, {.tenant = "ATL", .type = "departure", .priority = 2}, "{"),
            Labels{"<broken>"});
}

TEST(RouterRules, AllRulesThatHoldCountAndALabelComesOnce) {
  const auto rules = Rules(R"(
match: all
default: none
rules:
  - {when: {type: a}, to: [x, y]}
  - {when: {tenant: t}, to: [z, y]}
  - {when: {payload.p: 1}, to: x}
)");
  EXPECT_TRUE(rules->match_all());
  EXPECT_THAT(Match(*rules, {.tenant = "t", .type = "a"}, R"({"p":1})"),
              ElementsAre("x", "y", "z"));
  EXPECT_THAT(Match(*rules, {.tenant = "t", .type = "b"}), ElementsAre("z", "y"));
  EXPECT_THAT(Match(*rules, {}), IsEmpty());
  EXPECT_EQ(Match(*rules, {.type = "a"}, "["), Labels{"<broken>"}) << "and not half of its labels";
}

TEST(RouterRules, WithoutADefaultEventsGoToTheWarehouse) {
  EXPECT_EQ(Match(*Rules("match: first"), {}), Labels{"warehouse"});
  EXPECT_EQ(Match(*RouteEverythingTo("there"), {}), Labels{"there"});
}

TEST(RouterRules, AnUnconditionalRuleTakesTheRest) {
  const auto rules = Rules("rules: [{when: {type: a}, to: x}, {to: y}]");
  EXPECT_EQ(Match(*rules, {.type = "a"}), Labels{"x"});
  EXPECT_EQ(Match(*rules, {}), Labels{"y"});
}

TEST(RouterRules, TextsThatLookLikeNumbersAreTexts) {
  const auto rules =
      Rules("default: no\nrules: [{when: {tenant: [007, 1.50, true, '']}, to: yes}]");
  EXPECT_EQ(Match(*rules, {.tenant = "007"}), kYes);
  EXPECT_EQ(Match(*rules, {.tenant = "1.50"}), kYes);
  EXPECT_EQ(Match(*rules, {.tenant = "true"}), kYes);
  EXPECT_EQ(Match(*rules, {.tenant = ""}), kYes);
  EXPECT_EQ(Match(*rules, {.tenant = "7"}), kNo);
}

TEST(RouterRules, PayloadScalarsMeetTheirOwnKindOnly) {
  EXPECT_EQ(MatchPayload("payload.a: 60", R"({"a":60})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: 60", R"({"a":60.0})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: 60", R"({"a":6e1})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: 60", R"({"a":"60"})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: '60'", R"({"a":"60"})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: '60'", R"({"a":60})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: 00501", R"({"a":"00501"})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: ATL", R"({"a":"\u0041TL"})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: true", R"({"a":true})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: true", R"({"a":"true"})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: false", R"({"a":true})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: null", R"({"a":null})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: null", R"({})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: [1, x, null]", R"({"a":"x"})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: [1, x, null]", R"({"a":["x"]})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: nan", R"({"a":"nan"})"), kYes);
}

TEST(RouterRules, NumbersAreComparedExactly) {
  EXPECT_EQ(MatchPayload("payload.a: 9007199254740993", R"({"a":9007199254740993})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: 9007199254740993", R"({"a":9007199254740992})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: 18446744073709551615", R"({"a":18446744073709551615})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: 18446744073709551615", R"({"a":18446744073709551614})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: {min: -0.5, max: 0.5}", R"({"a":-0.5})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: {min: 1e3}", R"({"a":999.9999})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a: {max: 5}", R"({"a":1e400})"), kNo);
  EXPECT_EQ(
      MatchPayload("payload.a: {min: 5}", R"({"a":1234567890123456789012345678901234567890})"),
      kYes);
}

TEST(RouterRules, PayloadPathsAndPresence) {
  EXPECT_EQ(MatchPayload("payload.a.b: 1", R"({"a":{"b":1}})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a.b: 1", R"({"a.b":1})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a.b: 1", R"({"a":[1]})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a.b: {exists: true}", R"({"a":{"b":null}})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a.b: {exists: true}", R"({"a":{}})"), kNo);
  EXPECT_EQ(MatchPayload("payload.a.b: {exists: false}", R"({"a":3})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a.b: {exists: false}", R"([])"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: {exists: true, min: 2}", R"({"a":2})"), kYes);
  EXPECT_EQ(MatchPayload("payload.a: {exists: true, min: 2}", R"({"a":1})"), kNo);
}

TEST(RouterRules, PriorityBoundsAreInclusive) {
  const auto rules = Rules("default: no\nrules: [{when: {priority: {min: -1, max: 2}}, to: yes}]");
  EXPECT_EQ(Match(*rules, {.priority = -2}), kNo);
  EXPECT_EQ(Match(*rules, {.priority = -1}), kYes);
  EXPECT_EQ(Match(*rules, {.priority = 2}), kYes);
  EXPECT_EQ(Match(*rules, {.priority = 3}), kNo);
  const auto exact =
      Rules("default: no\nrules: [{when: {priority: 9223372036854775807}, to: yes}]");
  EXPECT_EQ(Match(*exact, {.priority = 9223372036854775807}), kYes);
  EXPECT_EQ(Match(*exact, {.priority = 9223372036854775806}), kNo);
}

TEST(RouterRules, AliasesMayBeUsed) {
  const auto rules = Rules(R"(
match: all
rules:
  - {when: {type: a, tenant: &hubs [ATL, ORD]}, to: x}
  - {when: {type: b, tenant: *hubs}, to: y}
)");
  EXPECT_EQ(Match(*rules, {.tenant = "ORD", .type = "a"}), Labels{"x"});
  EXPECT_EQ(Match(*rules, {.tenant = "ORD", .type = "b"}), Labels{"y"});
}

TEST(RouterRules, AllErrorsOfAFileAreToldWithTheirLines) {
  const auto errors = Errors(R"(match: frist
defualt: warehouse
rules:
  - name: one
    when: {tennant: ATL, priority: high}
    to: ../alerts
  - name: one
    when:
      payload.delay: {min: 60, max: 10}
      payload.x: {exits: true}
      type: []
    to: [a, dead-letters, a]
  - when: {type: x}
    two: y
  - just text
)");
  EXPECT_THAT(
      errors,
      ElementsAre(AllOf(HasSubstr("rules.yaml:1: "), HasSubstr("'first' or 'all'")),
                  AllOf(HasSubstr("rules.yaml:2: "), HasSubstr("did you mean 'default'?")),
                  AllOf(HasSubstr("rules.yaml:5: "), HasSubstr("did you mean 'tenant'?")),
                  AllOf(HasSubstr("rules.yaml:5: "), HasSubstr("expected an integer")),
                  AllOf(HasSubstr("rules.yaml:6: "), HasSubstr("'../alerts' cannot be a label")),
                  AllOf(HasSubstr("rules.yaml:7: "), HasSubstr("taken by the rule on line 4")),
                  AllOf(HasSubstr("rules.yaml:9: "), HasSubstr("min is greater than max")),
                  AllOf(HasSubstr("rules.yaml:10: "), HasSubstr("did you mean 'exists'?")),
                  AllOf(HasSubstr("rules.yaml:11: "), HasSubstr("the list is empty")),
                  AllOf(HasSubstr("rules.yaml:12: "), HasSubstr("'dead-letters' is the folder")),
                  AllOf(HasSubstr("rules.yaml:12: "), HasSubstr("'a' stands here twice")),
                  AllOf(HasSubstr("rules.yaml:13: "), HasSubstr("'to' is missing")),
                  AllOf(HasSubstr("rules.yaml:14: "), HasSubstr("unknown key 'two'")),
                  AllOf(HasSubstr("rules.yaml:15: "), HasSubstr("expected 'key: value'"))));
}

TEST(RouterRules, RulesBehindOneThatTakesEverythingAreErrors) {
  EXPECT_THAT(Errors(R"(rules:
  - {name: a, when: {type: x}, to: x}
  - {name: all, to: y}
  - {name: b, when: {type: z}, to: z}
  - {name: c, when: {}, to: z}
)"),
              ElementsAre(AllOf(HasSubstr("rules.yaml:4: b is never reached"),
                                HasSubstr("'all' on line 3")),
                          HasSubstr("rules.yaml:5: c is never reached")));
  EXPECT_NE(Rules("match: all\nrules: [{to: y}, {when: {type: z}, to: z}]"), nullptr);
}

TEST(RouterRules, WhatIsNotYamlIsToldWithItsLine) {
  EXPECT_THAT(Errors("match: first\nrules: [\n  {to: x\n"), ElementsAre(HasSubstr("rules.yaml:")));
  EXPECT_THAT(Errors("a: b: c"), ElementsAre(HasSubstr("rules.yaml:1: not YAML")));
  EXPECT_THAT(Errors(""), ElementsAre(HasSubstr("the file is empty")));
  EXPECT_THAT(Errors("# gr\xc3\xbc\xc3\x9f\n# gr\xfc\xdf\n"),
              ElementsAre(HasSubstr("rules.yaml:2: this is not UTF-8")));
  EXPECT_THAT(Errors("- 1"), ElementsAre(HasSubstr("rules.yaml:1: ")));
  EXPECT_THAT(Errors("just text"), ElementsAre(HasSubstr("rules.yaml:1: ")));
  EXPECT_THAT(Errors("match: first\n---\nmatch: all"),
              ElementsAre(HasSubstr("second YAML document")));
  EXPECT_THAT(Errors("match: first\nmatch: all"),
              ElementsAre(HasSubstr("rules.yaml:2: rules file: 'match' stands here twice")));
  EXPECT_THAT(Errors("default: [none, x]"), ElementsAre(HasSubstr("'none' is no label")));
  EXPECT_THAT(Errors("? [a]\n: b"), ElementsAre(HasSubstr("a key must be a word")));
  EXPECT_THAT(Errors(std::string("\xff\xfe\x00\x01", 4)), ::testing::SizeIs(1));
}

TEST(RouterRules, HostileFilesAreRefusedQuickly) {
  EXPECT_THAT(Errors(std::string(3 << 20, '#')), ElementsAre(HasSubstr("at most 1048576")));
  EXPECT_THAT(Errors(std::string(100'000, '[')), ::testing::SizeIs(1));
  EXPECT_THAT(Errors("rules: &a [*a]"), ::testing::Not(IsEmpty()));
  EXPECT_THAT(Errors("rules: &a [{when: {tenant: *a}, to: x}]"), ::testing::Not(IsEmpty()));

  std::string laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 20; ++i) {
    const std::string p = "*a" + std::to_string(i - 1);
    laughs += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + p;
    for (int j = 0; j < 8; ++j) laughs += ", " + p;
    laughs += "]\n";
  }
  EXPECT_THAT(Errors(laughs + "rules: *a19\n"), ::testing::Not(IsEmpty()));

  std::string many = "rules:\n  - {when: &w {tenant: [x";
  for (int i = 0; i < 20'000; ++i) many += ", x";
  many += "]}, to: t}\n";
  for (int i = 0; i < 20; ++i) many += "  - {when: *w, to: t}\n";
  EXPECT_THAT(Errors(many), ::testing::Contains(HasSubstr("unfolds to more than 100000 values")));

  std::string wrong = "rules:\n";
  for (int i = 0; i < 300; ++i) wrong += "  - {to: '!'}\n";
  EXPECT_EQ(Errors(wrong).size(), 101u);
  EXPECT_THAT(Errors(wrong).back(), HasSubstr("errors more"));
}

}  // namespace
}  // namespace weir::testing
