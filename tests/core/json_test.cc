#include "core/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <bit>
#include <cmath>
#include <random>

#include "core/json_lenient.h"
#include "core/limits.h"

namespace weir {
namespace {

using Kind = JsonValue::Kind;
using ::testing::HasSubstr;

std::string Nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

// Every case runs on simdjson's document and, with a number that simdjson refuses in front of it,
// on the lenient tree: both must behave the same.
class JsonTest : public ::testing::TestWithParam<bool> {
 protected:
  JsonValue Parse(std::string_view text) {
    if (GetParam()) {
      text_ = "[1e999," + std::string(text) + "]";
    } else {
      text_ = "[0," + std::string(text) + "]";
    }
    auto root = parser_.ParseUnpadded(text_);
    EXPECT_TRUE(root.ok()) << root.status() << " " << text_;
    return root->At(1);
  }
  bool IsRefused(std::string_view text) {
    return !parser_.ParseUnpadded("[1e999," + std::string(text) + "]").ok() &&
           !parser_.ParseUnpadded("[0," + std::string(text) + "]").ok() &&
           !parser_.ParseUnpadded(text).ok();
  }

  JsonParser parser_;
  std::string text_;
};

INSTANTIATE_TEST_SUITE_P(Simdjson, JsonTest, ::testing::Values(false));
INSTANTIATE_TEST_SUITE_P(Lenient, JsonTest, ::testing::Values(true));

TEST_P(JsonTest, TellsKindsApart) {
  EXPECT_EQ(Parse("null").kind(), Kind::kNull);
  EXPECT_EQ(Parse("true").kind(), Kind::kBool);
  EXPECT_EQ(Parse("-1.5e3").kind(), Kind::kNumber);
  EXPECT_EQ(Parse("\"\"").kind(), Kind::kString);
  EXPECT_EQ(Parse("[]").kind(), Kind::kArray);
  EXPECT_EQ(Parse("{}").kind(), Kind::kObject);
  EXPECT_EQ(Parse("false").GetBool(), false);
  EXPECT_EQ(Parse("true").GetBool(), true);
  EXPECT_EQ(Parse("null").GetBool(), std::nullopt);
  EXPECT_EQ(Parse("1").GetString(), std::nullopt);
  EXPECT_EQ(Parse("\"1\"").GetInt(), std::nullopt);
  EXPECT_EQ(Parse("\"1\"").GetDouble(), std::nullopt);
  EXPECT_EQ(Parse("true").GetText(), std::nullopt);
  EXPECT_EQ(Parse("[1]").GetText(), std::nullopt);
}

TEST_P(JsonTest, ReadsIntegersThatFit) {
  EXPECT_EQ(Parse("42").GetInt(), 42);
  EXPECT_EQ(Parse("-0").GetInt(), 0);
  EXPECT_EQ(Parse("-0").GetUint(), 0u);
  EXPECT_EQ(Parse("-9223372036854775808").GetInt(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(Parse("-1").GetUint(), std::nullopt);
  EXPECT_EQ(Parse("18446744073709551615").GetUint(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(Parse("18446744073709551615").GetInt(), std::nullopt);
  EXPECT_EQ(Parse("18446744073709551616").GetUint(), std::nullopt);
  EXPECT_EQ(Parse("1.0").GetInt(), std::nullopt);
  EXPECT_EQ(Parse("1e3").GetInt(), std::nullopt);
}

TEST_P(JsonTest, ReadsDoublesThatAreFinite) {
  EXPECT_EQ(Parse("1.5").GetDouble(), 1.5);
  EXPECT_EQ(Parse("42").GetDouble(), 42.0);
  EXPECT_EQ(Parse("1e-400").GetDouble(), 0.0);
  EXPECT_EQ(Parse("1234567890123456789012345678901234567890").GetDouble(),
            1234567890123456789012345678901234567890.0);
  EXPECT_EQ(Parse("1e400").GetDouble(), std::nullopt);
  EXPECT_EQ(Parse("-1e400").GetDouble(), std::nullopt);
}

TEST_P(JsonTest, GivesNumbersAsTheyAreWritten) {
  for (const char* text : {"0", "-17", "1.50", "1E+2", "0.1e-7", "18446744073709551615", "1e400",
                           "1234567890123456789012345678901234567890", "-9223372036854775809"}) {
    EXPECT_EQ(Parse(text).GetText(), text);
  }
  EXPECT_EQ(Parse("-0").GetText(), "0");
  EXPECT_EQ(Parse("-0.0").GetText(), "-0.0");
  const JsonValue deep =
      Parse(R"({"a":{"k":[1,2,{"x":[]}]},"\u0062":[true,"s",{}, 7, 1.5],"c":{"d":-2.50}})");
  EXPECT_EQ(deep.Find("b")->At(4).GetText(), "1.5");
  EXPECT_EQ(deep.FindPath("c.d")->GetText(), "-2.50");
  EXPECT_EQ(deep.FindPath("a.k")->At(1).GetText(), "2");
}

TEST_P(JsonTest, KeepsTheTextsOfManyIntegers) {
  std::string text = "[";
  for (int i = 0; i < 2'000; ++i) text += std::to_string(i) + ",";
  const JsonValue array = Parse(text + "2000]");
  std::vector<std::string_view> texts;
  array.ForEachElement([&](const JsonValue& value) { texts.push_back(*value.GetText()); });
  for (int i = 0; i <= 2'000; ++i) EXPECT_EQ(texts[i], std::to_string(i));
}

TEST_P(JsonTest, HalfOfASurrogatePairIsAllowedAndLikeNothingElse) {
  EXPECT_EQ(Parse(R"("\ud800")").GetString(), "\xed\xa0\x80");
  EXPECT_EQ(Parse(R"("\uDBFF\u0041")").GetString(),
            "\xed\xaf\xbf"
            "A");
  EXPECT_EQ(Parse(R"("\udc00\ud800")").GetString(), "\xed\xb0\x80\xed\xa0\x80");
  EXPECT_EQ(Parse(R"("\ud800\ud83d\ude00")").GetString(), "\xed\xa0\x80😀");
  EXPECT_EQ(Parse(R"({"\ud800":7,"x":1e400})").Find("\xed\xa0\x80")->GetInt(), 7);
}

TEST_P(JsonTest, UnescapesStrings) {
  EXPECT_EQ(Parse(R"("a\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00")").GetString(),
            "a\"\\/\b\f\n\r\tAé€😀");
  EXPECT_EQ(Parse(R"("a\u0000b")").GetString(), std::string_view("a\0b", 3));
  EXPECT_EQ(Parse("\"\x7f\u00e9\"").GetString(), "\x7f\u00e9");
  const JsonValue two = Parse(R"(["\u0031","\u0032"])");
  const std::string_view one = *two.At(0).GetString();
  EXPECT_EQ(two.At(1).GetString(), "2");
  EXPECT_EQ(one, "1");
}

TEST_P(JsonTest, FindsTheFirstOfDuplicateKeys) {
  const JsonValue value = Parse(R"({"a":1,"b":2,"a":3,"\u0061":4})");
  EXPECT_EQ(value.Find("a")->GetInt(), 1);
  EXPECT_EQ(value.size(), 4u);
  EXPECT_FALSE(value.Find("c"));
  EXPECT_FALSE(value.Find("b")->Find("a"));
  std::vector<std::string> keys;
  value.ForEachMember(
      [&](std::string_view key, const JsonValue&) { keys.push_back(std::string(key)); });
  EXPECT_THAT(keys, ::testing::ElementsAre("a", "b", "a", "a"));
}

TEST_P(JsonTest, FollowsDottedPaths) {
  const JsonValue value = Parse(R"({"a":{"b":{"c":1}},"a.b":2,"x.y":{"z":3},"x":{"y":4,"y.z":5}})");
  EXPECT_EQ(value.FindPath("a.b.c")->GetInt(), 1);
  EXPECT_EQ(value.FindPath("a.b")->GetInt(), 2);
  EXPECT_EQ(value.FindPath("x.y.z")->GetInt(), 5);
  EXPECT_FALSE(value.FindPath("a.x"));
  EXPECT_FALSE(value.FindPath("a."));
  EXPECT_FALSE(value.FindPath("."));
  EXPECT_FALSE(value.FindPath(""));
}

TEST_P(JsonTest, FindsManyPathsInOneWalkAsIfOneByOne) {
  const JsonValue value =
      Parse(R"({"id":1,"id":2,"u":{"id":3,"n":{"x":4}},"u":{"id":9},"u.n":5,"long_name":6})");
  const JsonPaths paths({"id", "u.id", "u.n.x", "u.n", "long_name", "none", "none.x", "id"});
  std::vector<std::optional<JsonValue>> found(paths.size());
  value.FindAll(paths, found);
  for (size_t i = 0; i < paths.size(); ++i) {
    const auto want = value.FindPath(paths[i]);
    ASSERT_EQ(found[i].has_value(), want.has_value()) << paths[i];
    if (!want) continue;
    EXPECT_EQ(found[i]->GetText(), want->GetText()) << paths[i];
  }
  Parse("[1]").FindAll(paths, found);
  for (const auto& one : found) EXPECT_FALSE(one);
}

TEST_P(JsonTest, WalksArrays) {
  const JsonValue value = Parse(R"([1,[2,3],{"a":4},"x"])");
  EXPECT_EQ(value.size(), 4u);
  EXPECT_EQ(value.At(1).At(1).GetInt(), 3);
  EXPECT_EQ(value.At(3).GetText(), "x");
  int elements = 0;
  value.ForEachElement([&](const JsonValue&) { ++elements; });
  value.ForEachMember([&](std::string_view, const JsonValue&) { FAIL(); });
  value.At(2).ForEachElement([&](const JsonValue&) { FAIL(); });
  EXPECT_EQ(elements, 4);
  EXPECT_EQ(Parse("7").size(), 0u);
}

TEST_P(JsonTest, RefusesWhatIsNoJson) {
  using namespace std::string_view_literals;
  for (std::string_view text : {""sv,
                                " "sv,
                                "{"sv,
                                "}"sv,
                                "[1,]"sv,
                                "{\"a\":1,}"sv,
                                "{a:1}"sv,
                                "{\"a\" 1}"sv,
                                "{\"a\":}"sv,
                                "{\"a\"}"sv,
                                "{1:2}"sv,
                                "[1 2]"sv,
                                "01"sv,
                                "1."sv,
                                ".5"sv,
                                "+1"sv,
                                "-"sv,
                                "1e"sv,
                                "1e+"sv,
                                "0x10"sv,
                                "NaN"sv,
                                "Infinity"sv,
                                "nul"sv,
                                "nullx"sv,
                                "True"sv,
                                "'a'"sv,
                                "\"a"sv,
                                "\"\n\""sv,
                                "\"\0\""sv,
                                "\"\\x\""sv,
                                "\"\\u12\""sv,
                                "\"\\u12g4\""sv,
                                "\"\\ud80\""sv,
                                "\"\\ud800\\\""sv,
                                "\"\\ud800\\u00\""sv,
                                "\"\xff\""sv,
                                "\"\xc0\x80\""sv,
                                "\"\xed\xa0\x80\""sv,
                                "\"\xf4\x90\x80\x80\""sv,
                                "\"\xe2\x82\""sv,
                                "\xef\xbb\xbf[1]"sv,
                                "1}"sv,
                                "{} {}"sv,
                                "[1]\0"sv,
                                "[1]x"sv,
                                "/**/1"sv,
                                "[1,,2]"sv,
                                "[,1]"sv,
                                "\"\\"sv,
                                "[\"\\\"]"sv,
                                "{\"a\":1 \"b\":2}"sv,
                                "[}"sv,
                                "{]"sv}) {
    EXPECT_TRUE(IsRefused(text)) << text;
  }
}

TEST(JsonParser, RefusesWhatIsBrokenBehindTheFieldsOneReads) {
  JsonParser parser;
  EXPECT_FALSE(parser.ParseUnpadded(R"({"id":1,"rest":tru})").ok());
  EXPECT_FALSE(parser.ParseUnpadded(R"({"id":1,"rest":[1,2})").ok());
  EXPECT_FALSE(parser.ParseUnpadded("{\"id\":1,\"rest\":\"\xff\"}").ok());
  EXPECT_FALSE(parser.ParseUnpadded(R"({"id":1}{)").ok());
}

TEST(JsonParser, SaysWhatIsWrongAndWhere) {
  JsonParser parser;
  auto error = [&](std::string_view text) {
    return std::string(parser.ParseUnpadded(text).status().message());
  };
  EXPECT_EQ(error(R"({"a":1,"b":tru})"), "not JSON: wanted a value, at byte 11");
  EXPECT_EQ(error(R"({"a":1,"b":2)"), "not JSON: it ends too early, at byte 12: wanted ',' or '}'");
  EXPECT_EQ(error("{\"a\":\"x\xffy\"}"), "not JSON: invalid UTF-8 at byte 7");
  EXPECT_EQ(error("hello"), "not JSON: wanted a value, at byte 0");
  EXPECT_THAT(error(Nested(16'385)), HasSubstr("nested deeper than 16,384, at byte 16384"));
  EXPECT_EQ(parser.ParseUnpadded("x").status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(JsonParser, ReadsAnyDepthUpToTheLimit) {
  JsonParser parser;
  for (int depth : {1'023, 1'024, 1'025, 10'000, limits::kJsonDepthMax}) {
    EXPECT_TRUE(parser.ParseUnpadded(Nested(depth)).ok()) << depth;
    // The lenient parser counts the same way.
    EXPECT_TRUE(
        parser.ParseUnpadded(std::string(depth, '[') + "1e999" + std::string(depth, ']')).ok())
        << depth;
  }
  const int over = limits::kJsonDepthMax + 1;
  EXPECT_FALSE(parser.ParseUnpadded(Nested(over)).ok());
  EXPECT_FALSE(
      parser.ParseUnpadded(std::string(over, '[') + "1e999" + std::string(over, ']')).ok());
  EXPECT_FALSE(parser.ParseUnpadded(std::string(1'000'000, '[')).ok());
  EXPECT_FALSE(parser.ParseUnpadded(Nested(1'000'000)).ok());
}

TEST(JsonParser, ReadsNumbersOfAnyLength) {
  JsonParser parser;
  const std::string digits(100'000, '7');
  auto root = parser.ParseUnpadded("{\"n\":" + digits + "}");
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->Find("n")->GetText(), digits);
  EXPECT_EQ(root->Find("n")->GetDouble(), std::nullopt);
  EXPECT_FALSE(parser.ParseUnpadded("{\"n\":" + digits + "x}").ok());
}

TEST(JsonParser, ReadsLargeAndSmallTextsInTurn) {
  JsonParser parser;
  const std::string large = "{\"a\":\"" + std::string(3 << 20, 'x') + "\",\"b\":1.25}";
  for (int i = 0; i < 3; ++i) {
    auto root = parser.ParseUnpadded(large);
    ASSERT_TRUE(root.ok());
    EXPECT_EQ(root->Find("a")->GetString()->size(), 3u << 20);
    EXPECT_EQ(root->Find("b")->GetText(), "1.25");
    root = parser.ParseUnpadded("{\"a\":1.75}");
    ASSERT_TRUE(root.ok());
    EXPECT_EQ(root->Find("a")->GetText(), "1.75");
  }
}

TEST(JsonParser, IsNotTakenInByWhatLiesBehindTheText) {
  JsonParser parser;
  std::string text = "{\"a\":12}\n{\"b\":3}";
  text.reserve(text.size() + limits::kSlabPaddingBytes);
  auto root = parser.Parse(std::string_view(text).substr(0, 8));
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->Find("a")->GetInt(), 12);
  EXPECT_FALSE(root->Find("b"));
  EXPECT_FALSE(parser.Parse(std::string_view(text).substr(0, 7)).ok());
  EXPECT_FALSE(parser.Parse(std::string_view(text).substr(0, 3)).ok());
  root = parser.Parse(std::string_view(text).substr(5, 1));
  ASSERT_TRUE(root.ok());
  EXPECT_EQ(root->GetText(), "1");
}

// The three parsers agree on what is JSON: ours, the lenient half of it alone, and RapidJSON.
TEST(JsonParser, AgreesWithOtherParsersOnMutatedTexts) {
  const std::string seeds[] = {
      R"({"id":"F000002","t":"2001-01-01T01:10:00Z","n":[1,-2.5e3,0.1],"o":{"k":null,"t":true}})",
      R"([{"a":"\u00e9\ud83d\ude00\n","b":[[],{}]},18446744073709551615,-0,"é€😀",false])",
      R"({"a":{"b":{"c":[1e400,12345678901234567890123]}},"x":"\\\"","y":""})",
  };
  const std::string_view pieces = "{}[]:,\"\\u0123456789eE+-.truefalsn \t\x01\x7f\x80\xc3\xed\xa0";
  std::mt19937_64 random(20'261'122);
  JsonParser parser;
  internal::LenientJson lenient;
  int accepted = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string text = seeds[random() % std::size(seeds)];
    for (int edits = static_cast<int>(random() % 3) + 1; edits > 0; --edits) {
      const size_t at = random() % text.size();
      switch (random() % 4) {
        case 0:
          text[at] = pieces[random() % pieces.size()];
          break;
        case 1:
          text.insert(at, 1, pieces[random() % pieces.size()]);
          break;
        case 2:
          text.erase(at, 1 + random() % 3);
          break;
        default:
          text.resize(at + 1);
      }
      if (text.empty()) text = " ";
    }
    const bool ours = parser.ParseUnpadded(text).ok();
    accepted += ours;
    ASSERT_EQ(lenient.Parse(text).ok(), ours) << text;

    rapidjson::MemoryStream raw(text.data(), text.size());
    rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(raw);
    rapidjson::Reader reader;
    rapidjson::BaseReaderHandler<> handler;
    reader.Parse<rapidjson::kParseValidateEncodingFlag>(stream, handler);
    const auto code = reader.GetParseErrorCode();
    // What RapidJSON is known to judge otherwise: large numbers, and a high surrogate by itself.
    if (code == rapidjson::kParseErrorNumberTooBig) continue;
    if (code == rapidjson::kParseErrorStringUnicodeSurrogateInvalid) continue;
    ASSERT_EQ(code == rapidjson::kParseErrorNone, ours) << text;
  }
  EXPECT_GT(accepted, 1'000);
}

TEST(JsonWriter, WritesCompactDocuments) {
  JsonWriter out;
  out.StartObject();
  out.Key("a");
  out.StartArray();
  out.Int(-1);
  out.Uint(std::numeric_limits<uint64_t>::max());
  out.Double(0.5);
  out.Double(std::nan(""));
  out.Double(-HUGE_VAL);
  out.Bool(true);
  out.Null();
  out.String("q\"\\\n\x01é");
  out.String({});
  out.String(std::string_view("\0", 1));
  out.EndArray();
  out.EndObject();
  EXPECT_EQ(out.text(),
            "{\"a\":[-1,18446744073709551615,0.5,null,null,true,null,\"q\\\"\\\\\\n\\u0001é\",\"\","
            "\"\\u0000\"]}");
  out.Clear();
  out.String("again");
  EXPECT_EQ(out.text(), "\"again\"");
}

TEST(JsonWriter, ReplacesBytesThatAreNoUtf8) {
  JsonWriter out;
  out.String("a\xff\xe2\x82z\xc3\xa9");
  EXPECT_EQ(out.text(), "\"a\uFFFD\uFFFD\uFFFDz\u00e9\"");
  JsonParser parser;
  EXPECT_TRUE(parser.ParseUnpadded(out.text()).ok());
}

TEST(JsonWriter, WritesDoublesThatAreReadBackTheSame) {
  std::mt19937_64 random(7);
  JsonParser parser;
  for (int i = 0; i < 10'000; ++i) {
    const double number = std::bit_cast<double>(random());
    if (!std::isfinite(number)) continue;
    JsonWriter out;
    out.Double(number);
    auto read = parser.ParseUnpadded(out.text());
    ASSERT_TRUE(read.ok()) << out.text();
    EXPECT_EQ(read->GetDouble(), number) << out.text();
  }
}

TEST(IsValidUtf8, JudgesWholeStrings) {
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8("é€😀"));
  EXPECT_FALSE(IsValidUtf8("\x80"));
  EXPECT_FALSE(IsValidUtf8("\xe2\x82"));
}

}  // namespace
}  // namespace weir
