#include "shadow/statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "shadow/limits.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

// Something happens to a record of one of many fields; more fields and blocks than are kept.
struct Happening {
  uint64_t block;
  std::string path;
  bool candidate, again;
  int value;
};

std::vector<Happening> Happenings(uint64_t seed, size_t count) {
  std::mt19937_64 random(seed);
  std::vector<Happening> all;
  for (size_t i = 0; i < count; ++i) {
    all.push_back({random() % 10'000, "f" + std::to_string(random() % 700), random() % 2 == 0,
                   random() % 3 == 0, static_cast<int>(random() % 1000)});
  }
  return all;
}

void Take(const Happening& one, OutputStatistics& statistics) {
  FieldStatistics& field = statistics.Field(one.path);
  field.differs.Add(one.block, one.candidate, one.again);
  field.shape.Add(one.block, one.candidate && one.value % 7 == 0, false);
  field.order.Add(one.block, one.again, one.candidate);
  ++field.compared;
  field.distances[static_cast<uint64_t>(one.value) % 64].again += 1;
  field.changes.resize(kChanges);
  ++field.changes[static_cast<size_t>(one.value) % kChanges];
  const std::string text = std::to_string(one.value);
  field.AddSample({static_cast<uint64_t>(one.value), text, "value", text, text});
  statistics.AddSample({static_cast<uint64_t>(one.value), "mismatched", text, text, text, {text}});
  statistics.missing.Add(one.block, one.candidate, one.again, one.block % 3);
  ++statistics.baseline_records;
  statistics.candidate.mismatched += one.candidate;
}

// Merges the parts two by two in a random order.
OutputStatistics MergeRandomly(std::vector<OutputStatistics> parts, std::mt19937_64& random) {
  while (parts.size() > 1) {
    std::shuffle(parts.begin(), parts.end(), random);
    OutputStatistics last = std::move(parts.back());
    parts.pop_back();
    parts[0].Merge(random() % 2 == 0 ? Travelled(last) : last);
  }
  return parts[0];
}

TEST(StatisticsTest, HoweverTheyAreSplitAndMergedTheyAreTheSame) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const auto all = Happenings(seed, 4000);
    OutputStatistics whole;
    for (const Happening& one : all) Take(one, whole);
    EXPECT_EQ(whole.fields.size(), limits::kFieldsMax);
    EXPECT_GT(whole.other_fields.compared, 0u);
    EXPECT_LE(whole.missing.blocks.size(), limits::kBlocksMax);
    std::mt19937_64 random(seed);
    for (int round = 0; round < 3; ++round) {
      std::vector<OutputStatistics> parts(1 + random() % 20);
      auto shuffled = all;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (const Happening& one : shuffled) Take(one, parts[random() % parts.size()]);
      EXPECT_TRUE(MergeRandomly(parts, random) == whole) << seed;
    }
  }
}

TEST(StatisticsTest, BlocksBecomeCoarserAndKeepTheirSums) {
  PairedEvidence evidence;
  for (uint64_t block = 0; block < 1000; ++block)
    evidence.Add(block, block % 2 == 0, block % 2 == 1);
  EXPECT_EQ(evidence.shift, 3u);
  EXPECT_EQ(evidence.blocks.size(), 125u);
  EXPECT_EQ(evidence.blocks[3], (PairedEvidence::Block{4, 4}));
  // Blocks of a wall clock are as good as those that count from 0.
  PairedEvidence late;
  for (uint64_t block = 0; block < 1000; ++block) late.Add(block + (1ull << 60), true, false);
  EXPECT_EQ(late.blocks.size(), 125u);
}

TEST(StatisticsTest, TheLowestSamplesStay) {
  FieldStatistics field;
  for (uint64_t rank : {5, 3, 9, 1, 7, 3}) field.AddSample({rank, "k", "value", "1", "2"});
  ASSERT_EQ(field.samples.size(), 3u);
  EXPECT_EQ(field.samples[0].rank, 1u);
  EXPECT_EQ(field.samples[1].rank, 3u);
  EXPECT_EQ(field.samples[2].rank, 5u);
}

TEST(StatisticsTest, AFrequentKindOfRecordHidesNoRareOne) {
  std::mt19937_64 random(1);
  std::array<OutputStatistics, 2> parts;
  for (uint64_t i = 0; i < 1000; ++i) {
    // All that differ come before the single one that is missing, by their rank.
    parts[random() % 2].AddSample({i, "mismatched", "k", "1", "2", {}});
    if (i == 500) parts[0].AddSample({5000, "missing", "k", "1", "", {}});
  }
  parts[1].Merge(parts[0]);
  const std::vector<RecordSample>& samples = parts[1].samples;
  ASSERT_EQ(samples.size(), limits::kKindSamplesMax + 1);
  for (size_t i = 0; i < limits::kKindSamplesMax; ++i) EXPECT_EQ(samples[i].rank, i);
  EXPECT_EQ(samples.back().kind, "missing");
}

}  // namespace
}  // namespace weir::shadow
