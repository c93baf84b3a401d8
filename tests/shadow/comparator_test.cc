// The comparator: what it finds is the same however records arrive, whenever it is killed, and
// whatever the engine does between two calls.
#include "shadow/comparator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/hash.h"
#include "jobs/stream.h"
#include "shadow/record.h"
#include "testing/conformance.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "tests/shadow/test_shadow.h"
#include "tests/support/failing_store.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::MemorySnapshots;
using testing::OperatorBed;
using testing::RecordingOutput;
using ::testing::SizeIs;

constexpr Duration kPatience = Seconds(10);
constexpr const char* kRules = R"(
all: {key: [id], minimum: 1}
outputs:
  whole: {key: [none]}
  in-order: {key: [id], ordered: true}
)";

// What happens to a comparator, one after the other.
struct Step {
  int version = -1;  // -1: a watermark
  std::string output, line;
  Timestamp time = 0;
};

// A TappedRecord, with the bytes that it points to.
struct Tapped {
  Tapped(const ShadowRules& rules, const Step& step) {
    RecordReader reader(rules.For(step.output));
    const Record& record = reader.ReadUnpadded(step.line);
    output = step.output;
    key = record.key;
    text = record.text;
    const Fingerprint hash =
        Hash128(output + (key.empty() ? '\1' : '\0') + (key.empty() ? text : key));
    meeting.assign(reinterpret_cast<const char*>(&hash), sizeof(hash));
    version = static_cast<uint8_t>(step.version);
  }
  TappedRecord row() const { return {version, output, meeting, key, text}; }

  uint8_t version;
  std::string output, key, text, meeting;
};

// One comparator with its state; what it says counts from the next barrier on.
class Comparing {
 public:
  explicit Comparing(std::string_view yaml = kRules, Duration patience = kPatience)
      : rules_(RulesOf(yaml)), patience_(patience) {
    Open({});
  }

  void Do(const Step& step) {
    if (step.version < 0) return Check(op_->OnWatermark(step.time, out_));
    auto batch = std::make_unique<Batch<TappedRecord>>();
    const Tapped tapped(*rules_, step);
    SlabArena arena;
    TappedRecord row = tapped.row();
    for (std::string_view* view : {&row.output, &row.meeting, &row.key, &row.text}) {
      *view = arena.Copy(*view);
    }
    arena.Release(batch->slabs());
    batch->Add(row, step.time);
    Check(op_->Process(0, std::move(batch), out_));
  }
  void Do(const std::vector<Step>& steps) {
    for (const Step& step : steps) Do(step);
  }
  void Barrier() {
    Check(op_->Drain(DrainReason::kBarrier, out_));
    Commit();
    auto snapshot = store_->Freeze(++checkpoint_)->Write(snapshots_);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    snapshot_ = *std::move(snapshot);
  }
  // Back to the last barrier.
  void Crash() {
    out_.Clear();
    Open(snapshot_ ? testing::RestoreFor(0, 1, {*snapshot_}, snapshots_) : Restore{});
  }
  // What has come out and counts with the next barrier.
  std::vector<PartialResult> Drained() {
    Check(op_->Drain(DrainReason::kBarrier, out_));
    return out_.Rows<PartialResult>();
  }
  std::map<std::string, OutputStatistics> End() {
    Check(op_->OnWatermark(kMaxTimestamp, out_));
    Check(op_->Drain(DrainReason::kEndOfInput, out_));
    Commit();
    result_.Finish(*rules_);
    return result_.outputs();
  }

 private:
  void Open(const Restore& restore) {
    op_.reset();
    auto store = MakeHeapKeyedStore({"stage", KeyGroupsOf(0, 1)}, restore);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    op_ = MakeComparator({rules_, patience_});
    bed_.context.keyed = store_.get();
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  void Check(StatusOr<Progress> progress) {
    while (progress.ok() && *progress == Progress::kMoreOutput) progress = op_->Resume(out_);
    ASSERT_TRUE(progress.ok()) << progress.status();
    ASSERT_EQ(*progress, Progress::kDone);
    ASSERT_THAT(out_.rejected, IsEmpty());
  }
  void Commit() {
    for (const PartialResult& part : out_.Rows<PartialResult>()) {
      const PartialResult read = Travelled(part);
      if (read.statistics) result_.Add(*read.statistics);
      if (read.leftover) result_.Add(*read.leftover);
    }
    out_.Clear();
  }

  const std::shared_ptr<const ShadowRules> rules_;
  const Duration patience_;
  OperatorBed bed_;
  MemorySnapshots snapshots_;
  std::optional<StateSnapshot> snapshot_;
  CheckpointId checkpoint_ = 0;
  std::unique_ptr<KeyedStore> store_;
  std::unique_ptr<Operator> op_;
  RecordingOutput out_;
  ShadowResult result_;
};

// A record of each version; an empty line is none.
std::vector<Step> Versions(std::string output, Timestamp time, std::string a, std::string b,
                           std::string c) {
  std::vector<Step> steps;
  int version = 0;
  for (std::string* line : {&a, &b, &c}) {
    if (!line->empty()) steps.push_back({version, output, std::move(*line), time});
    ++version;
  }
  return steps;
}
std::vector<Step> Versions(std::string output, Timestamp time, const std::string& all) {
  return Versions(std::move(output), time, all, all, all);
}

Step Watermark(Timestamp time) { return {-1, "", "", time}; }

// Each kind of finding once, and watermarks in between.
std::vector<Step> EachKind() {
  std::vector<Step> steps;
  const auto add = [&](const std::vector<Step>& more) {
    steps.insert(steps.end(), more.begin(), more.end());
  };
  add(Versions("equal", Seconds(1), R"({"id":1,"v":1})"));
  add(Versions("value", Seconds(1), R"({"id":1,"v":1})", R"({"id":1,"v":1})", R"({"id":1,"v":2})"));
  add(Versions("noise", Seconds(2), R"({"id":1,"v":1})", R"({"id":1,"v":3})", R"({"id":1,"v":2})"));
  add(Versions("missing", Seconds(2), R"({"id":1})", R"({"id":1})", ""));
  steps.push_back(Watermark(Seconds(3)));
  add(Versions("extra", Seconds(3), R"({"id":1})"));
  add(Versions("extra", Seconds(3), "", "", R"({"id":1})"));
  add(Versions("whole", Seconds(4), R"({"v":"same"})"));
  add(Versions("whole", Seconds(4), R"({"v":1,"w":"x"})", R"({"v":1,"w":"x"})",
               R"({"v":2,"w":"x"})"));
  add(Versions("in-order", Seconds(5), R"({"id":1,"v":1})", R"({"id":1,"v":1})",
               R"({"id":1,"v":2})"));
  steps.push_back(Watermark(Seconds(12)));
  add(Versions("in-order", Seconds(12), R"({"id":1,"v":2})", R"({"id":1,"v":2})",
               R"({"id":1,"v":1})"));
  add(Versions("without-key", Seconds(13), R"({"v":1})"));
  return steps;
}

TEST(ComparatorTest, FindsEachKind) {
  Comparing comparing;
  comparing.Do(EachKind());
  const auto found = comparing.End();
  EXPECT_THAT(found, SizeIs(8));
  for (const auto& [name, output] : found) {
    EXPECT_EQ(output.unpaired, 0) << name;
    EXPECT_EQ(output.baseline_records, output.again_records) << name;
  }
  const auto counts = [&](const std::string& name) {
    const Comparison& c = found.at(name).candidate;
    return std::vector<uint64_t>{c.matched, c.mismatched, c.missing, c.extra, c.reordered};
  };
  EXPECT_THAT(counts("equal"), ElementsAre(1, 0, 0, 0, 0));
  EXPECT_THAT(counts("value"), ElementsAre(0, 1, 0, 0, 0));
  EXPECT_THAT(counts("noise"), ElementsAre(0, 1, 0, 0, 0));
  EXPECT_THAT(counts("missing"), ElementsAre(0, 0, 1, 0, 0));
  EXPECT_THAT(counts("extra"), ElementsAre(1, 0, 0, 1, 0));
  EXPECT_THAT(counts("whole"), ElementsAre(1, 1, 0, 0, 0));
  EXPECT_THAT(counts("in-order"), ElementsAre(2, 0, 0, 0, 1));
  EXPECT_THAT(counts("without-key"), ElementsAre(1, 0, 0, 0, 0));
  EXPECT_EQ(found.at("without-key").without_key, 1);
  EXPECT_EQ(found.at("value").fields.at("v").differs.counts.only_candidate, 1);
  EXPECT_EQ(found.at("noise").fields.at("v").differs.counts.both, 1);
  EXPECT_EQ(found.at("noise").again.mismatched, 1);
  EXPECT_EQ(found.at("whole").fields.at("v").differs.counts.only_candidate, 1);
}

TEST(ComparatorTest, PutsOutNothingOfWhatItHasFoundNothingNewOf) {
  Comparing comparing;
  comparing.Do(Versions("equal", Seconds(1), R"({"id":1})"));
  EXPECT_THAT(comparing.Drained(), SizeIs(1));
  comparing.Barrier();
  // Records that wait, and a watermark that none of them is due at.
  comparing.Do(Versions("equal", Seconds(2), R"({"id":2})", R"({"id":2})", ""));
  comparing.Do(Versions("value", Seconds(2), R"({"id":1,"v":1})", R"({"id":1,"v":2})", ""));
  comparing.Do(Watermark(Seconds(3)));
  EXPECT_THAT(comparing.Drained(), IsEmpty());
  comparing.Do(Versions("equal", Seconds(4), "", "", R"({"id":2})"));
  EXPECT_THAT(comparing.Drained(), SizeIs(1));
}

TEST(ComparatorTest, FindsTheSameInAnyOrderOfArrival) {
  // Those of a version stay in their order, as in a job.
  std::array<std::vector<Step>, kVersions> of;
  for (const Step& step : EachKind()) {
    if (step.version >= 0)
      of[static_cast<size_t>(step.version)].push_back({step.version, step.output, step.line, 7});
  }
  std::optional<std::map<std::string, OutputStatistics>> first;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<int> turns;
    for (int v = 0; v < kVersions; ++v)
      turns.insert(turns.end(), of[static_cast<size_t>(v)].size(), v);
    std::shuffle(turns.begin(), turns.end(), random);
    std::array<size_t, kVersions> next{};
    Comparing comparing;
    for (int v : turns) comparing.Do(of[static_cast<size_t>(v)][next[static_cast<size_t>(v)]++]);
    const auto found = comparing.End();
    if (!first) first = found;
    EXPECT_EQ(found, *first) << "seed " << seed;
  }
}

TEST(ComparatorTest, FindsTheSameWhereverItIsKilled) {
  const std::vector<Step> steps = EachKind();
  Comparing undisturbed;
  undisturbed.Do(steps);
  const auto expected = undisturbed.End();
  for (size_t barrier = 0; barrier <= steps.size(); ++barrier) {
    for (size_t lost : {0, 1, 5}) {
      Comparing comparing;
      for (size_t i = 0; i < barrier; ++i) comparing.Do(steps[i]);
      comparing.Barrier();
      for (size_t i = barrier; i < std::min(barrier + lost, steps.size()); ++i) {
        comparing.Do(steps[i]);
      }
      comparing.Crash();
      for (size_t i = barrier; i < steps.size(); ++i) comparing.Do(steps[i]);
      EXPECT_EQ(comparing.End(), expected) << "barrier " << barrier << ", lost " << lost;
    }
  }
}

TEST(ComparatorTest, WaitsAsLongAsItsPatience) {
  for (const bool in_time : {true, false}) {
    Comparing comparing;
    comparing.Do(Watermark(Seconds(99)));
    comparing.Do(Versions("equal", Seconds(100), R"({"id":1})", R"({"id":1})", ""));
    comparing.Do(Watermark(Seconds(100) + kPatience - (in_time ? 1 : 0)));
    comparing.Do({2, "equal", R"({"id":1})", Seconds(100)});
    const auto found = comparing.End().at("equal");
    EXPECT_EQ(found.candidate.matched, in_time ? 1 : 0);
    EXPECT_EQ(found.candidate.missing, in_time ? 0 : 1);
    EXPECT_EQ(found.candidate.extra, in_time ? 0 : 1);
  }
}

// Each is off in the candidate, and told as a difference of two records that have met.
TEST(ComparatorTest, AWrongEventTimeIsNoMissingRecord) {
  const Timestamp noon = Hours(24 * 365);
  struct Case {
    const char* what;
    Duration off;
    bool watermark_before;
  };
  for (const Case& each : {Case{"two days back before the first watermark", -Hours(48), false},
                           Case{"half a day back before the first watermark", -Hours(12), false},
                           Case{"a day and a time zone ahead", Hours(24 + 14), true},
                           Case{"the same before the first watermark", Hours(24 + 14), false}}) {
    // Whichever comes first says when the key is looked at first.
    for (const bool candidate_first : {false, true}) {
      Comparing comparing(kRules, kPatienceDefault);
      if (each.watermark_before) comparing.Do(Watermark(noon - Minutes(5)));
      std::vector<Step> steps =
          Versions("value", noon, R"({"id":1,"v":1})", R"({"id":1,"v":1})", R"({"id":1,"v":2})");
      steps.back().time += each.off;
      if (candidate_first) std::swap(steps.front(), steps.back());
      comparing.Do(steps);
      for (Timestamp time = noon + Minutes(5); time < noon + Hours(24 * 7); time += Hours(1)) {
        comparing.Do(Watermark(time));
      }
      const auto found = comparing.End().at("value");
      EXPECT_EQ(found.candidate.mismatched, 1) << each.what << ", " << candidate_first;
      EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0) << each.what;
      EXPECT_EQ(found.again.matched, 1) << each.what;
    }
  }
}

TEST(ComparatorTest, ATextWithoutKeyThatComesTooLateStillCancelsOut) {
  Comparing comparing;
  comparing.Do(Versions("whole", Seconds(100), R"({"v":1})", R"({"v":1})", ""));
  comparing.Do(Watermark(Seconds(200)));
  comparing.Barrier();
  comparing.Do({2, "whole", R"({"v":1})", Seconds(100)});
  const auto found = comparing.End().at("whole");
  EXPECT_EQ(found.candidate.matched, 1);
  EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0);
}

// The versions are never at the same record, so something of the key always waits.
TEST(ComparatorTest, AKeyThatComesAgainAndAgainHasNoFalseDifferences) {
  for (const char* output : {"equal", "in-order"}) {
    Comparing comparing;
    constexpr int kRecords = 200;
    constexpr int kAhead = 3;
    const auto add = [&](int version, int n) {
      // A single one differs: noise, for which the records around it must not be blamed.
      const int value = n == 50 ? n + 1000 * version : n;
      comparing.Do({version, output, fmt::format(R"({{"id":1,"v":{}}})", value), Seconds(n)});
    };
    for (int n = 0; n < kRecords + kAhead; ++n) {
      if (n < kRecords) add(0, n);
      if (n < kAhead) continue;
      add(2, n - kAhead);
      add(1, n - kAhead);
      comparing.Do(Watermark(Seconds(n - kAhead)));
      if (n % 20 == 0) {
        comparing.Barrier();
        comparing.Crash();
      }
    }
    const auto found = comparing.End().at(output);
    EXPECT_EQ(found.candidate.matched, kRecords - 1) << output;
    EXPECT_EQ(found.candidate.mismatched, 1) << output;
    EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0) << output;
    EXPECT_EQ(found.again.missing + found.again.extra, 0) << output;
    EXPECT_EQ(found.unpaired, 0) << output;
  }
}

// The candidate's records of a key that has more than are kept, against the baselines'.
enum class InCandidate { kEqual, kChanged, kDropped, kDoubled };

OutputStatistics OfAKeyWithTooMany(const char* output, InCandidate what, bool other_order) {
  const size_t records = limits::kKeyRecordsMax + 1;
  Comparing comparing;
  const auto line = [](size_t n) { return fmt::format(R"({{"id":1,"v":{}}})", n); };
  for (size_t i = 0; i < records; ++i) {
    comparing.Do({0, output, line(i), Seconds(1)});
    if (i == records - 5) {
      comparing.Barrier();
      comparing.Crash();
    }
  }
  for (size_t i = 0; i < records; ++i) {
    const size_t n = other_order ? (i * 2 + 300) % records : i;
    comparing.Do({1, output, line(n), Seconds(1)});
    const bool chosen = n == 500;
    if (chosen && what == InCandidate::kDropped) continue;
    const size_t value = chosen && what == InCandidate::kChanged ? 0 : n;
    comparing.Do({2, output, line(value), Seconds(1)});
    if (chosen && what == InCandidate::kDoubled) comparing.Do({2, output, line(n), Seconds(1)});
  }
  return comparing.End().at(output);
}

TEST(ComparatorTest, AKeyWithTooManyRecordsIsStillKnownToBeTheSame) {
  // In another order in each version, as when they come from several subtasks: the first thousand
  // of one version are not those of another.
  for (const bool other_order : {false, true}) {
    const auto found = OfAKeyWithTooMany("equal", InCandidate::kEqual, other_order);
    EXPECT_EQ(found.candidate.matched, limits::kKeyRecordsMax + 1);
    EXPECT_EQ(found.again.matched, limits::kKeyRecordsMax + 1);
    EXPECT_EQ(found.baseline_records, limits::kKeyRecordsMax + 1);
    EXPECT_EQ(found.unpaired + found.keys_changed, 0);
    EXPECT_THAT(found.samples, IsEmpty());
  }
}

TEST(ComparatorTest, WhatChangesInAKeyWithTooManyRecordsIsNoPass) {
  const size_t records = limits::kKeyRecordsMax + 1;
  for (const bool other_order : {false, true}) {
    auto found = OfAKeyWithTooMany("equal", InCandidate::kChanged, other_order);
    EXPECT_EQ(found.unpaired, records);
    EXPECT_EQ(found.keys_changed, 1);
    EXPECT_EQ(found.again.matched, records);
    EXPECT_THAT(found.samples, SizeIs(1));
    found = OfAKeyWithTooMany("equal", InCandidate::kDropped, other_order);
    EXPECT_EQ(found.candidate.missing, 1);
    EXPECT_EQ(found.missing.counts.only_candidate, 1);
    EXPECT_EQ(found.unpaired, records - 1);
    found = OfAKeyWithTooMany("equal", InCandidate::kDoubled, other_order);
    EXPECT_EQ(found.candidate.extra, 1);
    EXPECT_EQ(found.extra.counts.only_candidate, 1);
  }
  // Where the order counts.
  EXPECT_EQ(OfAKeyWithTooMany("in-order", InCandidate::kEqual, false).keys_changed, 0);
  const auto reordered = OfAKeyWithTooMany("in-order", InCandidate::kEqual, true);
  EXPECT_EQ(reordered.again.matched, 0);
  EXPECT_EQ(reordered.unpaired, records);
}

// Versions that are far apart all the time, in a key that all records have.
TEST(ComparatorTest, AKeyOfAllRecordsHasNoFalseDifferences) {
  for (const char* output : {"equal", "in-order"}) {
    Comparing comparing;
    const int ahead = static_cast<int>(limits::kKeyRecordsMax) + 10;
    const int all = 3 * ahead;
    const auto add = [&](int version, int n) {
      comparing.Do({version, output, fmt::format(R"({{"id":1,"v":{}}})", n), Seconds(n)});
    };
    for (int n = 0; n < all + ahead; ++n) {
      if (n < all) add(0, n);
      if (n < ahead) continue;
      add(1, n - ahead);
      add(2, n - ahead);
      if (n % 100 == 0) comparing.Do(Watermark(Seconds(n - ahead)));
    }
    const auto found = comparing.End().at(output);
    EXPECT_EQ(found.candidate.matched, all) << output;
    EXPECT_EQ(found.again.matched, all) << output;
    EXPECT_EQ(found.unpaired + found.candidate.missing + found.candidate.extra, 0) << output;
  }
}

TEST(ComparatorTest, TextsOfAKeyThatAreTooLongAreStillKnownToBeTheSame) {
  for (const bool changed : {false, true}) {
    Comparing comparing;
    const std::string text(200 << 10, 'x');
    constexpr uint64_t kRecords = 6;
    for (int version = 0; version < kVersions; ++version) {
      for (uint64_t i = 0; i < kRecords; ++i) {
        const uint64_t n = changed && version == 2 ? i + 1 : i;
        const std::string line = fmt::format(R"({{"id":1,"n":{},"v":"{}"}})", n, text);
        comparing.Do({version, "equal", line, Seconds(1)});
      }
    }
    const auto found = comparing.End().at("equal");
    EXPECT_EQ(found.candidate.matched, changed ? 0 : kRecords);
    EXPECT_EQ(found.unpaired, changed ? kRecords : 0);
    EXPECT_EQ(found.keys_changed, changed ? 1 : 0);
  }
}

// Gives the comparator one row at a time, and lets it tell after each what it has found, so that
// what comes out does not depend on where a batch or a stretch between two barriers ends.
class OneByOne final : public Operator {
 public:
  explicit OneByOne(std::unique_ptr<Operator> inner) : inner_(std::move(inner)) {}

  StatusOr<StateDescription> DescribeState() override { return inner_->DescribeState(); }
  Status Open(OperatorContext& context) override { return inner_->Open(context); }
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    const auto& rows = Batch<TappedRecord>::Of(std::as_const(*batch));
    for (size_t i = rows.rows(); i-- > 0;) {
      auto one = std::make_unique<Batch<TappedRecord>>();
      one->slabs().Unite(rows.slabs());
      one->Add(rows[i], rows.times()[i]);
      waiting_.push_back(std::move(one));
    }
    return Go(Progress::kDone, out);
  }
  StatusOr<Progress> Resume(Output& out) override { return Go(inner_->Resume(out), out); }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override {
    return Go(inner_->OnWatermark(watermark, out), out);
  }
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override {
    return Go(inner_->OnTimer(kind, time, out), out);
  }
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override {
    return inner_->Drain(reason, out);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return inner_->Freeze(checkpoint);
  }

 private:
  StatusOr<Progress> Go(StatusOr<Progress> progress, Output& out) {
    for (;;) {
      if (!progress.ok() || *progress != Progress::kDone) return progress;
      WEIR_RETURN_IF_ERROR(inner_->Drain(DrainReason::kBarrier, out).status());
      if (waiting_.empty()) return Progress::kDone;
      BatchPtr next = std::move(waiting_.back());
      waiting_.pop_back();
      progress = inner_->Process(0, std::move(next), out);
    }
  }

  const std::unique_ptr<Operator> inner_;
  std::vector<BatchPtr> waiting_;  // the next one last
};

TEST(ComparatorTest, Conforms) {
  const std::shared_ptr<const ShadowRules> rules = RulesOf(kRules);
  testing::StageCase stage;
  stage.name = "compare";
  stage.code.op = [rules] {
    return std::make_unique<OneByOne>(MakeComparator({rules, kPatience}));
  };
  const auto codec = MakeRowCodec<TappedRecord>();
  stage.input_edges[0] = {codec, internal::HashByStateKey<TappedRecord>(&MeetingOf)};
  stage.output_codecs[0] = MakeRowCodec<PartialResult>();
  stage.keyed_state = true;
  stage.late_output = true;  // sums have no time
  std::vector<Tapped> kept;
  kept.reserve(EachKind().size());
  std::vector<std::pair<TappedRecord, Timestamp>> rows;
  for (const Step& step : EachKind()) {
    if (step.version < 0) {
      stage.input.Rows<TappedRecord>(std::exchange(rows, {})).Watermark(step.time);
    } else {
      rows.emplace_back(kept.emplace_back(*rules, step).row(), step.time);
    }
  }
  stage.input.Rows<TappedRecord>(rows);
  // One of each output, two of "extra"; and of "whole" two texts more that are left over.
  constexpr size_t kFindings = 11;
  const testing::ConformanceReport report = testing::CheckConformance(stage);
  EXPECT_TRUE(report.ok()) << report.ToText();
  EXPECT_EQ(report.rows, kFindings) << report.ToText();
  EXPECT_GE(report.restores, 6) << report.ToText();
}

}  // namespace
}  // namespace weir::shadow
