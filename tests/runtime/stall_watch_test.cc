// Who holds a slot too long: told once, again at powers of ten, and at the end; never for time in
// which nobody could have gone on.
#include "runtime/worker/stall_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "core/crash_site.h"
#include "runtime/limits.h"
#include "runtime/worker/notices.h"
#include "runtime/worker/slot.h"
#include "runtime/worker/stall_detector.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class StallWatchTest : public ::testing::Test {
 protected:
  // Looks at slot 0 every 20 ms for so long.
  void Pass(Duration time, uint64_t calls) {
    for (const int64_t end = now_ + time; now_ < end;) Round(limits::kStallLookInterval, calls);
  }
  void Round(Duration later, uint64_t calls) {
    now_ += later;
    watch_.BeginRound(now_);
    StallWatch::Sight sight{calls, "touchy", 1, "plugin 'upper' 1.2", 17};
    const auto stall = watch_.Look(0, sight, [this] { return cpu_wait_; });
    if (stall) told_.push_back(*stall);
  }

  StallWatch watch_{Milliseconds(100)};
  int64_t now_ = 1'000'000;
  Duration cpu_wait_ = 5000;  // from before
  std::vector<Stall> told_;
};

TEST_F(StallWatchTest, OneCallIsToldOfOnceAndAtPowersOfTenAndAtItsEnd) {
  Pass(Seconds(1), 4);
  Pass(Seconds(120), 5);
  ASSERT_EQ(told_.size(), 4u);
  EXPECT_TRUE(told_[0].first);
  EXPECT_EQ(told_[0].held, Milliseconds(100));
  EXPECT_EQ(told_[0].stage, "touchy");
  EXPECT_EQ(told_[1].held, Seconds(1));
  EXPECT_FALSE(told_[1].first);
  EXPECT_EQ(told_[2].held, Seconds(10));
  EXPECT_EQ(told_[3].held, Seconds(100));
  Pass(Seconds(1), 6);
  ASSERT_EQ(told_.size(), 5u);
  EXPECT_TRUE(told_[4].over);
  EXPECT_NEAR(told_[4].held, Seconds(120), Milliseconds(40));
  EXPECT_THAT(Describe(told_[4]), AllOf(HasSubstr("has given slot 0 back, after 120.0 s"),
                                        HasSubstr("plugin 'upper' 1.2"), HasSubstr("row 17")));
}

TEST_F(StallWatchTest, SaysForHowLongASlotIsHeldWhileItIs) {
  Pass(Milliseconds(80), 5);
  EXPECT_EQ(watch_.Held(0), 0);
  Pass(Seconds(3), 5);
  EXPECT_NEAR(watch_.Held(0), Seconds(3) + Milliseconds(80), Milliseconds(40));
  EXPECT_EQ(watch_.Held(1), 0);
  Pass(Milliseconds(20), 6);
  EXPECT_EQ(watch_.Held(0), 0);
}

TEST_F(StallWatchTest, ManyShortCallsAreNone) {
  for (uint64_t calls = 1; calls < 1000; calls += 2) Pass(Milliseconds(80), calls);
  EXPECT_TRUE(told_.empty());
}

TEST_F(StallWatchTest, NoCallIsNone) {
  Pass(Minutes(10), 8);
  EXPECT_TRUE(told_.empty());
}

TEST_F(StallWatchTest, AStoppedProcessIsNone) {
  for (uint64_t calls = 1; calls < 40; calls += 2) {
    Pass(Milliseconds(40), calls);
    Round(Minutes(10), calls);  // SIGSTOP, or the lid was closed
    Round(limits::kStallLookInterval, calls);
  }
  EXPECT_TRUE(told_.empty());
}

TEST_F(StallWatchTest, AThreadThatGetsNoCpuIsNone) {
  for (int i = 0; i < 400; ++i) {
    Round(limits::kStallLookInterval, 3);
    cpu_wait_ += limits::kStallLookInterval * 9 / 10;
  }
  ASSERT_EQ(told_.size(), 1u);  // eight seconds, of which it could run for 0.8
  EXPECT_GE(told_[0].held, Milliseconds(100));
  EXPECT_LT(told_[0].held, Milliseconds(150));
}

// On a real thread, with real time.
class StallDetectorTest : public ::testing::Test {
 protected:
  // Waits for so many notices.
  std::vector<runtime::Notice> Await(size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(said_.wait_for(lock, std::chrono::seconds(60),
                               [&] { return notices_said_.size() >= count; }));
    return notices_said_;
  }

  Environment& env_ = RealEnvironment();
  std::mutex mutex_;
  std::condition_variable said_;
  std::vector<runtime::Notice> notices_said_;
  Notices notices_{env_.clock, 100, [this](const runtime::Notice& notice) {
                     std::lock_guard lock(mutex_);
                     notices_said_.push_back(notice);
                     said_.notify_all();
                   }};
  ThreadSlot slot_{1, env_.clock};
  StallDetector detector_{env_.clock, limits::kStallMax, notices_};
};

TEST_F(StallDetectorTest, SeesACallThatBlocksAndOneThatSpins) {
  detector_.Watch(1, slot_);
  std::atomic<bool> go_on = false;
  static const std::atomic<uint32_t> row = 17;
  slot_.Post([&] {
    const CrashScope here("sleeper", 1, /*brief=*/true);
    const CrashComponent component("plugin 'upper' 1.2", &row);
    go_on.wait(false);
  });
  EXPECT_THAT(Await(1)[0].line(), AllOf(HasSubstr("has held slot 1 for"),
                                        HasSubstr("plugin 'upper' 1.2, at row 17 of its batch")));
  EXPECT_EQ(detector_.Of("sleeper", 1).count, 1u);
  EXPECT_GE(detector_.Of("sleeper", 1).held, limits::kStallMax);
  go_on = true;
  go_on.notify_all();
  const runtime::Notice last = Await(2)[1];
  EXPECT_THAT(last.line(), HasSubstr("has given slot 1 back"));
  EXPECT_EQ(last.stage(), "sleeper");
  EXPECT_EQ(last.subtask(), 1u);
  EXPECT_TRUE(last.warning());
  EXPECT_EQ(detector_.Of("sleeper", 1).count, 1u);
  EXPECT_EQ(detector_.Of("sleeper", 1).held, 0);

  slot_.Post([&] {
    const CrashScope here("spinner", 1, /*brief=*/true);
    while (go_on) {
    }
  });
  EXPECT_EQ(Await(3)[2].stage(), "spinner");
  go_on = false;
  Await(4);
  detector_.Stop();
  slot_.Join();
}

TEST_F(StallDetectorTest, MayEndBeforeASlotHasSaidAnything) {
  for (int i = 0; i < 20; ++i) {
    ThreadSlot slot(0, env_.clock);
    StallDetector detector(env_.clock, limits::kStallMax, notices_);
    detector.Watch(0, slot);
    detector.Stop();
    slot.Join();
  }
  slot_.Join();
}

}  // namespace
}  // namespace weir
