// The comparator, and keys that many records have: what is kept of them, and what is still known
// where not all can be.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shadow/comparator.h"
#include "tests/shadow/comparing.h"

namespace weir::shadow {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

using ComparatorKeysTest = ::testing::TestWithParam<size_t>;
// All that waits is state, some of it, or nothing but in front of a barrier.
INSTANTIATE_TEST_SUITE_P(BufferBytes, ComparatorKeysTest,
                         ::testing::Values(0, 1'000, limits::kBufferBytesMax));

// The versions are never at the same record, so something of the key always waits.
TEST_P(ComparatorKeysTest, AKeyThatComesAgainAndAgainHasNoFalseDifferences) {
  for (const char* output : {"equal", "in-order"}) {
    Comparing comparing(kRules, kPatience, GetParam());
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

OutputStatistics OfAKeyWithTooMany(const char* output, InCandidate what, bool other_order,
                                   size_t buffer_bytes = 0) {
  const size_t records = limits::kKeyRecordsMax + 1;
  Comparing comparing(kRules, kPatience, buffer_bytes);
  const auto line = [](size_t n) { return fmt::format(R"({{"id":1,"v":{}}})", n); };
  for (size_t i = 0; i < records; ++i) {
    comparing.Do({0, output, line(i), Seconds(1)});
    if (i == records - 5 && buffer_bytes == 0) {
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

TEST(ComparatorManyTest, AKeyWithTooManyRecordsIsStillKnownToBeTheSame) {
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

TEST(ComparatorManyTest, WhatChangesInAKeyWithTooManyRecordsIsNoPass) {
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

// What meets in the buffer does not count.
TEST(ComparatorManyTest, WhatChangesInAKeyThatIsBufferedIsFound) {
  const auto changed = OfAKeyWithTooMany("equal", InCandidate::kChanged, false, 1 << 20);
  EXPECT_EQ(changed.candidate.mismatched, 1);
  EXPECT_EQ(changed.candidate.matched, limits::kKeyRecordsMax);
  EXPECT_EQ(changed.unpaired, 0);
}

// Versions that are far apart all the time, in a key that all records have.
TEST_P(ComparatorKeysTest, AKeyOfAllRecordsHasNoFalseDifferences) {
  for (const char* output : {"equal", "in-order"}) {
    Comparing comparing(kRules, kPatience, GetParam());
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

TEST(ComparatorManyTest, TextsOfAKeyThatAreTooLongAreStillKnownToBeTheSame) {
  for (const bool changed : {false, true}) {
    Comparing comparing(kRules, kPatience, /*buffer_bytes=*/0);
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

}  // namespace
}  // namespace weir::shadow
