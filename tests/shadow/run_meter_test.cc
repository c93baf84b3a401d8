#include "shadow/run_meter.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace weir::shadow {
namespace {

TEST(RunMeter, NoMoreRecordsGoOnThanWereAskedForWhoeverReadsThem) {
  int ended = 0;
  RunMeter meter({.readers = 4, .records = 100'003, .on_end = [&] { ++ended; }});
  std::atomic<uint64_t> went_on = 0;
  std::vector<std::thread> readers;
  for (int r = 0; r < 4; ++r) {
    readers.emplace_back([&] {
      const int reader = meter.AddReader();
      for (int64_t now = 1; meter.BeginPoll(now); ++now) {
        went_on += meter.Take(17);
        meter.OnSourceWatermark(reader, now, now);
        meter.OnWatermark(now, now);
      }
      meter.EndReader();
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(went_on, 100'003u);
  EXPECT_EQ(meter.records(), 100'003u);
  EXPECT_EQ(ended, 1);
}

TEST(RunMeter, ReadsAsLongAsItsTimeLasts) {
  int began = 0;
  RunMeter meter({.time = Seconds(2), .on_begin = [&] { ++began; }});
  EXPECT_TRUE(meter.BeginPoll(Seconds(100)));
  EXPECT_EQ(meter.Take(1000), 1000u);
  EXPECT_TRUE(meter.BeginPoll(Seconds(102) - 1));
  EXPECT_FALSE(meter.BeginPoll(Seconds(102)));
  EXPECT_FALSE(meter.BeginPoll(Seconds(102) + 1));
  EXPECT_EQ(began, 1);
  EXPECT_EQ(meter.records(), 1000u);
}

TEST(RunMeter, TheTimeOfARunIsThatUntilItsLastRow) {
  RunMeter meter({});
  meter.BeginPoll(Seconds(10));
  meter.OnRows(70, Seconds(11));
  meter.OnRows(30, Seconds(14));
  EXPECT_EQ(meter.output_bytes(), 100u);
  EXPECT_DOUBLE_EQ(meter.elapsed_s(), 4);
}

TEST(RunMeter, ALatencyCountsFromTheLastSourceThatSaidSo) {
  RunMeter meter({.readers = 2});
  const int fast = meter.AddReader();
  const int slow = meter.AddReader();
  EXPECT_EQ(meter.LatencyMillis(0.5), -1);
  meter.OnSourceWatermark(fast, Minutes(5), Milliseconds(1));
  meter.OnSourceWatermark(slow, Minutes(2), Milliseconds(3));
  meter.OnSourceWatermark(slow, Minutes(2), Milliseconds(4));  // it was known
  meter.OnSourceWatermark(slow, Minutes(3), Milliseconds(8));
  meter.OnWatermark(Minutes(2), Milliseconds(10));
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.5), 7);
  meter.OnWatermark(Minutes(3), Milliseconds(11));
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.01), 3);
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.99), 7);
  // Nobody has said that; it is what the end of an input looks like.
  meter.OnWatermark(kMaxTimestamp, Minutes(9));
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.99), 7);
  EXPECT_LT(meter.elapsed_s(), 1);
}

TEST(RunMeter, PercentilesAreOfAllSamples) {
  RunMeter meter({});
  const int reader = meter.AddReader();
  for (int i = 1; i <= 100; ++i) {
    meter.OnSourceWatermark(reader, i, 1000 * i);
    meter.OnWatermark(i, 1000 * i + 1000 * i);
  }
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.5), 50);
  EXPECT_DOUBLE_EQ(meter.LatencyMillis(0.99), 99);
}

}  // namespace
}  // namespace weir::shadow
