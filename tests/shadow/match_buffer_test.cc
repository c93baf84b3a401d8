#include "shadow/match_buffer.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "core/limits.h"

namespace weir::shadow {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kLarge = 1 << 20;

// What comes out of a buffer, as "version text@time".
using Came = std::vector<std::string>;

std::string MeetingOfText(std::string_view text) {
  return std::string(MeetingBytes(Hash128(text)));
}

bool Add(MatchBuffer& buffer, int version, std::string_view text, Timestamp time = 1) {
  const std::string meeting = MeetingOfText(text.substr(0, 1));
  return buffer.Add({static_cast<uint8_t>(version), "out", meeting, "key", text}, time);
}

Came TakeAll(MatchBuffer& buffer) {
  Came came;
  while (!buffer.empty()) {
    const BatchPtr batch = buffer.Take();
    EXPECT_LE(batch->rows(), weir::limits::kBatchRowsDefault);
    const auto& rows = Batch<TappedRecord>::Of(std::as_const(*batch));
    for (size_t i = 0; i < rows.rows(); ++i) {
      EXPECT_EQ(rows[i].output, "out");
      EXPECT_EQ(rows[i].key, "key");
      EXPECT_EQ(rows[i].meeting, MeetingOfText(rows[i].text.substr(0, 1)));
      came.push_back(fmt::format("{} {}@{}", rows[i].version, rows[i].text, rows.times()[i]));
    }
  }
  return came;
}

TEST(MatchBufferTest, ThreeOfATextMeet) {
  MatchBuffer buffer(kLarge);
  EXPECT_FALSE(Add(buffer, 0, "a1"));
  EXPECT_FALSE(Add(buffer, 0, "a2"));  // another text under the same key
  EXPECT_FALSE(Add(buffer, 2, "a1"));
  EXPECT_TRUE(Add(buffer, 1, "a1"));
  EXPECT_FALSE(Add(buffer, 1, "a1"));  // one more
  EXPECT_THAT(TakeAll(buffer), ElementsAre("0 a2@1", "1 a1@1"));
  EXPECT_THAT(TakeAll(buffer), IsEmpty());
  EXPECT_FALSE(Add(buffer, 0, "a1"));  // what has left is not remembered
}

TEST(MatchBufferTest, TheOldestMeet) {
  MatchBuffer buffer(kLarge);
  for (Timestamp time : {1, 2, 3}) Add(buffer, 0, "a", time);
  Add(buffer, 1, "a", 4);
  EXPECT_TRUE(Add(buffer, 2, "a", 5));
  EXPECT_THAT(TakeAll(buffer), ElementsAre("0 a@2", "0 a@3"));
}

TEST(MatchBufferTest, KnowsWhatIsDue) {
  MatchBuffer buffer(kLarge);
  EXPECT_FALSE(buffer.HasUntil(kMaxTimestamp));
  Add(buffer, 0, "a", 5);
  Add(buffer, 0, "b", 7);
  EXPECT_FALSE(buffer.HasUntil(4));
  EXPECT_TRUE(buffer.HasUntil(5));
  Add(buffer, 1, "a", 5);
  Add(buffer, 2, "a", 5);
  EXPECT_FALSE(buffer.HasUntil(6));
  EXPECT_TRUE(buffer.HasUntil(7));
}

TEST(MatchBufferTest, IsFullOfWhatWaitsAlone) {
  constexpr size_t kBytes = 64 << 10;
  MatchBuffer buffer(kBytes);
  const std::string text(100, 'x');
  for (int i = 0; i < 20'000; ++i) {
    for (int version = 0; version < kVersions; ++version) {
      Add(buffer, version, fmt::format("{}{}", i, text));
    }
    ASSERT_FALSE(buffer.IsFull());
  }
  int waiting = 0;
  while (!buffer.IsFull()) Add(buffer, 0, fmt::format("{}{}", ++waiting, text));
  EXPECT_GT(waiting, static_cast<int>(kBytes / 1000));
  EXPECT_LT(waiting, static_cast<int>(kBytes / 100));
  EXPECT_THAT(TakeAll(buffer), ::testing::SizeIs(waiting));
}

TEST(MatchBufferTest, DoesAsASimpleOneDoes) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    std::mt19937_64 random(seed);
    MatchBuffer buffer(seed % 2 == 0 ? kLarge : 300);
    // By text, the numbers of the arrivals that wait.
    std::map<std::string, std::array<std::deque<int>, kVersions>> texts;
    std::map<int, std::string> waiting;
    const int steps = static_cast<int>(random() % 3000);
    for (int step = 0; step < steps; ++step) {
      const int version = static_cast<int>(random() % kVersions);
      const std::string text(1 + random() % 3, static_cast<char>('a' + random() % 4));
      auto& of = texts[text];
      of[version].push_back(step);
      waiting[step] = fmt::format("{} {}@{}", version, text, step);
      const bool met = !of[0].empty() && !of[1].empty() && !of[2].empty();
      for (auto& each : of) {
        if (!met) break;
        waiting.erase(each.front());
        each.pop_front();
      }
      ASSERT_EQ(Add(buffer, version, text, step), met) << "seed " << seed << ", step " << step;
      if (random() % 50 == 0) buffer.IsFull();
      if (random() % 50 == 0) {
        const int time = static_cast<int>(random() % 3000);
        const bool due = !waiting.empty() && waiting.begin()->first <= time;
        ASSERT_EQ(buffer.HasUntil(time), due) << "seed " << seed << ", step " << step;
      }
      if (random() % 500 > 0) continue;
      Came expected;
      for (const auto& [number, came] : waiting) expected.push_back(came);
      ASSERT_EQ(TakeAll(buffer), expected) << "seed " << seed << ", step " << step;
      texts.clear();
      waiting.clear();
    }
  }
}

}  // namespace
}  // namespace weir::shadow
