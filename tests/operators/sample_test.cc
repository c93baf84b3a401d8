#include "operators/transforms/sample.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weir::testing::MemorySnapshots;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;
using weir::testing::RestoreFor;

struct Click {
  int64_t user = 0;
  int64_t number = 0;
  double weight = 1;
  BOOST_DESCRIBE_CLASS(Click, (), (user, number, weight), (), ())
};

int64_t UserOf(const Click& click) { return click.user; }
void Weigh(Click& click, double weight) {
  if (click.number < 0) throw std::runtime_error("a click has a number");
  click.weight *= weight;
}
using ByUser = Sample<Click, decltype(&UserOf), decltype(&Weigh)>;

BatchPtr Clicks(int64_t first, int64_t n, int64_t users) {
  auto batch = std::make_unique<Batch<Click>>();
  for (int64_t i = first; i < first + n; ++i) batch->Add({i % users, i}, i);
  return batch;
}

template <class Op>
std::vector<Click> Sampled(Op& op, BatchPtr batch, OperatorBed& bed) {
  RecordingOutput out;
  EXPECT_TRUE(op.Open(bed.context).ok());
  EXPECT_EQ(op.Process(0, std::move(batch), out).value(), Progress::kDone);
  return out.Rows<Click>();
}

std::vector<int64_t> Numbers(const std::vector<Click>& clicks) {
  std::vector<int64_t> numbers;
  for (const Click& click : clicks) numbers.push_back(click.number);
  return numbers;
}

TEST(SampleTest, AllRowsOfAKeyOrNoneAndTheShareOfTheKeys) {
  OperatorBed bed;
  ByUser sample({.share = 0.25}, &UserOf, &Weigh);
  std::map<int64_t, int> rows;
  for (const Click& click : Sampled(sample, Clicks(0, 20'000, 5'000), bed)) {
    ++rows[click.user];
    EXPECT_EQ(click.weight, 4);
  }
  for (const auto& [user, n] : rows) EXPECT_EQ(n, 4);
  // Six standard deviations around a quarter.
  EXPECT_NEAR(rows.size(), 1250, 6 * std::sqrt(5000 * 0.25 * 0.75));
  EXPECT_EQ(bed.counters.dropped, 20'000 - 4 * rows.size());
}

// The hash that deals keys out to instances must not decide, too: an instance would keep all of its
// keys or none.
TEST(SampleTest, EveryKeyGroupIsSampledAlike) {
  OperatorBed bed;
  ByUser sample({.share = 0.5}, &UserOf, &Weigh);
  std::map<int, int> by_instance;
  for (const Click& click : Sampled(sample, Clicks(0, 8'000, 8'000), bed)) {
    std::string key;
    ++by_instance[SubtaskOf(KeyGroupOf(Hash64(KeyBytes(click.user, key))), 8)];
  }
  ASSERT_EQ(by_instance.size(), 8u);
  for (const auto& [instance, n] : by_instance) EXPECT_NEAR(n, 500, 6 * std::sqrt(1000 * 0.25));
}

TEST(SampleTest, OneSeedOneSampleAndAStageOfAnotherNameItsOwn) {
  auto users = [](SampleOptions options, std::string stage) {
    OperatorBed bed;
    bed.context.stage = std::move(stage);
    ByUser sample(options, &UserOf, &Weigh);
    return Numbers(Sampled(sample, Clicks(0, 1000, 1000), bed));
  };
  EXPECT_EQ(users({.share = 0.5}, "a"), users({.share = 0.5}, "a"));
  EXPECT_NE(users({.share = 0.5}, "a"), users({.share = 0.5}, "b"));
  EXPECT_EQ(users({.share = 0.5, .seed = 7}, "a"), users({.share = 0.5, .seed = 7}, "b"));
  EXPECT_NE(users({.share = 0.5, .seed = 7}, "a"), users({.share = 0.5, .seed = 8}, "a"));
  // A smaller share of one seed is part of a larger one.
  const auto few = users({.share = 0.1, .seed = 7}, "a");
  const auto many = users({.share = 0.5, .seed = 7}, "a");
  EXPECT_TRUE(std::includes(many.begin(), many.end(), few.begin(), few.end()));
}

TEST(SampleTest, TwoStagesInARowMultiplyTheWeightAndEstimateTheCount) {
  OperatorBed first_bed, second_bed;
  first_bed.context.stage = "first";
  second_bed.context.stage = "second";
  auto weigh = [](Click& click, double weight) { click.weight *= weight; };
  Sample<Click, EachRow, decltype(weigh)> first({.share = 0.5}, {}, weigh);
  ByUser second({.share = 0.5}, &UserOf, &Weigh);
  auto half = std::make_unique<Batch<Click>>();
  for (const Click& click : Sampled(first, Clicks(0, 40'000, 40'000), first_bed))
    half->Add(click, 0);
  double estimate = 0;
  for (const Click& click : Sampled(second, std::move(half), second_bed)) estimate += click.weight;
  EXPECT_NEAR(estimate, 40'000, 6 * std::sqrt(40'000 * 3.0));
}

TEST(SampleTest, RowByRowChoosesAsBeforeAfterARestart) {
  MemorySnapshots store;
  RecordingOutput out;
  OperatorBed bed;
  Sample<Click> whole({.share = 0.3});
  ASSERT_TRUE(whole.Open(bed.context).ok());
  EXPECT_EQ(whole.Freeze(1), nullptr);
  ASSERT_TRUE(whole.Process(0, Clicks(0, 500, 1), out).ok());
  const StateSnapshot taken = whole.Freeze(1)->Write(store).value();
  out.Clear();
  ASSERT_TRUE(whole.Process(0, Clicks(500, 500, 1), out).ok());
  const auto undisturbed = Numbers(out.Rows<Click>());

  OperatorBed again_bed;
  again_bed.restore = RestoreFor(0, 1, {taken}, store);
  Sample<Click> again({.share = 0.3});
  EXPECT_EQ(Numbers(Sampled(again, Clicks(500, 500, 1), again_bed)), undisturbed);
  EXPECT_NEAR(undisturbed.size(), 150, 6 * std::sqrt(500 * 0.21));
}

TEST(SampleTest, EqualRowsAreChosenOneByOne) {
  OperatorBed bed;
  Sample<Click> sample({.share = 0.5});
  auto batch = std::make_unique<Batch<Click>>();
  for (int i = 0; i < 1000; ++i) batch->Add({1, 1}, 1);
  EXPECT_NEAR(Sampled(sample, std::move(batch), bed).size(), 500, 6 * std::sqrt(250));
}

TEST(SampleTest, AShareOfOneKeepsEverything) {
  OperatorBed bed;
  ByUser sample({.share = 1}, &UserOf, &Weigh);
  EXPECT_EQ(Sampled(sample, Clicks(0, 10'000, 10'000), bed).size(), 10'000u);
  EXPECT_EQ(bed.counters.dropped, 0u);
}

TEST(SampleTest, ARowThatFailsIsRejectedAndTimesAndHashesStayBesideTheirRows) {
  OperatorBed bed;
  RecordingOutput out;
  ByUser sample({.share = 1}, &UserOf, &Weigh);
  ASSERT_TRUE(sample.Open(bed.context).ok());
  auto batch = std::make_unique<Batch<Click>>();
  batch->Add({1, 1}, 10);
  batch->Add({2, -1}, 20);
  batch->Add({3, 3}, 30);
  batch->set_key_hashes({100, 200, 300});
  ASSERT_TRUE(sample.Process(0, std::move(batch), out).ok());
  ASSERT_TRUE(sample.Process(0, std::make_unique<Batch<Click>>(), out).ok());
  ASSERT_EQ(out.emitted.size(), 1u);
  EXPECT_THAT(out.emitted[0].batch->times(), ::testing::ElementsAre(10, 30));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), ::testing::ElementsAre(100, 300));
  ASSERT_EQ(out.rejected.size(), 1u);
  EXPECT_THAT(out.rejected[0].error, HasSubstr("a click has a number"));
  EXPECT_THAT(out.rejected[0].record, HasSubstr(R"("weight":1)")) << "as it came";
  EXPECT_EQ(bed.counters.dropped, 0u);
}

TEST(SampleTest, AShareThatIsNoneIsRefused) {
  for (double share : {0.0, -1.0, 1.5, std::nan("")}) {
    OperatorBed bed;
    Sample<Click> sample({.share = share});
    EXPECT_THAT(std::string(sample.Open(bed.context).message()), HasSubstr("share")) << share;
  }
}

}  // namespace
}  // namespace weir
