// The comparator: what it finds is the same however records arrive, whenever it is killed, and
// whatever the engine does between two calls.
#include "shadow/comparator.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "jobs/stream.h"
#include "testing/conformance.h"
#include "tests/shadow/comparing.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

using ComparatorTest = ::testing::TestWithParam<size_t>;
// All that waits is state, some of it, or nothing but in front of a barrier.
INSTANTIATE_TEST_SUITE_P(BufferBytes, ComparatorTest,
                         ::testing::Values(0, 1'000, limits::kBufferBytesMax));

TEST_P(ComparatorTest, FindsEachKind) {
  Comparing comparing(kRules, kPatience, GetParam());
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

TEST_P(ComparatorTest, PutsOutNothingOfWhatItHasFoundNothingNewOf) {
  Comparing comparing(kRules, kPatience, GetParam());
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

TEST_P(ComparatorTest, FindsTheSameInAnyOrderOfArrival) {
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
    Comparing comparing(kRules, kPatience, GetParam());
    for (int v : turns) comparing.Do(of[static_cast<size_t>(v)][next[static_cast<size_t>(v)]++]);
    const auto found = comparing.End();
    if (!first) first = found;
    EXPECT_EQ(found, *first) << "seed " << seed;
  }
}

TEST_P(ComparatorTest, FindsTheSameWhereverItIsKilled) {
  const std::vector<Step> steps = EachKind();
  Comparing undisturbed(kRules, kPatience, GetParam());
  undisturbed.Do(steps);
  const auto expected = undisturbed.End();
  for (size_t barrier = 0; barrier <= steps.size(); ++barrier) {
    for (size_t lost : {0, 1, 5}) {
      Comparing comparing(kRules, kPatience, GetParam());
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

TEST_P(ComparatorTest, WaitsAsLongAsItsPatience) {
  for (const bool in_time : {true, false}) {
    Comparing comparing(kRules, kPatience, GetParam());
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

// The others wait as state, and are due before it is.
TEST_P(ComparatorTest, WhatCameLaterMeetsWhatIsDue) {
  for (const bool keyed : {true, false}) {
    for (const Timestamp time : {Seconds(100), Seconds(105), Seconds(109)}) {
      const char* output = keyed ? "equal" : "whole";
      Comparing comparing(kRules, kPatience, GetParam());
      comparing.Do(Watermark(Seconds(99)));
      comparing.Do(Versions(output, Seconds(100), R"({"id":1})", R"({"id":1})", ""));
      comparing.Barrier();
      comparing.Do({2, output, R"({"id":1})", time});
      comparing.Do({0, output, R"({"id":2})", Seconds(109)});
      comparing.Do(Watermark(Seconds(100) + kPatience));
      comparing.Do({1, output, R"({"id":2})", Seconds(109)});
      comparing.Do({2, output, R"({"id":2})", Seconds(109)});
      const auto found = comparing.End().at(output);
      EXPECT_EQ(found.candidate.matched, 2) << output << time;
      EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0) << output << time;
    }
  }
}

// Each is off in the candidate, and told as a difference of two records that have met.
TEST_P(ComparatorTest, AWrongEventTimeIsNoMissingRecord) {
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
      Comparing comparing(kRules, kPatienceDefault, GetParam());
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

TEST_P(ComparatorTest, ATextWithoutKeyThatComesTooLateStillCancelsOut) {
  Comparing comparing(kRules, kPatience, GetParam());
  comparing.Do(Versions("whole", Seconds(100), R"({"v":1})", R"({"v":1})", ""));
  comparing.Do(Watermark(Seconds(200)));
  comparing.Barrier();
  comparing.Do({2, "whole", R"({"v":1})", Seconds(100)});
  const auto found = comparing.End().at("whole");
  EXPECT_EQ(found.candidate.matched, 1);
  EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0);
}

// Keys whose order counts are state at once, and fill what is known of it while another key waits
// in memory.
TEST(ComparatorBufferTest, WhatWaitsGoesToTheStateWhenAllDoes) {
  Comparing comparing(kRules, kPatience, 1 << 20, /*keys_in_state=*/1);
  comparing.Do(Watermark(Seconds(99)));
  comparing.Do({0, "equal", R"({"id":1})", Seconds(107)});
  for (int id = 2; id < 5; ++id) {
    comparing.Do({0, "in-order", fmt::format(R"({{"id":{}}})", id), Seconds(100)});
  }
  // These are due first.
  comparing.Do({1, "equal", R"({"id":1})", Seconds(100)});
  comparing.Do({2, "equal", R"({"id":1})", Seconds(100)});
  comparing.Do(Watermark(Seconds(100) + kPatience));
  const auto found = comparing.End().at("equal");
  EXPECT_EQ(found.candidate.matched, 1);
  EXPECT_EQ(found.candidate.missing + found.candidate.extra, 0);
  EXPECT_EQ(found.again.missing + found.again.extra, 0);
}

// Where in the input it was found: a key's first record says so, and whether it has met by then is
// chance.
void ForgetBlocks(OutputStatistics& output) {
  output.input = {};
  for (PairedEvidence* each :
       {&output.records, &output.missing, &output.extra, &output.reordered}) {
    *each = {.counts = each->counts};
  }
  for (auto& [path, field] : output.fields) {
    for (PairedEvidence* each : {&field.differs, &field.shape, &field.order}) {
      *each = {.counts = each->counts};
    }
  }
}

// Versions that are apart, in records, times and order, with watermarks and barriers in between:
// what waits in memory is found as if it were state.
TEST(ComparatorBufferTest, FindsWhatIsFoundWithoutIt) {
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<Step> steps;
    std::array<int, kVersions> next{};
    Timestamp watermark = kMinTimestamp;
    const int records = 5 + static_cast<int>(random() % 60);
    const uint64_t keys = 1 + random() % 20;
    const auto least = [&] { return *std::ranges::min_element(next); };
    while (least() < records) {
      const int version = static_cast<int>(random() % kVersions);
      const int n = next[version];
      if (n < records && n < least() + 12) {
        ++next[version];
        const bool changed = version == 2 && n % 7 == 3;
        const bool dropped = version == 2 && n % 11 == 5;
        const std::string line = fmt::format(R"({{"id":{},"v":{}}})", n * 7 % keys,
                                             changed ? 100 + n : static_cast<int>(n % 3));
        const char* output = n % 5 == 0 ? "whole" : n % 5 == 1 ? "in-order" : "equal";
        if (!dropped) steps.push_back({version, output, line, Seconds(n)});
      }
      if (random() % 4 == 0 && least() > 0) {
        watermark = std::max(watermark, Seconds(least() - 1));
        steps.push_back(Watermark(watermark));
      }
    }
    std::optional<std::map<std::string, OutputStatistics>> expected;
    for (const auto& [buffer_bytes, keys_in_state] : std::vector<std::pair<size_t, size_t>>{
             {0, 100}, {2'000, 100}, {1 << 20, 100}, {1 << 20, 3}, {1 << 20, 0}}) {
      std::mt19937_64 barriers(seed);
      Comparing comparing(kRules, kPatience, buffer_bytes, keys_in_state);
      for (const Step& step : steps) {
        comparing.Do(step);
        if (barriers() % 10 == 0) comparing.Barrier();
        if (barriers() % 30 == 0) {
          comparing.Barrier();
          comparing.Crash();
        }
      }
      auto found = comparing.End();
      for (auto& [name, output] : found) ForgetBlocks(output);
      if (!expected) expected = found;
      ASSERT_EQ(found, *expected) << "seed " << seed << ", buffer of " << buffer_bytes << ", keys "
                                  << keys_in_state;
    }
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
    told_ = false;
    return Go(inner_->OnWatermark(watermark, out), out);
  }
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override {
    told_ = false;
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
      if (!std::exchange(told_, true)) {
        progress = inner_->Drain(DrainReason::kBarrier, out);
        continue;
      }
      if (waiting_.empty()) return Progress::kDone;
      BatchPtr next = std::move(waiting_.back());
      waiting_.pop_back();
      told_ = false;
      progress = inner_->Process(0, std::move(next), out);
    }
  }

  const std::unique_ptr<Operator> inner_;
  std::vector<BatchPtr> waiting_;  // the next one last
  bool told_ = true;               // what it has found since the last call
};

TEST(ComparatorStageTest, Conforms) {
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
