#include "core/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <cmath>
#include <limits>
#include <random>

#include "core/event.h"

namespace weir {
namespace {

enum class Colour { kRed = -1, kGreen = 7 };

struct Inner {
  std::string name;
  std::optional<int32_t> weight;
  BOOST_DESCRIBE_CLASS(Inner, (), (name, weight), (), ())
};
bool operator==(const Inner& a, const Inner& b) { return a.name == b.name && a.weight == b.weight; }

struct Everything {
  bool flag = false;
  int64_t number = 0;
  uint8_t small = 0;
  Colour colour = Colour::kRed;
  double real = 0;
  std::string text;
  std::string_view view;
  std::optional<std::string> maybe;
  std::vector<Inner> list;
  std::map<std::string, int> counts;
  std::map<int, std::vector<std::string>> by_number;
  std::tuple<int, std::string, bool> triple;
  BOOST_DESCRIBE_CLASS(Everything, (),
                       (flag, number, small, colour, real, text, view, maybe, list, counts,
                        by_number, triple),
                       (), ())
};
bool operator==(const Everything& a, const Everything& b) {
  return std::tie(a.flag, a.number, a.small, a.colour, a.real, a.text, a.view, a.maybe, a.list,
                  a.counts, a.by_number,
                  a.triple) == std::tie(b.flag, b.number, b.small, b.colour, b.real, b.text, b.view,
                                        b.maybe, b.list, b.counts, b.by_number, b.triple);
}

Everything Sample() {
  Everything value;
  value.flag = true;
  value.number = std::numeric_limits<int64_t>::min();
  value.small = 255;
  value.colour = Colour::kGreen;
  value.real = -0.1;
  value.text = std::string("a\0b\xff", 4);
  value.view = "seen";
  value.maybe = "";
  value.list = {{"x", 1}, {"", std::nullopt}, {"z", -5}};
  value.counts = {{"a", 1}, {"b", -2}};
  value.by_number = {{-3, {"p", "q"}}, {9, {}}};
  value.triple = {42, "t", true};
  return value;
}

// Decodes from a block of exactly these bytes, so that a sanitizer sees a read past the end.
template <class T>
bool DecodeExact(std::string_view bytes, T& value) {
  std::unique_ptr<char[]> copy(new char[bytes.size()]);
  std::copy(bytes.begin(), bytes.end(), copy.get());
  ByteReader in(std::string_view(copy.get(), bytes.size()));
  return Codec<T>::Decode(in, value) && in.done();
}

template <class T>
void ExpectRoundTrip(const T& value) {
  const std::string bytes = EncodeToString(value);
  ByteReader in(bytes);
  T read{};
  ASSERT_TRUE(Codec<T>::Decode(in, read));
  EXPECT_TRUE(in.done());
  EXPECT_TRUE(read == value);

  ByteReader as_written(bytes);
  T read_as{};
  ASSERT_TRUE(Codec<T>::DecodeAs(Codec<T>::Describe(), as_written, read_as));
  EXPECT_TRUE(as_written.done());
  EXPECT_TRUE(read_as == value);

  ByteReader skipped(bytes);
  EXPECT_TRUE(SkipValue(Codec<T>::Describe(), skipped));
  EXPECT_TRUE(skipped.done());

  for (size_t n = 0; n < bytes.size(); ++n) {
    T torn{};
    EXPECT_FALSE(DecodeExact(std::string_view(bytes).substr(0, n), torn)) << "cut at " << n;
    ByteReader torn_in(std::string_view(bytes).substr(0, n));
    EXPECT_FALSE(SkipValue(Codec<T>::Describe(), torn_in)) << "cut at " << n;
  }
}

TEST(CodecTest, ScalarsSurviveARoundTrip) {
  for (int64_t n : {int64_t{0}, int64_t{1}, int64_t{-1}, int64_t{63}, int64_t{-64}, int64_t{64},
                    std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    ExpectRoundTrip(n);
  }
  for (uint64_t n : {uint64_t{0}, uint64_t{127}, uint64_t{128}, ~uint64_t{0}}) ExpectRoundTrip(n);
  ExpectRoundTrip<int8_t>(-128);
  ExpectRoundTrip<uint16_t>(65535);
  ExpectRoundTrip(true);
  ExpectRoundTrip(1e308);
  ExpectRoundTrip(1.5f);
  ExpectRoundTrip(std::numeric_limits<double>::infinity());
  ExpectRoundTrip(Colour::kRed);
  ExpectRoundTrip(std::string(300, 'x'));
  ExpectRoundTrip(std::string());
}

TEST(CodecTest, NanKeepsItsBits) {
  const std::string bytes = EncodeToString(std::nan(""));
  double value;
  ASSERT_TRUE(DecodeExact(bytes, value));
  EXPECT_TRUE(std::isnan(value));
}

TEST(CodecTest, StructuresSurviveARoundTrip) {
  ExpectRoundTrip(Sample());
  ExpectRoundTrip(Everything{});
  ExpectRoundTrip(std::vector<std::optional<int>>{1, std::nullopt});
  ExpectRoundTrip(std::map<std::tuple<int, int>, bool>{{{1, 2}, true}});
}

TEST(CodecTest, ADecodedViewPointsIntoTheBytes) {
  const std::string bytes = EncodeToString(std::string_view("hello"));
  ByteReader in(bytes);
  std::string_view view;
  ASSERT_TRUE(Codec<std::string_view>::Decode(in, view));
  EXPECT_EQ(view.data(), bytes.data() + 1);
}

TEST(CodecTest, HostileBytesAreRefusedOrReadWithinTheirBounds) {
  const std::string good = EncodeToString(Sample());
  std::mt19937 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = good;
    for (int flips = 1 + round % 4; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    Everything value;
    DecodeExact(bytes, value);  // either way; a sanitizer watches
    ByteReader in(bytes);
    SkipValue(Codec<Everything>::Describe(), in);
    ByteReader as(bytes);
    Codec<Everything>::DecodeAs(Codec<Everything>::Describe(), as, value);
  }
}

TEST(CodecTest, ALengthLongerThanTheBytesIsALieNotAnAllocation) {
  std::string bytes;
  PutVarint(~uint64_t{0} >> 1, bytes);
  bytes += "abc";
  std::string text;
  EXPECT_FALSE(DecodeExact(bytes, text));
  std::vector<int> list;
  EXPECT_FALSE(DecodeExact(bytes, list));
  std::map<int, int> map;
  EXPECT_FALSE(DecodeExact(bytes, map));
}

TEST(CodecTest, NumbersThatDoNotFitTheirTypeAreRefused) {
  int8_t narrow;
  EXPECT_FALSE(DecodeExact(EncodeToString<int64_t>(128), narrow));
  EXPECT_TRUE(DecodeExact(EncodeToString<int64_t>(127), narrow));
  uint8_t unsigned_narrow;
  EXPECT_FALSE(DecodeExact(EncodeToString<uint64_t>(256), unsigned_narrow));
  bool flag;
  EXPECT_FALSE(DecodeExact(std::string("\x02", 1), flag));
  uint64_t number;
  EXPECT_FALSE(DecodeExact(std::string(9, '\xff') + '\x02', number)) << "65 bits";
  EXPECT_FALSE(DecodeExact(std::string(11, '\x80'), number)) << "never ends";
  EXPECT_TRUE(DecodeExact(std::string(9, '\xff') + '\x01', number));
  EXPECT_EQ(number, ~uint64_t{0});
}

struct Before {
  int64_t kept = 0;
  std::vector<Inner> removed;
  std::string renamed_away;
  Inner inner;
  BOOST_DESCRIBE_CLASS(Before, (), (kept, removed, renamed_away, inner), (), ())
};
struct InnerAfter {
  std::string added = "default";
  std::optional<int64_t> weight;
  BOOST_DESCRIBE_CLASS(InnerAfter, (), (added, weight), (), ())
};
struct After {
  InnerAfter inner;
  std::string added = "new";
  int32_t kept = 0;
  BOOST_DESCRIBE_CLASS(After, (), (inner, added, kept), (), ())
};

TEST(CodecTest, BytesOfAnOlderStructAreReadByName) {
  const Schema written = Codec<Before>::Describe();
  ASSERT_THAT(IncompatibleFields(written, Codec<After>::Describe(), "row"), testing::IsEmpty());
  const std::string bytes = EncodeToString(Before{5, {{"x", 1}}, "gone", {"n", 9}});
  ByteReader in(bytes);
  After value;
  ASSERT_TRUE(Codec<After>::DecodeAs(written, in, value));
  EXPECT_TRUE(in.done());
  EXPECT_EQ(value.kept, 5);
  EXPECT_EQ(value.added, "new");
  EXPECT_EQ(value.inner.added, "default");
  EXPECT_EQ(value.inner.weight, 9);
}

TEST(CodecTest, OlderStructsAreReadWithinContainers) {
  using Old = std::map<std::string, std::vector<std::tuple<int, Before>>>;
  using New = std::map<std::string, std::vector<std::tuple<int, After>>>;
  const std::string bytes = EncodeToString(Old{{"k", {{1, Before{5, {}, "", {}}}}}});
  New value;
  for (size_t n = 0; n < bytes.size(); ++n) {
    ByteReader torn(std::string_view(bytes).substr(0, n));
    EXPECT_FALSE(Codec<New>::DecodeAs(Codec<Old>::Describe(), torn, value));
  }
  ByteReader in(bytes);
  ASSERT_TRUE(Codec<New>::DecodeAs(Codec<Old>::Describe(), in, value));
  EXPECT_EQ(std::get<1>(value.at("k").at(0)).kept, 5);
}

struct Renamed {
  std::string name = "unknown";
  std::optional<int64_t> weight;
  BOOST_DESCRIBE_CLASS(Renamed, (), (name, weight), (), ())
};
WEIR_RENAMED(Renamed, name, "title", "n")

struct Outer : Renamed {
  std::vector<Renamed> parts;
  BOOST_DESCRIBE_CLASS(Outer, (Renamed), (parts), (), ())
};
WEIR_RENAMED(Outer, parts, "pieces")

struct Earliest {
  std::string n;
  int64_t weight = 0;
  BOOST_DESCRIBE_CLASS(Earliest, (), (n, weight), (), ())
};
struct Earlier {
  std::string n;  // goes: `title` is the younger of the two names
  std::string title;
  std::vector<Earliest> pieces;
  BOOST_DESCRIBE_CLASS(Earlier, (), (n, title, pieces), (), ())
};

TEST(CodecTest, ARenamedMemberIsReadFromItsEarlierName) {
  const std::string bytes = EncodeToString(Earlier{"old", "younger", {{"part", 7}}});
  const Schema written = Codec<Earlier>::Describe();
  ASSERT_THAT(IncompatibleFields(written, Codec<Outer>::Describe(), "row"), testing::IsEmpty());
  ByteReader in(bytes);
  Outer value;
  ASSERT_TRUE(Codec<Outer>::DecodeAs(written, in, value));
  EXPECT_TRUE(in.done());
  EXPECT_EQ(value.name, "younger");
  EXPECT_EQ(value.weight, std::nullopt);
  ASSERT_EQ(value.parts.size(), 1);
  EXPECT_EQ(value.parts[0].name, "part");
  EXPECT_EQ(value.parts[0].weight, 7) << "a value that became optional";
  // What is written now has the new names alone.
  EXPECT_EQ(Codec<Outer>::Describe().ToText(),
            "struct{name:string,weight:optional<int>,parts:list<struct{name:string,weight:"
            "optional<int>}>}");
}

TEST(CodecTest, ViewBytesCountWhatAValuePointsTo) {
  Event event;
  event.id = "four";
  event.payload = "0123456789";
  EXPECT_EQ(Codec<Event>::ViewBytes(event), 14u);
  EXPECT_EQ(Codec<std::vector<std::string>>::ViewBytes({"abc"}), sizeof(std::string) + 3);
  EXPECT_EQ(Codec<std::optional<std::string>>::ViewBytes(std::nullopt), 0u);
}

template <class T>
std::string ToJson(const T& value) {
  JsonWriter writer;
  Codec<T>::WriteJson(value, writer);
  return std::string(writer.text());
}

template <class T>
Status FromJson(std::string_view text, T& value) {
  JsonParser parser;
  SlabArena arena;
  WEIR_ASSIGN_OR_RETURN(JsonValue json, parser.ParseUnpadded(text));
  return Codec<T>::ReadJson(json, value, arena);
}

TEST(CodecTest, JsonSurvivesARoundTrip) {
  Everything value = Sample();
  value.text = "quote \" and é";
  value.view = "";  // a view would not outlive the arena
  const std::string text = ToJson(value);
  Everything read;
  read.view = "other";
  ASSERT_TRUE(FromJson(text, read).ok()) << text;
  EXPECT_TRUE(read == value) << text;
}

TEST(CodecTest, MissingJsonMembersKeepTheirDefaults) {
  After value;
  ASSERT_TRUE(FromJson(R"({"kept": 3, "unknown": [1, 2]})", value).ok());
  EXPECT_EQ(value.kept, 3);
  EXPECT_EQ(value.added, "new");
}

TEST(CodecTest, AWrongJsonKindNamesTheMember) {
  After value;
  Status status = FromJson(R"({"inner": {"weight": "heavy"}})", value);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("inner: weight: is a string"));
  EXPECT_THAT(std::string(FromJson(R"({"kept": 3000000000})", value).message()),
              testing::HasSubstr("kept: is the number 3000000000"));
  EXPECT_THAT(std::string(FromJson("[]", value).message()), testing::HasSubstr("is an array"));
}

}  // namespace
}  // namespace weir
