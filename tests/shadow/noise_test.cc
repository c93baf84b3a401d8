#include "shadow/noise.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

TEST(NoiseTest, TheSignTestIsExact) {
  EXPECT_DOUBLE_EQ(SignTest(0, 10), 1);
  EXPECT_NEAR(SignTest(10, 10), 1.0 / 1024, 1e-12);
  EXPECT_NEAR(SignTest(9, 10), 11.0 / 1024, 1e-12);
  EXPECT_NEAR(SignTest(1, 1), 0.5, 1e-12);
  EXPECT_GT(SignTest(500'000, 1'000'000), 0.5);
  EXPECT_LT(SignTest(505'000, 1'000'000), 1e-20);
}

TEST(NoiseTest, TheBlockTestTriesAllSignsOfAFewBlocks) {
  EXPECT_DOUBLE_EQ(BlockTest({}), 1);
  EXPECT_DOUBLE_EQ(BlockTest(std::vector<double>{-1}), 1);
  EXPECT_DOUBLE_EQ(BlockTest(std::vector<double>{5}), 0.5);
  EXPECT_DOUBLE_EQ(BlockTest(std::vector<double>{5, 5, 5}), 0.125);
  EXPECT_DOUBLE_EQ(BlockTest(std::vector<double>{3, 1, -1}), 0.375);
}

TEST(NoiseTest, TheBoundOfManyBlocksHolds) {
  // Heavy blocks are where a normal tail alone would be too small.
  std::mt19937_64 random(11);
  std::vector<double> sizes;
  for (int i = 0; i < 40; ++i) sizes.push_back(std::exp(static_cast<double>(random() % 100) / 25));
  int significant = 0;
  constexpr int kRuns = 20'000;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> signed_sizes = sizes;
    for (double& one : signed_sizes) {
      if (random() % 2 == 0) one = -one;
    }
    significant += BlockTest(signed_sizes) < 0.01;
  }
  EXPECT_LT(significant, kRuns / 100);
  EXPECT_GT(significant, 0);
}

TEST(NoiseTest, HolmMultipliesBySteps) {
  EXPECT_THAT(Holm(std::vector<double>{0.01, 0.04, 0.03}),
              ::testing::Pointwise(::testing::DoubleEq(), {0.03, 0.06, 0.06}));
  EXPECT_TRUE(Holm({}).empty());
}

// One synthetic run: records with fields of several kinds of noise. `changed` of the records of the
// candidate differ in `field`, whatever the noise does.
struct SyntheticRun {
  uint64_t records = 20'000;
  std::string field;
  double changed = 0;
};

OutputStatistics Simulate(const SyntheticRun& run, std::mt19937_64& random) {
  constexpr uint64_t kBlock = 100;  // records
  constexpr uint64_t kTick = 500;   // records that a clock's runs last
  std::uniform_real_distribution<double> uniform(0, 1);
  OutputStatistics found;
  found.output = "out";
  found.baseline_records = found.again_records = found.candidate_records = run.records;
  for (uint64_t i = 0; i < run.records; i += kBlock) found.input.Add(i / kBlock, kBlock);
  bool tick_b = false;
  bool tick_c = false;
  auto add = [&](const std::string& path, uint64_t block, bool c, bool b) {
    if (path == run.field && uniform(random) < run.changed) c = true;
    if (!c && !b) return;
    FieldStatistics& field = found.Field(path);
    ++field.compared;
    field.differs.Add(block, c, b);
    const bool above = random() % 2 == 0;
    field.order.Add(block, above, !above);
  };
  for (uint64_t i = 0; i < run.records; ++i) {
    const uint64_t block = i / kBlock;
    if (i % kTick == 0) {
      tick_b = uniform(random) < 0.2;
      tick_c = uniform(random) < 0.2;
    }
    add("uuid", block, true, true);
    add("tenth", block, uniform(random) < 0.1, uniform(random) < 0.1);
    add("hundredth", block, uniform(random) < 0.01, uniform(random) < 0.01);
    add("half", block, uniform(random) < 0.5, uniform(random) < 0.5);
    add("runs", block, tick_c, tick_b);
    add("stable", block, false, false);
  }
  return found;
}

struct Outcomes {
  int pass = 0, inconclusive = 0, fail = 0;
};

Outcomes SimulateMany(const SyntheticRun& run, int runs, uint64_t seed) {
  std::mt19937_64 random(seed);
  Outcomes outcomes;
  for (int i = 0; i < runs; ++i) {
    ShadowResult result;
    result.Add(Simulate(run, random));
    const Outcome outcome = Judge(result, ShadowRules()).outcome;
    ++(outcome == Outcome::kPass   ? outcomes.pass
       : outcome == Outcome::kFail ? outcomes.fail
                                   : outcomes.inconclusive);
  }
  printf("%8lu records, %6.3f%% of '%s' changed: %d PASS, %d INCONCLUSIVE, %d FAIL\n",
         static_cast<unsigned long>(run.records), 100 * run.changed, run.field.c_str(),
         outcomes.pass, outcomes.inconclusive, outcomes.fail);
  return outcomes;
}

// The figures of docs/shadow.md.
TEST(NoiseTest, NoiseAloneDoesNotFail) {
  const Outcomes outcomes = SimulateMany({}, 200, 1);
  EXPECT_LE(outcomes.fail, 2);
  EXPECT_LE(outcomes.inconclusive, 20);
}

TEST(NoiseTest, ChangesOfTheStatedSizeAreFound) {
  for (const SyntheticRun& run :
       {SyntheticRun{20'000, "hundredth", 0.0075}, SyntheticRun{20'000, "tenth", 0.025},
        SyntheticRun{20'000, "half", 0.07}, SyntheticRun{20'000, "stable", 0.0005}}) {
    const Outcomes outcomes = SimulateMany(run, 200, 2);
    EXPECT_LE(outcomes.pass, 10) << run.field;
    EXPECT_LE(outcomes.inconclusive, 20) << run.field;
  }
}

// The table of docs/shadow.md: how large a change must be, by the part of the records in which the
// field is noise, where 20 things are tested.
TEST(NoiseTest, TheTableOfSizesHolds) {
  constexpr double kTests = 20;
  constexpr uint64_t kBlocks = 100;
  struct Size {
    double noise;
    uint64_t records;
    double change;
  };
  std::mt19937_64 random(7);
  for (const Size& size : std::vector<Size>{{0.001, 10'000, 0.006},
                                            {0.001, 100'000, 0.0012},
                                            {0.001, 1'000'000, 0.0003},
                                            {0.001, 10'000'000, 0.0001},
                                            {0.01, 10'000, 0.012},
                                            {0.01, 100'000, 0.003},
                                            {0.01, 1'000'000, 0.001},
                                            {0.01, 10'000'000, 0.0003},
                                            {0.1, 10'000, 0.033},
                                            {0.1, 100'000, 0.01},
                                            {0.1, 1'000'000, 0.003},
                                            {0.1, 10'000'000, 0.001},
                                            {0.5, 10'000, 0.09},
                                            {0.5, 100'000, 0.03},
                                            {0.5, 1'000'000, 0.009},
                                            {0.5, 10'000'000, 0.003}}) {
    const double candidate = size.noise + (1 - size.noise) * size.change;
    const double only_candidate = candidate * (1 - size.noise);
    const double only_again = size.noise * (1 - candidate);
    int fail = 0;
    int pass = 0;
    for (int run = 0; run < 200; ++run) {
      PairedEvidence evidence;
      InputBlocks input;
      for (uint64_t block = 0; block < kBlocks; ++block) {
        const uint64_t records = size.records / kBlocks;
        input.Add(block, records);
        const uint64_t c = std::binomial_distribution<uint64_t>(records, only_candidate)(random);
        const uint64_t b = std::binomial_distribution<uint64_t>(
            records - c, only_again / (1 - only_candidate))(random);
        evidence.Add(block, true, false, c);
        evidence.Add(block, false, true, b);
      }
      const double p = kTests * PairedTest(evidence, input);
      fail += p < kAlphaFail;
      pass += p >= kAlphaDoubt;
    }
    printf("noise %5.1f%%, %8lu records, change %6.3f%%: %d of 200 FAIL, %d PASS\n",
           100 * size.noise, static_cast<unsigned long>(size.records), 100 * size.change, fail,
           pass);
    EXPECT_LE(pass, 10);
    EXPECT_GE(fail, 180);
  }
}

// Every block of the input has a hundred records.
InputBlocks Input(uint64_t blocks) {
  InputBlocks input;
  for (uint64_t block = 0; block < blocks; ++block) input.Add(block, 100);
  return input;
}

TEST(NoiseTest, RunsAreNoIndependentWitnesses) {
  // Half of the input's runs differ in the candidate, none alone: a test of records alone would be
  // sure.
  PairedEvidence evidence;
  for (uint64_t i = 0; i < 1000; ++i) evidence.Add(7, true, false);
  evidence.Add(8, false, true);
  EXPECT_LT(SignTest(1000, 1001), 1e-100);
  EXPECT_GE(PairedTest(evidence, Input(9)), 0.25);
  EXPECT_TRUE(NeedsMoreBlocks(evidence, Input(9), kAlphaFail));
}

TEST(NoiseTest, OneSolidRunIsOneWitness) {
  // A process paused once: all records of a stretch differ, in the candidate alone, as many in each
  // block. Only beside the rest of the input, where nothing differs, is that seen to be one event.
  for (const uint64_t first : {0, 40, 80}) {
    PairedEvidence evidence;
    for (uint64_t block = first; block < first + 20; ++block) {
      evidence.Add(block, true, false, 50);
      evidence.Add(block, false, true, 5);
    }
    EXPECT_LT(PairedTest(evidence, InputBlocks()), 1e-4);
    EXPECT_GE(PairedTest(evidence, Input(100)), 0.0625) << first;
    EXPECT_TRUE(NeedsMoreBlocks(evidence, Input(100), kAlphaFail)) << first;
  }
}

TEST(NoiseTest, AChangeEverywhereIsNoRun) {
  PairedEvidence evidence;
  for (uint64_t block = 0; block < 100; ++block) {
    evidence.Add(block, true, false, 50);
    evidence.Add(block, false, true, 5);
  }
  EXPECT_LT(PairedTest(evidence, Input(100)), 1e-6);
  // A record from another age moves no limits.
  InputBlocks input = Input(100);
  input.Add(uint64_t{1} << 50, 1);
  EXPECT_LT(PairedTest(evidence, input), 1e-6);
}

}  // namespace
}  // namespace weir::shadow
