#include "shadow/difference.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "shadow/limits.h"
#include "shadow/record.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "path change left->right" of each difference.
std::vector<std::string> Compare(std::string_view left, std::string_view right,
                                 std::string_view yaml = "") {
  const auto rules = RulesOf(yaml);
  RecordReader reader(rules->For("out"));
  const std::string a(reader.ReadUnpadded(left).text);
  const std::string b(reader.ReadUnpadded(right).text);
  RecordDiffer differ(rules->For("out"));
  std::vector<std::string> texts;
  for (const FieldDifference& one : differ.Compare(a, b)) {
    texts.push_back(one.path + " " + std::string(NameOf(one.change)) + " " + one.left.shown + "->" +
                    one.right.shown);
  }
  return texts;
}

TEST(DifferenceTest, TwoMembersOfOneNameMakeALineOfARecord) {
  EXPECT_THAT(Compare(R"({"a":1,"a":2})", R"({"a":1,"a":3})"),
              ElementsAre(R"((line) value {"a":1,"a":2}->{"a":1,"a":3})"));
  EXPECT_THAT(Compare(R"({"a":1,"a":2})", R"({"a":1})"),
              ElementsAre(R"((line) value {"a":1,"a":2}->{"a":1})"));
  EXPECT_THAT(Compare(R"({"b":0,"a":1,"a":2})", R"({"b":0,"a":3})", "all: {ignore: a}"), IsEmpty());
}

TEST(DifferenceTest, EveryKindOfChangeIsToldApart) {
  EXPECT_THAT(
      Compare(R"({"v":1,"t":1,"f":1,"n":1,"m":null,"gone":2,"s":"a"})",
              R"({"v":2,"t":"1","f":1.0,"n":null,"new":3,"s":"b"})"),
      ElementsAre("f type 1->1.0", "gone removed 2->", "m removed null->", "n null 1->null",
                  "new added ->3", "s value \"a\"->\"b\"", "t type 1->\"1\"", "v value 1->2"));
}

TEST(DifferenceTest, NestedFieldsHavePathsAndWholeSubtreesOne) {
  EXPECT_THAT(Compare(R"({"user":{"address":{"zip":"1","x.y":1}},"o":{"a":{"b":1}}})",
                      R"({"user":{"address":{"zip":"2","x.y":2}},"o":{}})"),
              ElementsAre("o.a removed {\"b\":1}->", "user.address.\"x.y\" value 1->2",
                          "user.address.zip value \"1\"->\"2\""));
}

TEST(DifferenceTest, AListOfAnyLengthIsOneField) {
  EXPECT_THAT(Compare(R"({"l":[{"z":1},{"z":2},{"z":3}]})", R"({"l":[{"z":1},{"z":5},{"z":6}]})"),
              ElementsAre("l[*].z value 2->5"));
  EXPECT_THAT(Compare(R"({"l":[1,2]})", R"({"l":[1,2,3]})"), ElementsAre("l[*] added ->3"));
  EXPECT_THAT(Compare(R"([1,2])", R"([1])"), ElementsAre("[*] removed 2->"));
}

TEST(DifferenceTest, AReorderedListIsSuch) {
  EXPECT_THAT(Compare(R"({"l":[1,2,2]})", R"({"l":[2,1,2]})"),
              ElementsAre("l order [1,2,2]->[2,1,2]"));
  EXPECT_THAT(Compare(R"({"l":[1,2,2]})", R"({"l":[2,1,1]})"), ElementsAre("l[*] value 1->2"));
  EXPECT_THAT(Compare(R"({"l":[1,2]})", R"({"l":[2,1]})", "all: {unordered: l}"), IsEmpty());
}

TEST(DifferenceTest, UnorderedListsAreMultisets) {
  const char* yaml = "all: {unordered: [l], fields: {'l[*].v': {absolute: 1}}}";
  EXPECT_THAT(Compare(R"({"l":[1,1,2]})", R"({"l":[2,1,2]})", yaml),
              ElementsAre("l[*] value 1->2"));
  EXPECT_THAT(Compare(R"({"l":[{"v":10},{"v":20.5}]})", R"({"l":[{"v":21.0},{"v":10.5}]})", yaml),
              IsEmpty());
  EXPECT_THAT(Compare(R"({"l":[1,2,3]})", R"({"l":[3,1]})", yaml), ElementsAre("l[*] removed 2->"));
}

// Whoever met the first that is near enough, or the equal one, would leave another without its own.
TEST(DifferenceTest, AsManyElementsAsCanBeMeetWithinTolerance) {
  const char* yaml = "all: {unordered: [l], fields: {'l[*]': {absolute: 1}}}";
  EXPECT_THAT(Compare(R"({"l":[1.0,2.0,3.0]})", R"({"l":[1.5,2.5,0.5]})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"l":[1,2]})", R"({"l":[2,3]})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"l":[1,2,3,4,5,6]})", R"({"l":[2,3,4,5,6,7]})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"l":[1,2]})", R"({"l":[2,4]})", yaml), ElementsAre("l[*] value 1->4"));
  // Of more than are tried, those that are not equal still meet.
  std::string few = "9.8,500.1", fewer = "10.1,500.4";
  for (int i = 1000; i < 1400; ++i) few += fmt::format(",{}", i), fewer += fmt::format(",{}", i);
  EXPECT_THAT(
      Compare(fmt::format(R"({{"l":[{}]}})", few), fmt::format(R"({{"l":[{}]}})", fewer), yaml),
      IsEmpty());
}

// Each of the 200 lists against each other one would be 400 million values.
TEST(DifferenceTest, ListsInListsTakeNoTimeWithoutEnd) {
  std::string left, right;
  for (int i = 0; i < 200; ++i) {
    std::string inner;
    for (int j = 0; j < 100; ++j) inner += fmt::format("{}{}", j > 0 ? "," : "", i * 1000 + j * 3);
    left += fmt::format("{}[{}]", i > 0 ? "," : "", inner);
    right += fmt::format("{}[{},7]", i > 0 ? "," : "", inner.substr(0, inner.rfind(',')));
  }
  const char* yaml = "all: {unordered: [l, 'l[*]'], numbers: {absolute: 1}}";
  EXPECT_THAT(
      Compare(fmt::format(R"({{"l":[{}]}})", left), fmt::format(R"({{"l":[{}]}})", right), yaml),
      ::testing::Not(IsEmpty()));
}

TEST(DifferenceTest, NumbersMayBeWithinTolerance) {
  const char* yaml = "all: {fields: {a: {absolute: 0.01}, r: {relative: 0.01}}}";
  EXPECT_THAT(Compare(R"({"a":1.0,"r":1000})", R"({"a":1.009,"r":1009.5})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"a":1.0,"r":1000})", R"({"a":1.02,"r":1011})", yaml),
              ElementsAre("a value 1.0->1.02", "r value 1000->1011"));
  // A number is a number there, however it is written, but no text.
  EXPECT_THAT(Compare(R"({"a":1})", R"({"a":1.0})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"a":1})", R"({"a":"1"})", yaml), ElementsAre("a type 1->\"1\""));
  // Large integers differ by what they differ, not by what a double holds of it.
  EXPECT_THAT(Compare(R"({"a":9007199254740993})", R"({"a":9007199254740992})", yaml),
              ElementsAre("a value 9007199254740993->9007199254740992"));
  EXPECT_THAT(Compare(R"({"r":1e400})", R"({"r":1e401})", yaml),
              ElementsAre("r value 1e400->1e401"));
}

TEST(DifferenceTest, TimesMayBeWithinADuration) {
  const char* yaml = "all: {fields: {t: {within: 2s}}}";
  EXPECT_THAT(
      Compare(R"({"t":"2026-01-01T00:00:00Z"})", R"({"t":"2026-01-01T01:00:02+01:00"})", yaml),
      IsEmpty());
  EXPECT_THAT(Compare(R"({"t":"2026-01-01 00:00:00"})", R"({"t":"2026-01-01T00:00:02Z"})", yaml),
              IsEmpty());
  EXPECT_THAT(Compare(R"({"t":1767225600})", R"({"t":1767225602})", yaml), IsEmpty());
  EXPECT_THAT(Compare(R"({"t":1767225600000})", R"({"t":1767225602001})", yaml),
              ElementsAre("t value 1767225600000->1767225602001"));
  EXPECT_THAT(
      Compare(R"({"t":"2026-01-01T00:00:00Z"})", R"({"t":"2026-01-01T00:00:00+01:00"})", yaml),
      ElementsAre("t value \"2026-01-01T00:00:00Z\"->\"2026-01-01T00:00:00+01:00\""));
  EXPECT_THAT(Compare(R"({"t":"soon"})", R"({"t":"later"})", yaml),
              ElementsAre("t value \"soon\"->\"later\""));
}

TEST(DifferenceTest, LinesThatAreNoJsonDifferAsAWhole) {
  EXPECT_THAT(Compare("a", "b"), ElementsAre("(line) value a->b"));
  EXPECT_THAT(Compare("a", "{}"), ElementsAre("(line) value a->{}"));
  EXPECT_THAT(Compare("1", "2"), ElementsAre("(record) value 1->2"));
  const std::string deep = std::string(300, '[') + std::string(300, ']');
  EXPECT_THAT(Compare(deep, deep), IsEmpty());
  EXPECT_EQ(Compare(deep, "[" + deep + "]").size(), 1u);
}

TEST(DifferenceTest, FieldsAndValuesAreBounded) {
  std::string left = "{";
  std::string right = "{";
  for (int i = 0; i < 1000; ++i) {
    left += (i ? ",\"f" : "\"f") + std::to_string(i) + "\":1";
    right += (i ? ",\"f" : "\"f") + std::to_string(i) + "\":2";
  }
  const auto rules = RulesOf("");
  RecordDiffer differ(rules->For("out"));
  EXPECT_EQ(differ.Compare(left + "}", right + "}").size(), limits::kRecordFieldsMax + 1);
  EXPECT_EQ(differ.Compare(left + "}", right + "}").front().path, kOtherFieldsPath);
  const std::string text(100'000, 'x');
  const auto& found = differ.Compare("\"a" + text + "\"", "\"b" + text + "\"");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_LE(found[0].left.shown.size(), limits::kValueBytesMax + 3);
}

// A random value of few names and values, so that two are often alike; members in a random order.
std::string RandomJson(std::mt19937_64& random, int depth) {
  static constexpr const char* kScalars[] = {"null", "true",  "1",     "1.0",         "-0",
                                             "2.50", "1e400", "\"a\"", "\"\\ud800\"", "\"\""};
  const uint64_t kind = random() % (depth > 0 ? 4 : 2);
  if (kind < 2) return kScalars[random() % std::size(kScalars)];
  std::vector<std::string> parts;
  for (const char* name : {"a", "b.c", "d"}) {
    if (random() % 3 == 0) continue;
    const std::string value = RandomJson(random, depth - 1);
    parts.push_back(kind == 2 ? value : "\"" + std::string(name) + "\": " + value);
  }
  std::shuffle(parts.begin(), parts.end(), random);
  return (kind == 2 ? "[ " : "{ ") + fmt::format("{}", fmt::join(parts, ", ")) +
         (kind == 2 ? " ]" : " }");
}

TEST(DifferenceTest, RecordsDifferInAFieldExactlyIfTheirTextsDo) {
  std::mt19937_64 random(9);
  for (const char* yaml : {"", "all: {unordered: ['a', '[*]', '*.*', '[*][*]', 'd[*].a']}",
                           "all: {ignore: [a, '*.d', '[*].a']}"}) {
    const auto rules = RulesOf(yaml);
    RecordReader reader(rules->For("out"));
    RecordDiffer differ(rules->For("out"));
    int same = 0;
    for (int i = 0; i < 20'000; ++i) {
      const std::string a(reader.ReadUnpadded(RandomJson(random, 3)).text);
      const std::string b(reader.ReadUnpadded(RandomJson(random, 3)).text);
      EXPECT_EQ(reader.ReadUnpadded(a).text, a);
      std::vector<std::string> there;
      for (const auto& one : differ.Compare(a, b)) there.push_back(one.path);
      EXPECT_EQ(there.empty(), a == b) << a << "\n" << b;
      std::vector<std::string> back;
      for (const auto& one : differ.Compare(b, a)) back.push_back(one.path);
      EXPECT_EQ(there, back) << a << "\n" << b;
      same += a == b;
    }
    EXPECT_GT(same, 100);
  }
}

TEST(DifferenceTest, KnownFieldsAreMarked) {
  const auto rules = RulesOf("known: [{field: a, reason: x, until: 2030-01-01}]");
  RecordDiffer differ(rules->For("out"));
  const auto& found = differ.Compare(R"({"a":1,"b":1})", R"({"a":2,"b":2})");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_TRUE(found[0].known);
  EXPECT_FALSE(found[1].known);
}

TEST(DifferenceTest, WhatIsBelowAKnownFieldIsOneDifference) {
  const auto rules = RulesOf("known: [{field: 'list[*].a', reason: x, until: 2030-01-01}]");
  RecordDiffer differ(rules->For("out"));
  std::string left = R"({"list":[{"a":{)", right = left;
  for (int i = 0; i < 2 * static_cast<int>(limits::kRecordFieldsMax); ++i) {
    left += fmt::format("{}\"{:03}\":1", i == 0 ? "" : ",", i);
    right += fmt::format("{}\"{:03}\":2", i == 0 ? "" : ",", i);
  }
  left += R"(},"b":1}],"z":1})";
  right += R"(},"b":2}],"z":2})";
  std::vector<std::string> paths;
  for (const FieldDifference& one : differ.Compare(left, right)) {
    paths.push_back(one.path + (one.known ? " known" : ""));
  }
  EXPECT_THAT(paths, ElementsAre("list[*].a known", "list[*].b", "z"));
}

TEST(DifferenceTest, OfLongTextsTheirDifferenceIsShown) {
  const std::string same(300, 'x');
  const auto [left, right] = ShownApart(same + "\u00e4a" + same, same + "\u00e4b" + same, 100);
  EXPECT_EQ(left, "..." + std::string(23, 'x') + "\u00e4a" + std::string(74, 'x') + "...");
  EXPECT_EQ(right, "..." + std::string(23, 'x') + "\u00e4b" + std::string(74, 'x') + "...");
  EXPECT_EQ(ShownApart("ab", "ac", 100), std::pair(std::string("ab"), std::string("ac")));
  EXPECT_EQ(ShownApart(same, same + "y", 100).second, "..." + std::string(25, 'x') + "y");
  const auto rules = RulesOf("");
  RecordDiffer differ(rules->For("out"));
  const auto& found =
      differ.Compare(fmt::format(R"({{"v":"{}a"}})", same), fmt::format(R"({{"v":"{}b"}})", same));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].apart.first.ends_with("xa\"")) << found[0].apart.first;
  EXPECT_TRUE(found[0].apart.second.ends_with("xb\"")) << found[0].apart.second;
}

TEST(DifferenceTest, PathsThatAreTooLongToBeShownAreStillToldApart) {
  const std::string name(limits::kPathBytesMax, 'x');
  const auto found = Compare(fmt::format(R"({{"{0}a":1,"{0}b":2,"{0}c":3}})", name),
                             fmt::format(R"({{"{0}a":2,"{0}b":3,"{0}c":3}})", name));
  ASSERT_EQ(found.size(), 2u);
  for (const std::string& one : found) EXPECT_LT(one.size(), limits::kPathBytesMax + 40);
}

}  // namespace
}  // namespace weir::shadow
