#include "operators/transforms/keyed_timers.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "operators/transforms/row_transaction.h"
#include "tests/state/keyed_backends.h"

namespace weir {
namespace {

using testing::KeyedBackend;
using testing::KeyedStoreMaker;
using testing::MemorySnapshots;

constexpr TimerKind kEvent = TimerKind::kEventTime;

class KeyedTimersTest : public ::testing::TestWithParam<KeyedBackend> {
 protected:
  KeyedTimersTest() {
    maker_.memory_bytes = 16 << 20;
    Open({}, 0, 1);
  }

  void Open(const std::vector<StateSnapshot>& from, int subtask, int parallelism) {
    row_.reset();
    store_ = maker_.Make("stage", subtask, parallelism, from, snapshots_);
    row_ = std::make_unique<internal::RowTransaction>(*store_);
    timers_ = std::make_unique<internal::KeyedTimers>();
    ASSERT_TRUE(timers_->Open(*row_, KeyGroupsOf(subtask, parallelism)).ok());
  }
  StateSnapshot Checkpoint() {
    auto written = store_->Freeze(++checkpoint_)->Write(snapshots_);
    EXPECT_TRUE(written.ok()) << written.status();
    // As an operator does in front of each batch: learn what was written.
    EXPECT_TRUE(row_->Ready().ok());
    return *std::move(written);
  }
  void Commit() {
    ASSERT_TRUE(row_->Commit().ok());
    const Status status = timers_->Commit();
    ASSERT_TRUE(status.ok()) << status;
  }
  void Set(const std::string& key, Timestamp time, TimerKind kind = kEvent) {
    ASSERT_TRUE(timers_->Set(kind, MakeStateKey(key), time).ok());
    Commit();
  }
  void Remove(const std::string& key, Timestamp time, TimerKind kind = kEvent) {
    ASSERT_TRUE(timers_->Remove(kind, MakeStateKey(key), time).ok());
    Commit();
  }
  // Fires all that are due, in order.
  std::vector<std::pair<Timestamp, std::string>> Fire(Timestamp until, TimerKind kind = kEvent) {
    std::vector<std::pair<Timestamp, std::string>> fired;
    while (const internal::KeyedTimers::Timer* due = timers_->Due(kind, until)) {
      EXPECT_TRUE(fired.empty() || fired.back().first <= due->time) << "out of order";
      fired.emplace_back(due->time, due->key);
      Remove(fired.back().second, fired.back().first, kind);
    }
    return fired;
  }

  KeyedStoreMaker maker_{GetParam()};
  MemorySnapshots snapshots_;
  std::unique_ptr<KeyedStore> store_;
  std::unique_ptr<internal::RowTransaction> row_;
  std::unique_ptr<internal::KeyedTimers> timers_;
  CheckpointId checkpoint_ = 0;
};

// Against a plain set, with one key that has half of all timers, more of them than are held in
// memory, and restores at other parallelisms in between.
TEST_P(KeyedTimersTest, AreThoseThatWereSet) {
  std::mt19937_64 random(7);
  std::set<std::pair<Timestamp, std::string>> expected[2];
  Timestamp passed = 0;
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 3'000; ++i) {
      const TimerKind kind = random() % 4 == 0 ? TimerKind::kProcessingTime : kEvent;
      auto& timers = expected[kind == kEvent];
      if (random() % 5 == 0 && !timers.empty()) {
        // One that is there, mostly.
        auto at = timers.lower_bound({static_cast<Timestamp>(passed + random() % 1'000), ""});
        const auto [time, key] = at == timers.end() ? *timers.begin() : *at;
        timers.erase({time, key});
        Remove(key, time, kind);
        continue;
      }
      const std::string key = random() % 2 == 0 ? "hot" : std::to_string(random() % 5'000);
      const Timestamp time = passed - 50 + static_cast<Timestamp>(random() % 2'000);
      timers.insert({time, key});
      Set(key, time, kind);
    }
    passed += 150;
    for (const TimerKind kind : {kEvent, TimerKind::kProcessingTime}) {
      auto& timers = expected[kind == kEvent];
      std::vector<std::pair<Timestamp, std::string>> due(timers.begin(),
                                                         timers.lower_bound({passed + 1, ""}));
      auto fired = Fire(passed, kind);
      std::sort(fired.begin(), fired.end());
      ASSERT_EQ(fired, due) << "round " << round;
      timers.erase(timers.begin(), timers.lower_bound({passed + 1, ""}));
    }
    const StateSnapshot snapshot = Checkpoint();
    if (round % 3 == 2) Open({snapshot}, 0, 1);
  }
}

TEST_P(KeyedTimersTest, GoWithTheirKeysWhenTheParallelismChanges) {
  for (int i = 0; i < 5'000; ++i) Set("key " + std::to_string(i), i);
  const StateSnapshot snapshot = Checkpoint();
  std::set<std::pair<Timestamp, std::string>> fired;
  for (int subtask = 0; subtask < 3; ++subtask) {
    Open({snapshot}, subtask, 3);
    for (auto& timer : Fire(kMaxTimestamp)) {
      const int group = KeyGroupOf(MakeStateKey(timer.second).hash);
      EXPECT_TRUE(KeyGroupsOf(subtask, 3).Contains(group));
      EXPECT_TRUE(fired.insert(std::move(timer)).second) << "fired twice";
    }
  }
  EXPECT_EQ(fired.size(), 5'000u);
}

TEST_P(KeyedTimersTest, TheKeysThatFireNextAreKnownAhead) {
  for (int i = 0; i < 500; ++i) Set("key " + std::to_string(i), i);
  std::vector<StateKey> keys;
  timers_->DueKeys(kEvent, 299, 100, keys);
  std::vector<std::string> ahead;
  for (const StateKey& key : keys) ahead.emplace_back(key.bytes);
  std::vector<std::string> expected;
  for (int i = 0; i < 100; ++i) expected.push_back("key " + std::to_string(i));
  EXPECT_EQ(ahead, expected);
  timers_->DueKeys(kEvent, 9, 100, keys);
  EXPECT_EQ(keys.size(), 10u);
}

// What a row has set and removed is as if it had not been when the row fails.
TEST_P(KeyedTimersTest, OfARowThatFailsNothingIsLeft) {
  Set("a", 5);
  ASSERT_TRUE(timers_->Set(kEvent, MakeStateKey("a"), 3).ok());
  ASSERT_TRUE(timers_->Remove(kEvent, MakeStateKey("a"), 5).ok());
  row_->Abort();
  timers_->Abort();
  Set("b", 9);
  EXPECT_EQ(timers_->earliest(kEvent), 5);
  EXPECT_EQ(Fire(100).size(), 2u);
}

INSTANTIATE_TEST_SUITE_P(Backends, KeyedTimersTest,
                         ::testing::Values(KeyedBackend::kHeap, KeyedBackend::kRocks),
                         testing::BackendName);

}  // namespace
}  // namespace weir
