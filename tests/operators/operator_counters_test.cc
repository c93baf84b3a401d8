#include <gtest/gtest.h>

#include "operators/operator.h"

namespace weir {
namespace {

TEST(OperatorCountersTest, AReferenceCountsForAsLongAsTheCountersLive) {
  OperatorCounters counters;
  uint64_t& late = counters.Named("late");
  for (int i = 0; i < 100; ++i) counters.Named("name " + std::to_string(i)) += 1;
  late += 3;
  EXPECT_EQ(counters.named().at("late"), 3u);
  EXPECT_EQ(counters.Named("name 7"), 1u);
}

TEST(OperatorCountersTest, NamesBeyondTheLimitAreCountedTogether) {
  OperatorCounters counters;
  const size_t names = 2 * limits::kNamedCountersMax;
  for (size_t i = 0; i < names; ++i) counters.Named(std::to_string(i)) += 1;
  counters.Named("0") += 1;
  EXPECT_EQ(counters.named().size(), limits::kNamedCountersMax);
  EXPECT_EQ(counters.named().at("0"), 2u);
  EXPECT_EQ(counters.named().at("others"), names - (limits::kNamedCountersMax - 1));
}

}  // namespace
}  // namespace weir
