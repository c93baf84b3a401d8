#include "runtime/checkpoint/checkpoint_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "jobs/job.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Verdict = FitFinding::Verdict;

struct Row {
  int64_t id = 0;
  BOOST_DESCRIBE_CLASS(Row, (), (id), (), ())
};

struct Count {
  Status Open(KeyedStore& store) { return ValueState<int64_t>::Register(store, "count").status(); }
  Status Process(const Row&, ProcessContext<Row>&) { return absl::OkStatus(); }
};
struct Throws {
  Status Open(KeyedStore&) { throw std::runtime_error("no state today"); }
  Status Process(const Row&, ProcessContext<Row>&) { return absl::OkStatus(); }
};

// rows -> "work" -> "out"; `work` makes the stage in the middle.
template <class Work>
BuiltJob JobOf(Work work, std::string_view sink = "out") {
  JobBuilder job("job");
  work(job.From("rows", JsonFiles<Row>({.input = "in"})))
      .To(sink, JsonFileSink<Row>({.directory = "out", .by_partition = false}));
  return *job.Build();
}
BuiltJob Counting() {
  return JobOf([](Stream<Row> rows) {
    return rows.KeyBy([](const Row& row) { return row.id; }).Process<Row>("work", Count());
  });
}
BuiltJob Rebatching() {
  return JobOf([](Stream<Row> rows) { return rows.Rebatch("work"); });
}
BuiltJob Mapping() {
  return JobOf(
      [](Stream<Row> rows) { return rows.Map("work", [](const Row& row) { return row; }); });
}

StateSnapshot Keyed(std::string_view format, std::vector<StateSchema> schemas) {
  StateSnapshot snapshot;
  snapshot.format = std::string(format);
  snapshot.schemas = std::move(schemas);
  return snapshot;
}
Manifest Holding(std::string_view stage, StateSnapshot op, StateSnapshot keyed = {}) {
  Manifest manifest;
  manifest.checkpoint = 7;
  StageState& state = manifest.stages.emplace_back();
  state.name = std::string(stage);
  state.subtasks.push_back({std::move(op), std::move(keyed)});
  return manifest;
}

CheckpointFit Fit(const Manifest& manifest, const BuiltJob& job) {
  StatusOr<CheckpointFit> fit = FitCheckpoint(manifest, job);
  EXPECT_TRUE(fit.ok()) << fit.status();
  return fit.value_or(CheckpointFit{});
}
// "work/count: fits", without what merely starts.
std::vector<std::string> Told(const CheckpointFit& fit) {
  std::vector<std::string> told;
  for (const FitFinding& finding : fit.findings) {
    if (finding.verdict == Verdict::kStarts) continue;
    told.push_back(finding.stage + "/" + finding.state + ": " +
                   std::string(ToString(finding.verdict)));
  }
  return told;
}

TEST(CheckpointFitTest, StateOfTheSameSchemaFits) {
  const StateSchema count{"count", Codec<int64_t>::Describe()};
  const CheckpointFit fit = Fit(Holding("work", {}, Keyed(kRocksKeyedFormat, {count})), Counting());
  EXPECT_THAT(Told(fit), ElementsAre("work/count: fits"));
  EXPECT_TRUE(fit.Check(7, false).ok());
}

TEST(CheckpointFitTest, EveryStageReadsWhatItWrites) {
  const auto id = [](const Row& row) { return row.id; };
  const auto job = [&](auto stage) { return JobOf([&](Stream<Row> rows) { return stage(rows); }); };
  const StateSnapshot open =
      Keyed("rebatch/1", {StateSchema{"open batch", Codec<Row>::Describe()}});
  const BuiltJob by_key = job([&](Stream<Row> rows) { return rows.Rebatch("work", {}, id); });
  EXPECT_THAT(Told(Fit(Holding("work", open), Rebatching())), ElementsAre("work/open batch: fits"));
  EXPECT_THAT(Told(Fit(Holding("work", open), by_key)), ElementsAre("work/open batch: fits"));

  const BuiltJob sampling = job([](Stream<Row> rows) { return rows.Sample("work", {}); });
  EXPECT_THAT(Told(Fit(Holding("work", Keyed("sample/1", {})), sampling)),
              ElementsAre("work/: fits"));

  const StateSchema bucket{"bucket", Codec<std::tuple<int64_t, Timestamp>>::Describe()};
  const BuiltJob throttling =
      job([&](Stream<Row> rows) { return rows.Throttle("work", {.rows = 5}, id); });
  EXPECT_THAT(Told(Fit(Holding("work", {}, Keyed(kRocksKeyedFormat, {bucket})), throttling)),
              ElementsAre("work/bucket: fits"));
}

TEST(CheckpointFitTest, IdsFitTheirWindowAndKindOfTimeAlone) {
  const auto dedup = [](DedupOptions options) {
    return JobOf([&](Stream<Row> rows) {
      return rows.Dedup("work", options, [](const Row& row) { return row.id; });
    });
  };
  StateSnapshot ids = Keyed(IdStore::kFormat, {});
  PutSigned(-Hours(1), ids.inline_bytes);  // below 0: of arrival
  PutSigned(0, ids.inline_bytes);
  const Manifest manifest = Holding("work", ids);
  EXPECT_THAT(Told(Fit(manifest, dedup({.window = Hours(1), .time = DedupTime::kArrival}))),
              ElementsAre("work/: fits"));
  EXPECT_THAT(Fit(manifest, dedup({.window = Hours(1)})).Check(7, true).message(),
              HasSubstr("1h of arrival, the job asks for 1h of event time"));
  EXPECT_THAT(Fit(manifest, dedup({.window = Hours(2), .time = DedupTime::kArrival}))
                  .Check(7, true)
                  .message(),
              HasSubstr("1h of arrival, the job asks for 2h of arrival"));
}

struct ShipKey {
  int64_t port = 0;
  std::string name;
  BOOST_DESCRIBE_CLASS(ShipKey, (), (port, name), (), ())
};
struct VesselKey {
  int64_t port = 0;
  std::string name;
  BOOST_DESCRIBE_CLASS(VesselKey, (), (port, name), (), ())
};
struct TurnedKey {
  std::string name;
  int64_t port = 0;
  BOOST_DESCRIBE_CLASS(TurnedKey, (), (name, port), (), ())
};

// A row by the types that its key may have.
constexpr auto kById = [](const Row& row) { return row.id; };
constexpr auto kByText = [](const Row& row) { return std::to_string(row.id); };
constexpr auto kByView = [](const Row&) { return std::string_view("x"); };
constexpr auto kByPair = [](const Row& row) { return std::tuple(row.id, row.id); };
constexpr auto kByUnsigned = [](const Row& row) { return static_cast<uint64_t>(row.id); };
constexpr auto kByNarrow = [](const Row& row) { return static_cast<int32_t>(row.id); };
constexpr auto kByShip = [](const Row& row) { return ShipKey{row.id, ""}; };
constexpr auto kByVessel = [](const Row& row) { return VesselKey{row.id, ""}; };
constexpr auto kByTurned = [](const Row& row) { return TurnedKey{"", row.id}; };

template <class KeyFn>
BuiltJob CountingBy(KeyFn key) {
  return JobOf(
      [&](Stream<Row> rows) { return rows.KeyBy(key).template Process<Row>("work", Count()); });
}
// What the stage "work" of a job would leave, if it kept `state`.
Manifest LeftBy(const BuiltJob& job, Manifest manifest) {
  manifest.stages[0].key = job.graph.stages[1].key;
  return manifest;
}
Manifest Counts() {
  return Holding("work", {}, Keyed(kRocksKeyedFormat, {{"count", Codec<int64_t>::Describe()}}));
}

TEST(CheckpointFitTest, UnderAnotherKeyNothingWouldBeFound) {
  const auto from_to = [](auto was, auto is) {
    return Fit(LeftBy(CountingBy(was), Counts()), CountingBy(is));
  };
  EXPECT_EQ(from_to(kByText, kById).Check(7, true),
            absl::OutOfRangeError(
                "checkpoint 7 does not fit this job:\n"
                "stage 'work': key: was string, is int, and under another key nothing of its state "
                "would be found again; key it as it was, or give the stage another name, and it "
                "starts empty\n"
                "give what has changed another name, or go on with the job that wrote it; --fresh "
                "starts over"));
  EXPECT_THAT(from_to(kById, kByPair).Check(7, true).message(),
              HasSubstr("was int, is tuple<int,int>"));
  EXPECT_THAT(from_to(kById, kByUnsigned).Check(7, true).message(), HasSubstr("was int, is uint"));
  EXPECT_THAT(from_to(kByShip, kByTurned).Check(7, true).message(),
              HasSubstr("was struct{port:int,name:string}, is struct{name:string,port:int}"));
  // The same bytes.
  EXPECT_TRUE(from_to(kByText, kByView).Check(7, false).ok());
  EXPECT_TRUE(from_to(kById, kByNarrow).Check(7, false).ok());
  EXPECT_TRUE(from_to(kByShip, kByVessel).Check(7, false).ok());
}

TEST(CheckpointFitTest, EveryStageThatKeepsStateByKeySaysByWhich) {
  const auto left = [](auto stage, Manifest manifest) {
    const auto by = [&](auto key) {
      return JobOf([&](Stream<Row> rows) { return stage(rows, key); });
    };
    EXPECT_TRUE(Fit(LeftBy(by(kById), manifest), by(kById)).Check(7, false).ok());
    return std::string(Fit(LeftBy(by(kById), manifest), by(kByText)).Check(7, true).message());
  };
  const auto was = HasSubstr("stage 'work': key: was int, is string");
  const StateSchema open{"open batch", Codec<Row>::Describe()};
  EXPECT_THAT(left([](Stream<Row> rows, auto key) { return rows.Rebatch("work", {}, key); },
                   Holding("work", Keyed("rebatch/1", {open}))),
              was);
  StateSnapshot ids = Keyed(IdStore::kFormat, {});
  PutSigned(Hours(24), ids.inline_bytes);
  PutSigned(0, ids.inline_bytes);
  EXPECT_THAT(left([](Stream<Row> rows, auto key) { return rows.Dedup("work", {}, key); },
                   Holding("work", ids)),
              was);
  const StateSchema bucket{"bucket", Codec<std::tuple<int64_t, Timestamp>>::Describe()};
  EXPECT_THAT(
      left([](Stream<Row> rows, auto key) { return rows.Throttle("work", {.rows = 5}, key); },
           Holding("work", {}, Keyed(kRocksKeyedFormat, {bucket}))),
      was);
}

TEST(CheckpointFitTest, AKeyThatIsNotKnownOrKeepsNothingFits) {
  const BuiltJob by_text = CountingBy(kByText);
  EXPECT_TRUE(Fit(Counts(), by_text).Check(7, false).ok()) << "an earlier version has written it";
  EXPECT_TRUE(Fit(LeftBy(by_text, Counts()), Counting()).has(Verdict::kRefused));
  EXPECT_TRUE(Fit(LeftBy(by_text, Holding("work", {})), Counting()).Check(7, false).ok());
}

TEST(CheckpointFitTest, AStateThatNobodyRegistersIsKept) {
  const StateSchema other{"other", Codec<int64_t>::Describe()};
  const StateSchema key{"other[key]", Codec<std::string>::Describe()};
  const CheckpointFit fit =
      Fit(Holding("work", {}, Keyed(kRocksKeyedFormat, {other, key})), Counting());
  EXPECT_THAT(Told(fit), ElementsAre("work/other: kept unread"));
  EXPECT_TRUE(fit.Check(7, false).ok());
}

TEST(CheckpointFitTest, EverySchemaThatEntriesWereWrittenWithCounts) {
  const StateSchema old{"count", Codec<std::string>::Describe()};
  const StateSchema now{"count", Codec<int64_t>::Describe()};
  const CheckpointFit fit =
      Fit(Holding("work", {}, Keyed(kRocksKeyedFormat, {now, old})), Counting());
  EXPECT_THAT(Told(fit), ElementsAre("work/count: does not fit"));
  EXPECT_THAT(fit.Check(7, true).message(),
              HasSubstr("stage 'work', state 'count': count: was string, is int"));
}

TEST(CheckpointFitTest, AMapIsNoValue) {
  const StateSchema value{"count", Codec<int64_t>::Describe()};
  const StateSchema key{"count[key]", Codec<std::string>::Describe()};
  const CheckpointFit fit =
      Fit(Holding("work", {}, Keyed(kRocksKeyedFormat, {value, key})), Counting());
  EXPECT_THAT(fit.Check(7, false).message(), HasSubstr("was a map, is a value"));
}

TEST(CheckpointFitTest, StateOfAnotherBackendDoesNotFit) {
  const StateSchema count{"count", Codec<int64_t>::Describe()};
  const CheckpointFit fit = Fit(Holding("work", {}, Keyed(kHeapKeyedFormat, {count})), Counting());
  EXPECT_THAT(Told(fit), ElementsAre("work/: does not fit"));
}

TEST(CheckpointFitTest, AStageThatHasBecomeAnotherWouldLoseItsState) {
  const StateSchema count{"count", Codec<int64_t>::Describe()};
  const StateSchema rows{"open batch", Codec<Row>::Describe()};
  for (const auto& [manifest, told] :
       {std::pair(Holding("work", {}, Keyed(kRocksKeyedFormat, {count})), "work/count: dropped"),
        std::pair(Holding("work", Keyed("rebatch/1", {rows})), "work/: dropped")}) {
    const CheckpointFit fit = Fit(manifest, Mapping());
    EXPECT_THAT(Told(fit), ElementsAre(told));
    EXPECT_TRUE(absl::IsOutOfRange(fit.Check(7, false)));
    EXPECT_TRUE(fit.Check(7, true).ok());
  }
}

TEST(CheckpointFitTest, AFormatThatIsNotReadDoesNotFitAndCannotBeDropped) {
  const StateSchema rows{"open batch", Codec<Row>::Describe()};
  const CheckpointFit fit = Fit(Holding("work", Keyed("rebatch/99", {rows})), Rebatching());
  EXPECT_THAT(Told(fit), ElementsAre("work/: does not fit"));
  EXPECT_THAT(fit.Check(7, true).message(), HasSubstr("'rebatch/99'"));
}

TEST(CheckpointFitTest, AStageThatIsGoneTakesItsStateAndItsOutputAlong) {
  StateSnapshot handles;
  handles.handles = {"one", "two"};
  const CheckpointFit sink = Fit(Holding("old-files", handles), Counting());
  EXPECT_THAT(Told(sink), ElementsAre("old-files/output: dropped"));
  EXPECT_THAT(sink.Dropped(), ElementsAre(HasSubstr("2 pieces")));
  EXPECT_TRUE(absl::IsOutOfRange(sink.Check(7, false)));

  StateSnapshot open;
  open.open_handles = {"three"};
  const CheckpointFit writing = Fit(Holding("old-files", open), Counting());
  EXPECT_THAT(writing.Dropped(), ElementsAre(HasSubstr("0 pieces and 1 that were open")));

  EXPECT_THAT(Told(Fit(Holding("old", Keyed("rebatch/1", {})), Counting())),
              ElementsAre("old/: dropped"));
  EXPECT_THAT(Told(Fit(Holding("idle", {}), Counting())), IsEmpty());
  // A sink that has become something else.
  EXPECT_THAT(Told(Fit(Holding("work", handles), Counting())), ElementsAre("work/output: dropped"));
}

TEST(CheckpointFitTest, WhatStartsEmptyIsTold) {
  Manifest manifest;
  const CheckpointFit fit = Fit(manifest, Counting());
  EXPECT_THAT(Told(fit), IsEmpty());
  EXPECT_EQ(fit.findings.size(), 2) << "the source's splits and the count";
  EXPECT_TRUE(fit.Check(7, false).ok());
}

TEST(CheckpointFitTest, AFunctionThatCannotSayWhatItKeepsIsNamed) {
  const BuiltJob job = JobOf([](Stream<Row> rows) {
    return rows.KeyBy([](const Row& row) { return row.id; }).Process<Row>("work", Throws());
  });
  EXPECT_EQ(
      FitCheckpoint({}, job).status(),
      absl::FailedPreconditionError("stage 'work' cannot say what state it keeps: no state today"));
}

}  // namespace
}  // namespace weir
