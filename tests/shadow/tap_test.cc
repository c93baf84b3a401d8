// Taps: what a version would have written comes out as records, by output and key.
#include "shadow/tap.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/connectors.h"
#include "jobs/stream.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;
using testing::OperatorBed;
using testing::RecordingOutput;
using ::testing::SizeIs;

struct Order {
  std::string_view id;
  int64_t amount = 0;
  BOOST_DESCRIBE_CLASS(Order, (), (id, amount), (), ())
};

// A job with sinks of each kind: routed lines, rows as lines, and one that writes no lines at all.
BuiltJob Job() {
  JobBuilder job("job");
  auto events = job.From("events", EventFiles({.input = "-"}, {{"id"}, "", "", "", ""}));
  events.To("files", EventFileSink({.directory = "/nowhere"}));
  events.To("nothing", Blackhole<Event>());
  job.From("orders", JsonFiles<Order>({.input = "-"}))
      .To("rows", JsonFileSink<Order>({.directory = "/nowhere", .by_partition = false}));
  job.DeadLetters("dead-letters",
                  DeadLetterFileSink({.directory = "/nowhere", .by_partition = false}));
  auto built = job.Build();
  WEIR_CHECK(built.ok());
  return *std::move(built);
}

// The tap in place of one of its sinks, and what comes out of it.
class Tapping {
 public:
  explicit Tapping(std::string_view sink, std::string_view yaml = "",
                   Version version = Version::kCandidate)
      : job_(Job()) {
    code_ = TapCode(version, job_, job_.graph.FindStage(sink), {}, RulesOf(yaml));
    op_ = code_.op();
    EXPECT_TRUE(op_->Open(bed_.context).ok());
  }
  // A restart from here.
  void Restart() {
    testing::MemorySnapshots snapshots;
    auto snapshot = op_->Freeze(1)->Write(snapshots);
    ASSERT_TRUE(snapshot.ok());
    bed_.restore = testing::RestoreFor(0, 1, {*snapshot}, snapshots);
    op_ = code_.op();
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  template <class T>
  void Take(const std::vector<std::pair<T, Timestamp>>& rows) {
    auto batch = std::make_unique<Batch<T>>();
    for (const auto& [row, time] : rows) batch->Add(row, time);
    const auto progress = op_->Process(0, std::move(batch), out_);
    ASSERT_TRUE(progress.ok() && *progress == Progress::kDone);
  }
  void Watermark(Timestamp time) { ASSERT_TRUE(op_->OnWatermark(time, out_).ok()); }

  std::vector<TappedRecord> records() const { return out_.Rows<TappedRecord>(); }
  // "output key text", in order.
  std::vector<std::string> Shown() const {
    std::vector<std::string> shown;
    for (const TappedRecord& record : records()) {
      shown.push_back(fmt::format("{} {} {}", record.output, record.key, record.text));
    }
    return shown;
  }
  std::vector<Timestamp> Times() const {
    std::vector<Timestamp> times;
    for (const auto& emitted : out_.emitted) {
      times.insert(times.end(), emitted.batch->times().begin(), emitted.batch->times().end());
    }
    return times;
  }
  const RecordingOutput& out() const { return out_; }

 private:
  OperatorBed bed_;
  BuiltJob job_;
  StageCode code_;
  std::unique_ptr<Operator> op_;
  RecordingOutput out_;
};

Event EventOf(std::string_view route, std::string_view line) {
  Event event;
  event.route = route;
  event.payload = line;
  return event;
}

TEST(TapTest, RoutesAreOutputsOfTheirOwn) {
  Tapping tap("files", "outputs: {alerts: {key: [id]}}");
  tap.Take<Event>({{EventOf("warehouse", R"({"id":1, "v":[1,  2]})"), 1},
                   {EventOf("alerts", R"({"v":2,"id":1})"), 2},
                   {EventOf("warehouse", R"({"z":1,"id":2})"), 3}});
  EXPECT_THAT(tap.Shown(), ::testing::UnorderedElementsAre(R"(warehouse  {"id":1,"v":[1,2]})",
                                                           R"(alerts [1] {"id":1,"v":2})",
                                                           R"(warehouse  {"id":2,"z":1})"));
  for (const TappedRecord& record : tap.records()) {
    EXPECT_EQ(record.version, static_cast<uint8_t>(Version::kCandidate));
    EXPECT_THAT(record.meeting, SizeIs(16));
  }
}

TEST(TapTest, NoTwoOutputsHaveOneName) {
  const OutputNames one{{"files", "orders"}, {"files"}};
  EXPECT_EQ(one.Of("files", ""), "files");
  EXPECT_EQ(one.Of("files", "alerts"), "alerts");
  EXPECT_EQ(one.Of("files", "orders"), "files/orders");
  const OutputNames several{{"files", "copy"}, {"files", "copy"}};
  EXPECT_EQ(several.Of("files", "alerts"), "files/alerts");
  EXPECT_EQ(several.Of("copy", "alerts"), "copy/alerts");
}

TEST(TapTest, RowsAreTheLinesThatTheSinkWouldWrite) {
  Tapping tap("rows");
  tap.Take<Order>({{{"a", 7}, 1}, {{"b\n", 8}, 2}});
  EXPECT_THAT(tap.Shown(), ElementsAre(R"(rows  {"amount":7,"id":"a"})",
                                       R"(rows  {"amount":8,"id":"b\u000a"})"));
}

TEST(TapTest, OfASinkWithoutLinesTheRowIsTheRecord) {
  Tapping tap("nothing");
  tap.Take<Event>({{EventOf("x", "{}"), 1}});
  ASSERT_THAT(tap.Shown(), SizeIs(1));
  EXPECT_THAT(tap.Shown()[0], ::testing::HasSubstr(R"("payload":"{}")"));
  EXPECT_EQ(tap.records()[0].output, "nothing");
}

TEST(TapTest, DeadLettersAreAnOutputToo) {
  Tapping tap("dead-letters");
  tap.Take<DeadLetter>({{{"parse", "no JSON", "abc"}, 1}, {{"parse", "no JSON", "\xff"}, 2}});
  EXPECT_THAT(tap.Shown(),
              ElementsAre(R"(dead-letters  {"error":"no JSON","operator":"parse","record":"abc"})",
                          ::testing::HasSubstr(R"("record_base64":"/w==")")));
}

TEST(TapTest, WhatIsNoJsonIsTakenAsItIsAndWhatTheSinkRefusesIsRefused) {
  Tapping tap("files");
  tap.Take<Event>({{EventOf("a", "plain"), 1}, {EventOf("a", "two\nlines"), 2}});
  EXPECT_THAT(tap.Shown(), ElementsAre("a  plain"));
  EXPECT_THAT(tap.out().rejected, SizeIs(1));
}

TEST(TapTest, RecordsGoOutAtTheirTimeOrAtTheWatermarkIfThatIsLater) {
  for (const char* sink : {"rows", "nothing"}) {
    Tapping tap(sink);
    const auto take = [&](const std::vector<Timestamp>& times) {
      std::vector<std::pair<Order, Timestamp>> orders;
      std::vector<std::pair<Event, Timestamp>> events;
      for (const Timestamp time : times) {
        orders.emplace_back(Order{"a", 1}, time);
        events.emplace_back(EventOf("x", "{}"), time);
      }
      sink == std::string_view("rows") ? tap.Take<Order>(orders) : tap.Take<Event>(events);
    };
    take({Seconds(50)});
    tap.Watermark(Seconds(100));
    // Years apart in one batch, as where input is sparse.
    take({Seconds(50), Hours(5), Hours(90'000), Hours(5), kMinTimestamp, kMaxTimestamp});
    EXPECT_THAT(tap.Times(), ElementsAre(Seconds(50), Seconds(100), Hours(5), Hours(90'000),
                                         Hours(5), Seconds(100), kMaxTimestamp))
        << sink;
  }
}

// Whichever batches they come in, and whatever comes beside them.
TEST(TapTest, EachRecordHasItsOwnTime) {
  for (const char* sink : {"rows", "files"}) {
    Tapping tap(sink);
    std::vector<Timestamp> times = {Seconds(7), Seconds(5), Seconds(5) + 1, Seconds(64)};
    if (sink == std::string_view("rows")) {
      tap.Take<Order>(
          {{{"a", 1}, times[0]}, {{"b", 1}, times[1]}, {{"c", 1}, times[2]}, {{"d", 1}, times[3]}});
    } else {
      std::vector<std::pair<Event, Timestamp>> events;
      for (Timestamp time : times)
        events.emplace_back(EventOf("alerts", R"({"id":"12345"})"), time);
      tap.Take<Event>(events);
    }
    EXPECT_EQ(tap.Times(), times) << sink;
  }
}

TEST(TapTest, ARecordHasItsTimeAlsoBehindARestart) {
  Tapping tap("rows");
  tap.Watermark(Seconds(100));
  tap.Restart();
  tap.Take<Order>({{{"late", 1}, Seconds(50)}, {{"in time", 1}, Seconds(120)}});
  tap.Watermark(Seconds(90));  // the first one behind a restart may be earlier
  tap.Take<Order>({{{"late", 1}, Seconds(95)}});
  EXPECT_THAT(tap.Times(), ElementsAre(Seconds(100), Seconds(120), Seconds(100)));
}

TEST(TapTest, EqualRecordsMeetAcrossVersionsAndOthersDoNot) {
  const std::string_view keyed = "all: {key: [id]}";
  const auto meeting = [](std::string_view yaml, Version version, std::string_view route,
                          std::string_view line) {
    Tapping tap("files", yaml, version);
    tap.Take<Event>({{EventOf(route, line), 1}});
    EXPECT_THAT(tap.records(), SizeIs(1));
    return std::string(tap.records().at(0).meeting);
  };
  const std::string whole = meeting("", Version::kBaseline, "a", R"({"id":1,"v":1})");
  EXPECT_EQ(whole, meeting("", Version::kAgain, "a", R"({ "v":1,"id":1 })"));
  EXPECT_NE(whole, meeting("", Version::kAgain, "a", R"({"v":2,"id":1})"));
  EXPECT_NE(whole, meeting("", Version::kAgain, "b", R"({"v":1,"id":1})"));
  const std::string by_key = meeting(keyed, Version::kBaseline, "a", R"({"id":1,"v":1})");
  EXPECT_EQ(by_key, meeting(keyed, Version::kCandidate, "a", R"({"id":1,"v":2})"));
  EXPECT_NE(by_key, meeting(keyed, Version::kCandidate, "a", R"({"id":2,"v":1})"));
  EXPECT_NE(by_key, meeting(keyed, Version::kCandidate, "b", R"({"id":1,"v":1})"));
  // A record that looks like the key of another is not taken for it.
  EXPECT_NE(by_key, meeting("", Version::kBaseline, "a", "[1]"));
}

}  // namespace
}  // namespace weir::shadow
