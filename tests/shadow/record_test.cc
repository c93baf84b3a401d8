#include "shadow/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/hash.h"
#include "shadow/limits.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

struct Canonical {
  std::string text;
  std::string key;
  uint64_t hash;
};

Canonical Read(std::string_view line, std::string_view yaml = "") {
  const auto rules = RulesOf(yaml);
  RecordReader reader(rules->For("out"));
  const Record& record = reader.ReadUnpadded(line);
  return {std::string(record.text), std::string(record.key), record.hash};
}
std::string TextOf(std::string_view line, std::string_view yaml = "") {
  return Read(line, yaml).text;
}

TEST(RecordTest, MembersAreSortedAndSpaceIsGone) {
  EXPECT_EQ(TextOf(R"( {"b" : [1, 2 ], "a":{"d":null,"c":true} } )"),
            R"({"a":{"c":true,"d":null},"b":[1,2]})");
  EXPECT_EQ(TextOf(R"({"\u0061":"\u00e4\/"})"), "{\"a\":\"\xc3\xa4/\"}");
  EXPECT_EQ(TextOf(R"("a\"\\\n")"), R"("a\"\\\u000a")");
}

TEST(RecordTest, WhatHasTwoMembersOfOneNameIsTakenAsItIs) {
  for (const char* line :
       {R"({"b":1,"a":2, "b":3})", R"({"a":1,"a":1})", R"([{"x":{"a":1,"\u0061":2}}])"}) {
    EXPECT_EQ(TextOf(line), line);
  }
}

TEST(RecordTest, NumbersHaveOneFormForEachTypeAndValue) {
  EXPECT_EQ(TextOf("[1.50,15e-1,1.5]"), "[1.5,1.5,1.5]");
  EXPECT_EQ(TextOf("[1,1.0,1e0,\"1\"]"), "[1,1.0,1.0,\"1\"]");
  EXPECT_EQ(TextOf("[-0,0,-0.0]"), "[0,0,0.0]");
  EXPECT_EQ(TextOf("[9007199254740993,18446744073709551615]"),
            "[9007199254740993,18446744073709551615]");
  EXPECT_EQ(TextOf("[1e20,100000000000000000000.0]"), "[1e+20,1e+20]");
  // Beyond what fits: every digit counts.
  EXPECT_EQ(TextOf("[100000000000000000000]"), "[100000000000000000000]");
  EXPECT_NE(TextOf("[100000000000000000001]"), TextOf("[100000000000000000002]"));
  EXPECT_EQ(TextOf("[1E+400]"), "[1e400]");
  EXPECT_NE(TextOf("[0.1]"), TextOf("[0.10000000000000002]"));
}

TEST(RecordTest, CanonicalTextsAreTheirOwnCanonicalText) {
  for (const char* line :
       {R"({"z":[1.0,1e300,1e400,-0.0,123456789012345678901234567890],"a":"\ud800x","b":"\u0001"})",
        "no json", "[[[]],{}]", "\"\xc3\xa4\""}) {
    const std::string once = TextOf(line);
    EXPECT_EQ(TextOf(once), once) << line;
  }
}

TEST(RecordTest, HalvesOfSurrogatePairsStayApartFromOtherTexts) {
  EXPECT_EQ(TextOf(R"(["\ud800"])"), R"(["\ud800"])");
  EXPECT_NE(TextOf(R"(["\ud800"])"), TextOf(R"(["\ud801"])"));
}

TEST(RecordTest, IgnoredFieldsAreGoneAndUnorderedListsSorted) {
  const char* yaml =
      R"(all: {ignore: [t, "items[*].n", "m.*.x"], unordered: [tags, "items[*].l"]})";
  EXPECT_EQ(TextOf(R"({"t":1,"tags":["b","a",3],"items":[{"n":1,"l":[2,1]},{"n":2}],
                       "m":{"p":{"x":1,"y":2}}})",
                   yaml),
            R"({"items":[{"l":[1,2]},{}],"m":{"p":{"y":2}},"tags":["a","b",3]})");
  EXPECT_EQ(TextOf(R"({"list":[2,1]})", yaml), R"({"list":[2,1]})");
  EXPECT_EQ(TextOf(R"({"l":[[3,[2]],[1,[5,4]]]})", "all: {unordered: [l, 'l[*]', 'l[*][*]']}"),
            R"({"l":[[1,[4,5]],[3,[2]]]})");
}

TEST(RecordTest, TextsAreFoldedWhereTheRulesSay) {
  EXPECT_EQ(
      TextOf(R"({"a":"  Some \n Text ","b":" B "})", "all: {fields: {a: {text: [case, space]}}}"),
      R"({"a":"some text","b":" B "})");
  EXPECT_EQ(TextOf(R"({"a":" B "})", "all: {text: case, fields: {a: {text: exact}}}"),
            R"({"a":" B "})");
}

TEST(RecordTest, TheKeyIsWhatTheRulesName) {
  const char* yaml = "outputs: {out: {key: [id, user.name]}}";
  const Canonical one = Read(R"({"user":{"name":"x"},"id":7,"v":1})", yaml);
  EXPECT_EQ(one.key, R"([7,"x"])");
  EXPECT_EQ(one.hash, Hash64(one.key));
  EXPECT_EQ(Read(R"({"v":2,"id":7,"user":{"name":"x"}})", yaml).hash, one.hash);
  EXPECT_EQ(Read(R"({"id":null,"user":{"name":"x"}})", yaml).key, R"([null,"x"])");
  // Without one of its fields a record has no key, and meets others by its text.
  const Canonical without = Read(R"({"id":7,"v":1})", yaml);
  EXPECT_EQ(without.key, "");
  EXPECT_EQ(without.hash, Hash64(without.text));
  EXPECT_EQ(Read("no json", yaml).key, "");
}

TEST(RecordTest, LongKeysAreCutAndStayApart) {
  const char* yaml = "outputs: {out: {key: id}}";
  const std::string head(10'000, 'k');
  const Canonical a = Read("{\"id\":\"" + head + "a\"}", yaml);
  const Canonical b = Read("{\"id\":\"" + head + "b\"}", yaml);
  EXPECT_LT(a.key.size(), 400u);
  EXPECT_NE(a.key, b.key);
  EXPECT_NE(a.hash, b.hash);
}

TEST(RecordTest, WhatIsNoJsonIsTakenAsItIs) {
  EXPECT_EQ(TextOf("id=7 ok"), "id=7 ok");
  EXPECT_EQ(TextOf(""), "");
  EXPECT_EQ(TextOf("{\"a\":1"), "{\"a\":1");
  EXPECT_NE(TextOf("\xff"
                   "a"),
            TextOf("\xff"
                   "b"));
  EXPECT_NE(TextOf("\xff"), TextOf("\xfe"));
  EXPECT_TRUE(IsValidUtf8(TextOf("{\"a\":\"\xff\"}")));
}

TEST(RecordTest, DeepRecordsAreTakenAsTheyAre) {
  const int fits = limits::kDepthMax;
  const std::string deep = std::string(fits, '[') + " 1 " + std::string(fits, ']');
  EXPECT_EQ(TextOf(deep), std::string(fits, '[') + "1" + std::string(fits, ']'));
  const std::string deeper = "[" + deep + "]";
  EXPECT_EQ(TextOf(deeper), deeper);
  const std::string deepest = std::string(20'000, '[') + std::string(20'000, ']');
  EXPECT_EQ(TextOf(deepest), deepest);
}

TEST(RecordTest, HugeRecordsAreTheirHash) {
  const std::string huge = "{\"b\":\"" + std::string(2 << 20, 'x') + "\",\"a\":1}";
  const std::string text = TextOf(huge);
  EXPECT_LT(text.size(), 2 * limits::kTextBytesKept);
  EXPECT_THAT(text, StartsWith("{\"a\":1,\"b\":\"xxx"));
  EXPECT_THAT(text, HasSubstr("bytes, hash "));
  std::string other = huge;
  other[huge.size() / 2] = 'y';
  EXPECT_NE(TextOf(other), text);
  EXPECT_EQ(TextOf("{\"a\":1,\"b\":\"" + std::string(2 << 20, 'x') + "\"}"), text);
}

TEST(RecordTest, AReaderKeepsNothingOfTheRecordBefore) {
  const auto rules = RulesOf("outputs: {out: {key: id, unordered: [l]}}");
  RecordReader reader(rules->For("out"));
  EXPECT_EQ(reader.ReadUnpadded(R"({"id":1,"l":[2,1]})").key, "[1]");
  EXPECT_EQ(reader.ReadUnpadded(std::string(20'000, '[')).key, "");
  const Record& record = reader.ReadUnpadded(R"({"l":[4,3]})");
  EXPECT_EQ(record.key, "");
  EXPECT_EQ(record.text, R"({"l":[3,4]})");
}

}  // namespace
}  // namespace weir::shadow
