#include "shadow/rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string ErrorsOf(std::string_view yaml) {
  const auto rules = ParseShadowRules(yaml, "shadow.yaml", kToday);
  return rules.ok() ? "" : std::string(rules.status().message());
}

TEST(ShadowRulesTest, AnOutputAddsToWhatIsSaidOfAllAndWins) {
  const auto rules = RulesOf(R"(
all:
  ignore: [meta.trace]
  numbers: {relative: 0.001}
  minimum: 50
outputs:
  warehouse:
    key: [id, "a.b"]
    minimum: 7
    fields:
      price: {absolute: 0.5, fail: 0.1%}
      "items[*].at": {within: 5s}
      note: {text: [case, space]}
      "prices.*": {absolute: 1}
      prices.eur: {absolute: 2}
)");
  EXPECT_EQ(rules->minimum(), 50u);
  const OutputRules& warehouse = rules->For("warehouse");
  EXPECT_EQ(warehouse.minimum, 7u);
  EXPECT_EQ(warehouse.key, (std::vector<std::string>{"id", "a.b"}));
  EXPECT_TRUE(warehouse.fields.At("meta.trace").ignore);
  EXPECT_TRUE(warehouse.fields.At("meta.trace.deeper").ignore);
  EXPECT_FALSE(warehouse.fields.At("meta.other").ignore);
  EXPECT_EQ(warehouse.fields.At("anything").relative, 0.001);
  EXPECT_EQ(warehouse.fields.At("price").absolute, 0.5);
  EXPECT_EQ(warehouse.fields.At("price").relative, 0.001);
  EXPECT_EQ(warehouse.fields.At("price").fail_above, 0.001);
  EXPECT_EQ(warehouse.fields.At("items[*].at").within, Seconds(5));
  EXPECT_TRUE(warehouse.fields.At("note").fold_case);
  EXPECT_EQ(warehouse.fields.At("prices.usd").absolute, 1);
  EXPECT_EQ(warehouse.fields.At("prices.eur").absolute, 2);
  EXPECT_EQ(warehouse.fields.At("id").key_slot, 0);
  EXPECT_EQ(warehouse.fields.At("a.b").key_slot, 1);
  const OutputRules& other = rules->For("other");
  EXPECT_TRUE(other.key.empty());
  EXPECT_TRUE(other.fields.At("meta.trace").ignore);
  EXPECT_EQ(other.fields.At("price").absolute, std::nullopt);
}

TEST(ShadowRulesTest, AnUnorderedListIsNotSoBelow) {
  const auto rules = RulesOf("all: {unordered: [tags, 'rows[*].tags']}");
  const FieldRules& fields = rules->For("x").fields;
  EXPECT_TRUE(fields.At("tags").unordered);
  EXPECT_FALSE(fields.At("tags[*]").unordered);
  EXPECT_TRUE(fields.At("rows[*].tags").unordered);
  EXPECT_FALSE(fields.At("rows").unordered);
}

TEST(ShadowRulesTest, EveryErrorIsToldWithItsLine) {
  const std::string errors = ErrorsOf(R"(all:
  ignored: [a]
  numbers: {absolute: -1}
  times: {within: soon}
outputs:
  warehouse:
    key: ["items[*].id"]
    ordered: maybe
    fields:
      "a..b": {absolute: 1}
      c: {fail: 120%}
    text: [upper]
known:
  - {field: price, until: 2026-13-01}
  - {what: nothing, reason: x, until: 2027-01-01}
unknown: 1
)");
  EXPECT_THAT(errors,
              HasSubstr("shadow.yaml:2: all: unknown key 'ignored'; did you mean 'ignore'?"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:3: absolute: expected 0 or more"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:4: within:"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:7: key: 'items[*].id'"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:8: ordered: expected true or false"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:10: 'a..b' is no path of a field"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:11: fail: expected a part of the records"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:12: text: unknown 'upper'"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:14: known: 'reason' is missing"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:14: until: expected a day"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:15: what: unknown 'nothing'"));
  EXPECT_THAT(errors, HasSubstr("shadow.yaml:16: rules file: unknown key 'unknown'"));
}

TEST(ShadowRulesTest, OrderNeedsAKeyAndAKeyIsNotIgnored) {
  EXPECT_THAT(ErrorsOf("outputs: {x: {ordered: true}}"), HasSubstr("'ordered' needs a 'key'"));
  EXPECT_THAT(ErrorsOf("outputs: {x: {key: id, ignore: [id]}}"),
              HasSubstr("the key 'id' is ignored"));
  EXPECT_THAT(ErrorsOf("outputs: {x: {key: id, ordered: true}}"), "");
  EXPECT_THAT(ErrorsOf(""), HasSubstr("the file is empty"));
}

TEST(ShadowRulesTest, KnownDifferencesExpireBehindTheirLastDay) {
  const auto rules = RulesOf(R"(
known:
  - {output: a, field: x, reason: "still", until: 2026-09-21}
  - {output: a, field: y, reason: "over", until: 2026-09-20}
  - {what: extra, reason: "of all", until: 2027-01-01}
)");
  EXPECT_FALSE(rules->known()[0].expired);
  EXPECT_TRUE(rules->known()[1].expired);
  EXPECT_EQ(rules->For("a").fields.At("x").known, 0);
  EXPECT_EQ(rules->For("a").fields.At("x.below").known, 0);
  EXPECT_EQ(rules->For("a").fields.At("y").known, -1);
  EXPECT_EQ(rules->For("b").fields.At("x").known, -1);
  EXPECT_EQ(rules->For("a").known_extra, 2);
  EXPECT_EQ(rules->For("b").known_extra, 2);
}

TEST(ShadowRulesTest, TooManyStarsAreRefusedInTime) {
  std::string yaml = "all:\n  ignore:\n";
  for (int i = 0; i < 24; ++i) {
    std::string path;
    for (int j = 0; j < 24; ++j) path += (j > 0 ? "." : "") + std::string(i == j ? "x" : "*");
    yaml += "    - \"" + path + "." + std::string(1, static_cast<char>('a' + i)) + "\"\n";
  }
  EXPECT_THAT(ErrorsOf(yaml), HasSubstr("use '*' in fewer"));
}

TEST(FieldPathTest, PathsGoThroughTextAndBack) {
  const auto path = ParseFieldPath(R"(a."b.c"[*][*]."\"".d-1)");
  ASSERT_TRUE(path.ok()) << path.status();
  std::string text;
  for (const PathStep& step : *path) {
    if (step.kind == PathStep::Kind::kElements) {
      AppendElements(text);
    } else {
      AppendMember(step.name, text);
    }
  }
  EXPECT_EQ(text, R"(a."b.c"[*][*]."\"".d-1)");
  EXPECT_TRUE(ParseFieldPath("[*].a").ok());
  for (const char* bad : {"", ".", "a.", ".a", "a..b", "a[0]", "a[*", "\"a", "a b", "a[*]b"}) {
    EXPECT_FALSE(ParseFieldPath(bad).ok()) << bad;
  }
}

}  // namespace
}  // namespace weir::shadow
