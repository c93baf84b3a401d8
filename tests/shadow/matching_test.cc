#include "shadow/matching.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>
#include <set>
#include <utility>

namespace weir::shadow {
namespace {

// The most pairs there can be, by trying all subsets of right elements.
size_t Most(size_t left, size_t right, const std::set<std::pair<size_t, size_t>>& edges) {
  std::set<size_t> reachable = {0};  // sets of right elements that are taken, as bits
  for (size_t l = 0; l < left; ++l) {
    std::set<size_t> next = reachable;
    for (size_t taken : reachable) {
      for (size_t r = 0; r < right; ++r) {
        if ((taken >> r & 1) == 0 && edges.contains({l, r})) next.insert(taken | size_t{1} << r);
      }
    }
    reachable = std::move(next);
  }
  int most = 0;
  for (size_t taken : reachable) most = std::max(most, std::popcount(taken));
  return static_cast<size_t>(most);
}

TEST(MatchingTest, FindsAsManyPairsAsThereCanBe) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    std::mt19937_64 random(seed);
    const size_t left = random() % 8, right = random() % 8;
    const uint64_t density = 1 + random() % 100;
    std::set<std::pair<size_t, size_t>> edges;
    for (size_t l = 0; l < left; ++l) {
      for (size_t r = 0; r < right; ++r) {
        if (random() % 100 < density) edges.emplace(l, r);
      }
    }
    // Some have met already.
    std::vector<size_t> partners(left, kUnmatched);
    std::set<size_t> taken;
    for (const auto& [l, r] : edges) {
      if (random() % 4 > 0 || partners[l] != kUnmatched || !taken.insert(r).second) continue;
      partners[l] = r;
    }
    const std::vector<size_t> before = partners;
    std::multiset<std::pair<size_t, size_t>> asked;
    MatchMost(partners, right, [&](size_t l, size_t r) {
      asked.emplace(l, r);
      return edges.contains({l, r});
    });
    size_t pairs = 0;
    std::set<size_t> met;
    for (size_t l = 0; l < left; ++l) {
      if (before[l] != kUnmatched) EXPECT_NE(partners[l], kUnmatched) << seed;
      if (partners[l] == kUnmatched) continue;
      ++pairs;
      EXPECT_TRUE(edges.contains({l, partners[l]})) << seed;
      EXPECT_TRUE(met.insert(partners[l]).second) << seed;
    }
    EXPECT_EQ(pairs, Most(left, right, edges)) << seed;
    for (const auto& pair : asked) EXPECT_EQ(asked.count(pair), 1) << seed;
  }
}

}  // namespace
}  // namespace weir::shadow
