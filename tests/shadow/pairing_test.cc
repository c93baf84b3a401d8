#include "shadow/pairing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "shadow/limits.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::string Line(int i, int price, const std::string& noise = "") {
  return "{\"name\":\"n" + std::to_string(i) + "\",\"city\":\"c" + std::to_string(i % 7) +
         "\",\"price\":" + std::to_string(price) + (noise.empty() ? "" : ",\"noise\":" + noise) +
         "}";
}

TEST(PairingTest, WithoutAKeyRecordsMeetAsTheyAre) {
  TestShadow shadow("");
  for (int i = 0; i < 2000; ++i) shadow.Add("out", Line(i, i), Line(i, i), Line(i, i));
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kPass);
  EXPECT_EQ(OutputOf(verdict, "out").statistics.candidate.matched, 2000u);
}

TEST(PairingTest, AChangedRecordIsPairedByItsOtherFields) {
  TestShadow shadow("");
  for (int i = 0; i < 2000; ++i) {
    shadow.Add("out", Line(i, i), Line(i, i), Line(i, i % 500 == 3 ? i + 1 : i));
  }
  const OutputVerdict output = OutputOf(shadow.Judge(), "out");
  EXPECT_EQ(output.outcome, Outcome::kFail);
  EXPECT_EQ(output.statistics.candidate.mismatched, 4u);
  EXPECT_EQ(output.statistics.candidate.missing, 0u);
  EXPECT_EQ(output.statistics.candidate.extra, 0u);
  EXPECT_EQ(FieldOf(output, "price").differs, 4u);
  EXPECT_EQ(output.fields.size(), 1u);
}

TEST(PairingTest, NoisyRecordsArePairedByWhatIsStable) {
  std::mt19937 random(3);
  TestShadow shadow("");
  auto noise = [&] { return std::to_string(random() % 1'000'000'000); };
  for (int i = 0; i < 2000; ++i) {
    const bool changed = i == 77;
    shadow.Add("out", Line(i, i, noise()), Line(i, i, noise()),
               Line(i, changed ? i + 1 : i, noise()));
  }
  const OutputVerdict output = OutputOf(shadow.Judge(), "out");
  EXPECT_EQ(output.outcome, Outcome::kFail);
  EXPECT_EQ(FieldOf(output, "price").differs, 1u);
  EXPECT_EQ(FieldOf(output, "price").finding, Finding::kChanged);
  EXPECT_GE(FieldOf(output, "noise").differs, 1990u);
  EXPECT_EQ(FieldOf(output, "noise").finding, Finding::kNoise);
  EXPECT_EQ(output.statistics.candidate.missing, 0u);
}

TEST(PairingTest, DroppedAndDoubledRecordsAreMissingAndExtra) {
  TestShadow shadow("");
  for (int i = 0; i < 2000; ++i) {
    shadow.Add("out", Line(i, i), Line(i, i), Line(i, i));
    if (i == 9) shadow.Add("out", nullptr, nullptr, Line(i, i).c_str());
    if (i == 10) shadow.Add("out", Line(-i, i).c_str(), Line(-i, i).c_str(), nullptr);
  }
  const OutputVerdict output = OutputOf(shadow.Judge(), "out");
  EXPECT_EQ(output.outcome, Outcome::kFail);
  EXPECT_EQ(output.statistics.candidate.missing, 1u);
  EXPECT_EQ(output.statistics.candidate.extra, 1u);
  EXPECT_EQ(output.statistics.candidate.mismatched, 0u);
}

TEST(PairingTest, ATextThatComesABucketLaterCancelsOut) {
  Leftovers early;
  early.Add("{\"a\":1}", {1, 1, 1, 0});
  Leftovers late;
  late.Add("{\"a\":1}", {2, 0, 0, 1});
  early.Merge(late);
  OutputStatistics statistics;
  PairLeftovers(early, OutputRules(), statistics);
  EXPECT_EQ(statistics.candidate.matched, 1u);
  EXPECT_EQ(statistics.candidate.missing, 0u);
}

TEST(PairingTest, TooManyLeftoversAskForAKey) {
  std::mt19937 random(3);
  TestShadow shadow("");
  for (int i = 0; i < 6000; ++i) {
    auto noise = [&] { return std::to_string(random()); };
    shadow.Add("out", Line(i, i, noise()), Line(i, i, noise()), Line(i, i, noise()));
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kInconclusive);
  EXPECT_EQ(OutputOf(verdict, "out").statistics.unpaired > 1000, true);
  EXPECT_THAT(verdict.reasons[0], HasSubstr("'key'"));
}

TEST(PairingTest, LeftoversAreTheSameInWhateverOrderTheyCome) {
  std::mt19937_64 random(5);
  std::vector<std::pair<std::string, Leftover>> all;
  for (int i = 0; i < 15'000; ++i) {
    all.emplace_back(Line(i % 12'000, 1), Leftover{random() % 100, random() % 2, 1, 0});
  }
  auto statistics_of = [&](size_t parts) {
    std::shuffle(all.begin(), all.end(), random);
    std::vector<Leftovers> some(parts);
    for (const auto& [text, counts] : all) some[random() % parts].Add(text, counts);
    for (size_t i = 1; i < parts; ++i) some[0].Merge(some[i]);
    EXPECT_EQ(some[0].size(), limits::kLeftoversMax);
    OutputStatistics statistics;
    PairLeftovers(some[0], OutputRules(), statistics);
    return statistics;
  };
  const OutputStatistics whole = statistics_of(1);
  EXPECT_TRUE(statistics_of(7) == whole);
  EXPECT_GT(whole.unpaired, 0u);
}

}  // namespace
}  // namespace weir::shadow
