#include "core/key_group.h"

#include <gtest/gtest.h>

#include "core/hash.h"

namespace weir {
namespace {

TEST(KeyGroupTest, RangesMatchTheSubtaskOfEveryGroupAtEveryParallelism) {
  for (int parallelism = 1; parallelism <= kKeyGroups; ++parallelism) {
    int next = 0;
    for (int subtask = 0; subtask < parallelism; ++subtask) {
      const KeyGroupRange range = KeyGroupsOf(subtask, parallelism);
      ASSERT_EQ(range.first, next) << subtask << " of " << parallelism;
      ASSERT_GT(range.last, range.first) << subtask << " of " << parallelism;
      for (int group = range.first; group < range.last; ++group) {
        ASSERT_EQ(SubtaskOf(group, parallelism), subtask) << "group " << group;
        ASSERT_TRUE(range.Contains(group));
      }
      next = range.last;
    }
    ASSERT_EQ(next, kKeyGroups) << parallelism;
  }
}

TEST(KeyGroupTest, TheGroupIsTheHashesHighBits) {
  EXPECT_EQ(KeyGroupOf(0), 0);
  EXPECT_EQ(KeyGroupOf(~uint64_t{0}), 1023);
  EXPECT_EQ(KeyGroupOf(uint64_t{1} << 54), 1);
}

TEST(KeyGroupTest, RangesKnowWhatTheyShare) {
  const KeyGroupRange a{0, 10}, b{10, 20}, c{5, 15};
  EXPECT_FALSE(a.Overlaps(b));
  EXPECT_TRUE(a.Overlaps(c));
  EXPECT_TRUE(c.Overlaps(b));
  EXPECT_FALSE(a.Contains(10));
  EXPECT_TRUE(KeyGroupRange{}.Contains(b));
}

// Keys found in state that was written by an earlier version must still be theirs.
TEST(KeyGroupTest, HashesNeverChange) {
  EXPECT_EQ(Hash64("weir"), 0x9831dc741817118ULL);
  EXPECT_EQ(Hash64(""), 0x2d06800538d394c2ULL);
  EXPECT_EQ(Hash128("weir").high, 0x58611f8d7be1fe2cULL);
}

}  // namespace
}  // namespace weir
