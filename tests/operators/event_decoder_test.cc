#include "operators/sources/event_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>

#include "operators/sources/json_line_decoder.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::RecordingOutput;
using ::testing::StartsWith;

constexpr Timestamp kArrival = Seconds(1'800'000'000);

class DecoderTest : public ::testing::Test {
 protected:
  // Decodes the lines as one group.
  void Decode(LineDecoder& decoder, const std::vector<std::string>& texts) {
    std::string all;
    for (const std::string& text : texts) all += text + "\n";
    slab_ = CopyToSlab(all);
    std::vector<Line> lines;
    uint64_t offset = 0;
    for (const std::string& text : texts) {
      lines.push_back({slab_->view().substr(offset, text.size()), offset});
      offset += text.size() + 1;
    }
    batch_ = decoder.NewBatch(lines.size());
    out_.Clear();
    group_.unusable_times = 0;
    decoder.Decode(lines, group_, *batch_, out_);
  }
  const Event& Only(EventDecoder& decoder, const std::string& text) {
    Decode(decoder, {text});
    EXPECT_EQ(batch_->rows(), 1u) << (out_.rejected.empty() ? "" : out_.rejected[0].error);
    return Batch<Event>::Of(*batch_)[0];
  }
  std::string Rejection(LineDecoder& decoder, const std::string& text) {
    Decode(decoder, {text});
    EXPECT_EQ(batch_->rows(), 0u);
    if (out_.rejected.size() != 1) return "";
    EXPECT_EQ(out_.rejected[0].record, text);
    return out_.rejected[0].error;
  }

  static LineGroup MakeGroup() {
    LineGroup group;
    group.file = "in/a.jsonl";
    group.first_line_number = 11;
    group.arrival = kArrival;
    return group;
  }

  LineGroup group_ = MakeGroup();
  RecordingOutput out_;
  SlabPtr slab_;
  BatchPtr batch_;
};

TEST_F(DecoderTest, ReadsTheFieldsOfAnEvent) {
  EventDecoder decoder({{"id"}, "time", "kind", "who.tenant", "p"});
  const std::string line = R"( {"x":[1,{"id":0}],"id":"a\u00e9","time":"2026-01-02T03:04:05.5Z",)"
                           R"("kind":"de\"p","who":{"tenant":"acme"},"p":-7} )";
  const Event& event = Only(decoder, line);
  EXPECT_EQ(event.id, "aé");
  EXPECT_EQ(event.time, *ParseRfc3339("2026-01-02T03:04:05.5Z"));
  EXPECT_EQ(batch_->times()[0], event.time);
  EXPECT_EQ(event.type, "de\"p");
  EXPECT_EQ(event.tenant, "acme");
  EXPECT_EQ(event.priority, -7);
  EXPECT_EQ(event.payload, line);
  EXPECT_EQ(event.payload.data(), slab_->view().data());
  EXPECT_EQ(event.route, "");
  EXPECT_EQ(group_.unusable_times, 0u);
  EXPECT_EQ(batch_->view_bytes(), line.size() + 3 + 4 + 4);
}

TEST_F(DecoderTest, TakesOtherFieldsAsEmptyWhereTheyAreOfAnotherKind) {
  EventDecoder decoder({{"id"}, "", "kind", "who", "p"});
  const Event& event = Only(decoder, R"({"id":1,"kind":17.50,"who":null,"p":"high"})");
  EXPECT_EQ(event.type, "17.50");
  EXPECT_EQ(event.tenant, "");
  EXPECT_EQ(event.priority, 0);
  EXPECT_EQ(Only(decoder, R"({"id":1,"p":1.5})").priority, 0);
  EXPECT_EQ(Only(decoder, R"({"id":1,"p":1e400,"kind":123456789012345678901234567890})").type,
            "123456789012345678901234567890");
}

TEST_F(DecoderTest, TellsIdsApartByTheirText) {
  EventDecoder decoder({{"id"}, "", "", "", ""});
  EXPECT_EQ(Only(decoder, R"({"id":1})").id, "1");
  EXPECT_EQ(Only(decoder, R"({"id":"1"})").id, "1");
  EXPECT_EQ(Only(decoder, R"({"id":1.0})").id, "1.0");
  EXPECT_EQ(Only(decoder, R"({"id":"\u0031"})").id, "1");
  EXPECT_EQ(Only(decoder, R"({"id":"first","id":"second"})").id, "first");
  EXPECT_EQ(Only(decoder, R"({"id":1234567890123456789012345678901234567890})").id,
            "1234567890123456789012345678901234567890");
  EXPECT_EQ(Only(decoder, R"({"id":18446744073709551615})").id, "18446744073709551615");
}

TEST_F(DecoderTest, JoinsSeveralIdsSoThatTheyCannotBeMistaken) {
  EventDecoder decoder({{"a", "b"}, "", "", "", ""});
  EXPECT_EQ(Only(decoder, R"({"b":2,"a":"x"})").id, "x,2");
  std::vector<std::string> ids;
  for (const char* line :
       {R"({"a":"x,","b":"y"})", R"({"a":"x","b":",y"})", R"({"a":"x\\","b":"y"})",
        R"({"a":"x","b":"\\,y"})", R"({"a":"x,y","b":""})", R"({"a":"","b":"x,y"})",
        R"({"a":"x","b":"y"})"}) {
    ids.emplace_back(Only(decoder, line).id);
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
  EXPECT_THAT(Rejection(decoder, R"({"a":"x"})"), HasSubstr("the id 'b' is missing"));
}

TEST_F(DecoderTest, TakesTheWholeLineForTheIdWithoutAField) {
  EventDecoder decoder({{}, "", "", "", ""});
  const std::string line = "{\"a\" : 1}\r";
  EXPECT_EQ(Only(decoder, line).id, line);
  EXPECT_EQ(Only(decoder, line).payload, line);
}

TEST_F(DecoderTest, SaysOfEachRejectedLineWhereItStandsAndWhatIsWrong) {
  EventDecoder decoder({{"id"}, "", "", "", ""});
  Decode(decoder, {R"({"id":1})", "", " \t\r", "oops", R"({"id":2})", R"({"id":3)"});
  EXPECT_EQ(batch_->rows(), 2u);
  ASSERT_EQ(out_.rejected.size(), 2u);
  EXPECT_EQ(out_.rejected[0].error,
            "in/a.jsonl, line 14 at byte 14: not JSON: wanted a value, at byte 0");
  EXPECT_EQ(out_.rejected[0].record, "oops");
  EXPECT_EQ(out_.rejected[1].error,
            "in/a.jsonl, line 16 at byte 28: not JSON: it ends too early, at byte 7: wanted ',' or "
            "'}'");
  group_.first_line_number = 0;
  EXPECT_THAT(Rejection(decoder, "oops"), StartsWith("in/a.jsonl, the line at byte 0: not JSON"));
}

TEST_F(DecoderTest, RejectsWhatIsNoEvent) {
  EventDecoder decoder({{"u.id"}, "", "", "", ""});
  EXPECT_THAT(Rejection(decoder, "[1]"), HasSubstr("the line is an array, wanted a JSON object"));
  EXPECT_THAT(Rejection(decoder, "17"), HasSubstr("the line is a number"));
  EXPECT_THAT(Rejection(decoder, "1e400"), HasSubstr("the line is a number"));
  EXPECT_THAT(Rejection(decoder, "\"x\""), HasSubstr("the line is a string"));
  EXPECT_THAT(Rejection(decoder, "null"), HasSubstr("the line is null"));
  EXPECT_THAT(Rejection(decoder, "{}"), HasSubstr("the id 'u.id' is missing"));
  EXPECT_THAT(Rejection(decoder, R"({"u":"x"})"), HasSubstr("the id 'u.id' is missing"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":null}})"),
              HasSubstr("the id 'u.id' is null, wanted a string or a number"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":true}})"), HasSubstr("is true or false"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":["x"]}})"), HasSubstr("is an array"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":{}}})"), HasSubstr("is an object"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":1},"rest":tru})"), HasSubstr("not JSON"));
  EXPECT_THAT(Rejection(decoder, "{\"u\":{\"id\":1},\"rest\":\"\xff\"}"),
              HasSubstr("invalid UTF-8"));
  EXPECT_THAT(Rejection(decoder, R"({"u":{"id":1}} {})"), HasSubstr("something follows the value"));
  const std::string deep(10'000, '[');
  EXPECT_THAT(Rejection(decoder, deep), HasSubstr("it ends too early"));
}

TEST_F(DecoderTest, ReadsDeepLinesAndLargeNumbers) {
  EventDecoder decoder({{"id"}, "", "", "", ""});
  const std::string deep = std::string(10'000, '[') + std::string(10'000, ']');
  EXPECT_EQ(Only(decoder, "{\"deep\":" + deep + ",\"id\":\"x\"}").id, "x");
  EXPECT_EQ(Only(decoder, R"({"n":1234567890123456789012345678901234567890,"id":"y"})").id, "y");
  EXPECT_EQ(Only(decoder, R"({"n":-1e999,"id":7})").id, "7");
}

TEST_F(DecoderTest, ReadsTimesInEveryForm) {
  EventDecoder decoder({{"id"}, "t", "", "", ""});
  const Timestamp want = Seconds(1'700'000'000);
  for (const char* time : {"\"2023-11-14T22:13:20Z\"", "1700000000", "1700000000000",
                           "1700000000000000", "1.7e9", "1700000000.0"}) {
    EXPECT_EQ(Only(decoder, std::string(R"({"id":1,"t":)") + time + "}").time, want) << time;
  }
  EXPECT_EQ(group_.unusable_times, 0u);
  EXPECT_EQ(group_.highest_time, want);
}

TEST_F(DecoderTest, GivesEventsWithoutUsableTimeTheLastGoodOneElseArrival) {
  EventDecoder decoder({{"id"}, "t", "", "", ""});
  Decode(decoder, {R"({"id":1})", R"({"id":2,"t":1700000000})", R"({"id":3,"t":null})",
                   R"({"id":4,"t":"yesterday"})", R"({"id":5,"t":"2099-01-01T00:00:00Z"})",
                   R"({"id":6,"t":1600000000})", R"({"id":7,"t":1e300})",
                   R"({"id":8,"t":"1700000000"})", R"({"id":9,"t":-9223372036854775808})"});
  const Timestamp good = Seconds(1'700'000'000), earlier = Seconds(1'600'000'000);
  EXPECT_THAT(std::vector<Timestamp>(batch_->times().begin(), batch_->times().end()),
              ElementsAre(kArrival, good, good, good, good, earlier, earlier, earlier, earlier));
  EXPECT_EQ(group_.unusable_times, 7u);
  EXPECT_EQ(group_.last_good_time, earlier);
  EXPECT_EQ(group_.highest_time, good);
}

TEST_F(DecoderTest, AcceptsTimesUpToTheClockSkew) {
  EventDecoder decoder({{"id"}, "t", "", "", ""});
  group_.clock_skew_max = Seconds(10);
  EXPECT_EQ(Only(decoder, R"({"id":1,"t":1800000010})").time, kArrival + Seconds(10));
  EXPECT_EQ(group_.unusable_times, 0u);
  EXPECT_EQ(Only(decoder, R"({"id":1,"t":1800000011})").time, kArrival + Seconds(10));
  EXPECT_EQ(group_.unusable_times, 1u);
}

TEST_F(DecoderTest, ARejectedLineLeavesNoTimeBehind) {
  EventDecoder decoder({{"id"}, "t", "", "", ""});
  Decode(decoder, {R"({"t":1700000000})", R"({"id":1})"});
  EXPECT_EQ(batch_->times()[0], kArrival);
  EXPECT_EQ(group_.last_good_time, kMinTimestamp);
  EXPECT_EQ(group_.unusable_times, 1u);
}

TEST_F(DecoderTest, GivesArrivalAsTheTimeWithoutAField) {
  EventDecoder decoder({{"id"}, "", "", "", ""});
  EXPECT_FALSE(decoder.has_time());
  EXPECT_EQ(Only(decoder, R"({"id":1,"time":1700000000})").time, kArrival);
  EXPECT_EQ(group_.unusable_times, 0u);
}

TEST_F(DecoderTest, ReadsOneFieldForSeveralPurposes) {
  EventDecoder decoder({{"a"}, "", "a", "a", "a"});
  const Event& event = Only(decoder, R"({"a":5})");
  EXPECT_EQ(event.id, "5");
  EXPECT_EQ(event.type, "5");
  EXPECT_EQ(event.tenant, "5");
  EXPECT_EQ(event.priority, 5);
}

struct Reading {
  std::string_view sensor;
  double value = -1;
  std::optional<int64_t> at;
  BOOST_DESCRIBE_CLASS(Reading, (), (sensor, value, at), (), ())
};

TEST_F(DecoderTest, ReadsRowsOfAJobsOwnType) {
  auto decoder = MakeJsonLineDecoder<Reading>([](const Reading& r) { return r.at; });
  EXPECT_TRUE(decoder->has_time());
  Decode(*decoder, {R"({"sensor":"a\n","value":1.5,"at":1700000000000000,"more":[]})", "",
                    R"({"sensor":"b"})", R"({"sensor":7})", "[]", "{"});
  const auto& rows = Batch<Reading>::Of(std::as_const(*batch_)).values();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].sensor, "a\n");
  EXPECT_EQ(rows[0].value, 1.5);
  EXPECT_EQ(batch_->times()[0], Seconds(1'700'000'000));
  EXPECT_EQ(rows[1].sensor, "b");
  EXPECT_EQ(rows[1].value, -1);
  EXPECT_EQ(batch_->times()[1], Seconds(1'700'000'000));
  EXPECT_EQ(group_.unusable_times, 1u);
  ASSERT_EQ(out_.rejected.size(), 3u);
  EXPECT_THAT(out_.rejected[0].error, StartsWith("in/a.jsonl, line 14 at byte "));
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("sensor"));
  EXPECT_THAT(out_.rejected[1].error, HasSubstr("the line is no JSON object"));
  EXPECT_THAT(out_.rejected[2].error, HasSubstr("not JSON"));

  auto by_arrival = MakeJsonLineDecoder<Reading>();
  EXPECT_FALSE(by_arrival->has_time());
  Decode(*by_arrival, {"{}"});
  EXPECT_EQ(batch_->times()[0], kArrival);
}

}  // namespace
}  // namespace weir
