#include "shadow/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shadow/limits.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;

class ComparisonTest : public ::testing::Test {
 protected:
  void Compare(std::vector<std::string_view> a, std::vector<std::string_view> b,
               std::vector<std::string_view> c, std::string_view yaml = "all: {key: id}") {
    rules_ = RulesOf(yaml);
    RecordComparer comparer(rules_->For("out"));
    comparer.Compare({"[1]", 5, std::move(a), std::move(b), std::move(c)}, found_);
  }

  std::shared_ptr<const ShadowRules> rules_;
  OutputStatistics found_;
};

TEST_F(ComparisonTest, EqualRecordsMatch) {
  Compare({"{\"a\":1}", "{\"a\":2}"}, {"{\"a\":1}", "{\"a\":2}"}, {"{\"a\":2}", "{\"a\":1}"});
  EXPECT_EQ(found_.candidate.matched, 2u);
  EXPECT_EQ(found_.again.matched, 2u);
  EXPECT_EQ(found_.baseline_records, 2u);
  EXPECT_TRUE(found_.fields.empty());
}

TEST_F(ComparisonTest, AChangeInTheCandidateAloneIsPairedEvidence) {
  Compare({"{\"a\":1,\"b\":1}"}, {"{\"a\":1,\"b\":2}"}, {"{\"a\":3,\"b\":3}"});
  EXPECT_EQ(found_.candidate.mismatched, 1u);
  EXPECT_EQ(found_.again.mismatched, 1u);
  EXPECT_EQ(found_.fields["a"].differs.counts, (PairedCounts{1, 0, 0}));
  EXPECT_EQ(found_.fields["b"].differs.counts, (PairedCounts{0, 0, 1}));
  // The candidate's 3 stands above the second baseline's 1 and 2.
  EXPECT_EQ(found_.fields["a"].order.counts.only_candidate, 1u);
  EXPECT_EQ(found_.fields["b"].order.counts.only_candidate, 1u);
  ASSERT_EQ(found_.samples.size(), 1u);
  EXPECT_THAT(found_.samples[0].fields, ElementsAre("a", "b"));
  EXPECT_EQ(found_.samples[0].key, "[1]");
  EXPECT_EQ(found_.fields["a"].samples[0].candidate, "3");
}

TEST_F(ComparisonTest, DroppedAndDoubledRecordsAreMissingAndExtra) {
  Compare({"{\"a\":1}", "{\"a\":2}"}, {"{\"a\":1}", "{\"a\":2}", "{\"a\":9}"}, {"{\"a\":1}"});
  EXPECT_EQ(found_.candidate.missing, 1u);
  EXPECT_EQ(found_.again.extra, 1u);
  EXPECT_EQ(found_.missing.counts, (PairedCounts{1, 0, 0}));
  EXPECT_EQ(found_.extra.counts, (PairedCounts{0, 1, 0}));
  Compare({"{\"a\":1}"}, {"{\"a\":1}"}, {"{\"a\":1}", "{\"a\":1}"});
  EXPECT_EQ(found_.extra.counts, (PairedCounts{1, 1, 0}));
  EXPECT_EQ(found_.candidate.extra, 1u);
}

TEST_F(ComparisonTest, RecordsOfOneKeyMeetThoseTheyDifferLeastFrom) {
  Compare({"{\"a\":1,\"b\":1,\"c\":1}", "{\"a\":2,\"b\":2,\"c\":2}"},
          {"{\"a\":1,\"b\":1,\"c\":1}", "{\"a\":2,\"b\":2,\"c\":2}"},
          {"{\"a\":0,\"b\":2,\"c\":2}", "{\"a\":9,\"b\":1,\"c\":1}"});
  EXPECT_EQ(found_.candidate.mismatched, 2u);
  EXPECT_EQ(found_.fields["a"].differs.counts.only_candidate, 2u);
  EXPECT_EQ(found_.fields.size(), 1u);
}

// 1.5 meets 0.9 and 1.0, but 2.0 only 1.0.
TEST_F(ComparisonTest, AsManyRecordsOfOneKeyAsCanBeMeetWithinTolerance) {
  const char* yaml = "all: {key: id, numbers: {absolute: 1}}";
  Compare({"{\"a\":1.5}", "{\"a\":2.0}"}, {"{\"a\":1.5}", "{\"a\":2.0}"},
          {"{\"a\":1.0}", "{\"a\":0.9}"}, yaml);
  EXPECT_EQ(found_.candidate.matched, 2u);
}

TEST_F(ComparisonTest, OrderCountsOnlyWhereItIsAskedFor) {
  Compare({"{\"a\":1}", "{\"a\":2}"}, {"{\"a\":1}", "{\"a\":2}"}, {"{\"a\":2}", "{\"a\":1}"},
          "all: {key: id, ordered: true}");
  EXPECT_EQ(found_.candidate.reordered, 1u);
  EXPECT_EQ(found_.reordered.counts, (PairedCounts{1, 0, 0}));
  EXPECT_EQ(found_.candidate.matched, 2u);
}

TEST_F(ComparisonTest, ExpectedDifferencesAreCountedApart) {
  const char* yaml = "{all: {key: id}, known: [{field: a, reason: expected, until: 2030-01-01}]}";
  Compare({"{\"a\":1,\"b\":1}"}, {"{\"a\":1,\"b\":1}"}, {"{\"a\":2,\"b\":1}"}, yaml);
  EXPECT_EQ(found_.candidate.known, 1u);
  EXPECT_EQ(found_.candidate.mismatched, 0u);
  EXPECT_EQ(found_.records.counts, (PairedCounts{0, 0, 0}));
  Compare({"{\"a\":1,\"b\":1}"}, {"{\"a\":1,\"b\":1}"}, {"{\"a\":2,\"b\":2}"}, yaml);
  EXPECT_EQ(found_.candidate.mismatched, 1u);
}

TEST_F(ComparisonTest, RecordsMeetThoseOfWhichOnlyExpectedDifferencesTellThem) {
  const char* yaml = "{all: {key: id}, known: [{field: a, reason: expected, until: 2030-01-01}]}";
  const std::vector<std::string_view> both = {"{\"a\":1,\"v\":1}", "{\"a\":2,\"v\":2}"};
  Compare(both, both, {"{\"a\":1,\"v\":2}", "{\"a\":2,\"v\":1}"}, yaml);
  EXPECT_EQ(found_.candidate.known, 2u);
  EXPECT_EQ(found_.candidate.mismatched, 0u);
}

TEST_F(ComparisonTest, ManyRecordsOfOneKeyTakeNoQuadraticTime) {
  std::vector<std::string> texts;
  for (int i = 0; i < 20'000; ++i) texts.push_back("{\"a\":" + std::to_string(i) + "}");
  std::vector<std::string_view> a(texts.begin(), texts.begin() + 10'000);
  std::vector<std::string_view> c(texts.begin() + 10'000, texts.end());
  Compare(a, a, c);
  EXPECT_EQ(found_.candidate.mismatched, 10'000u);
}

}  // namespace
}  // namespace weir::shadow
