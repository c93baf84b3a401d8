// What is particular to keyed state on RocksDB: little memory, large values, TTL, spills.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>

#include "state/keyed_state.h"
#include "testing/operator_bed.h"
#include "tests/state/keyed_store_fixture.h"
#include "tests/support/faulty_disk.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

class RocksKeyedStoreTest : public KeyedStoreModelTest {
 protected:
  RocksKeyedStoreTest() : KeyedStoreModelTest(KeyedBackend::kRocks) {}

  std::unique_ptr<KeyedStore> Open(Environment& env, size_t memory_bytes,
                                   std::function<void()> wake = nullptr,
                                   const std::vector<StateSnapshot>& from = {}) {
    RocksKeyedStoreOptions options;
    options.stage = "totals";
    options.local_dir = dir_ / std::to_string(++stores_);
    options.env = &env;
    options.wake = std::move(wake);
    options.memory_bytes = memory_bytes;
    auto store = MakeRocksKeyedStore(options, RestoreFor(0, 1, from, snapshots_));
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  StateSnapshot SnapshotOf(KeyedStore& store) {
    auto snapshot = store.Freeze(++checkpoint_)->Write(snapshots_);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return *std::move(snapshot);
  }

  TempDir dir_;
  int stores_ = 0;
  CheckpointId checkpoint_ = 0;
};

// The log holds a fraction of the keys, so most reads go to the files, and what was read or written
// is evicted again and again.
TEST_F(RocksKeyedStoreTest, HoldsManyTimesItsMemory) {
  constexpr int kKeys = 300'000;
  constexpr size_t kMemory = 32 << 20;
  std::mutex mutex;
  std::condition_variable changed;
  int wakes = 0;
  auto store = Open(RealEnvironment(), kMemory, [&] {
    std::lock_guard lock(mutex);
    ++wakes;
    changed.notify_all();
  });
  auto counts = ValueState<std::string>::Register(*store, "counts").value();
  std::vector<int> model(kKeys, 0);
  const std::string padding(300, 'x');
  int blocked = 0;
  for (int round = 0; round < 600; ++round) {
    for (;;) {
      std::unique_lock lock(mutex);
      const int before = wakes;
      auto ready = store->Ready();
      ASSERT_TRUE(ready.ok()) << ready.status();
      if (*ready) break;
      ++blocked;
      changed.wait(lock, [&] { return wakes > before; });
    }
    // Half of the rows belong to few keys.
    std::vector<std::string> names;
    for (int i = 0; i < 1000; ++i) {
      names.push_back(std::to_string(random_() % (i % 2 == 0 ? kKeys : 1000)));
    }
    std::vector<StateKey> keys;
    for (const std::string& name : names) keys.push_back(MakeStateKey(name));
    ASSERT_TRUE(counts.Prefetch(keys).ok());
    for (size_t i = 0; i < names.size(); ++i) {
      int& expected = model[static_cast<size_t>(std::stoi(names[i]))];
      auto found = counts.Get(keys[i]);
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_EQ(found->has_value(), expected > 0);
      if (expected > 0) {
        ASSERT_EQ(**found, std::to_string(expected) + padding);
      }
      ASSERT_TRUE(counts.Set(keys[i], std::to_string(++expected) + padding).ok());
    }
    if (round % 100 == 50) SnapshotOf(*store);
    ASSERT_LE(store->memory_bytes(), kMemory);
  }
  EXPECT_GT(store->bytes(), 2 * kMemory);

  const StateSnapshot last = SnapshotOf(*store);
  store = Open(RealEnvironment(), kMemory, nullptr, {last});
  auto restored = ValueState<std::string>::Register(*store, "counts").value();
  int found = 0;
  ASSERT_TRUE(restored
                  .ForEach([&](std::string_view key, std::string value) {
                    ++found;
                    EXPECT_EQ(value, std::to_string(model[std::stoi(std::string(key))]) + padding);
                    return true;
                  })
                  .ok());
  EXPECT_EQ(found, kKeys - std::count(model.begin(), model.end(), 0));
}

TEST_F(RocksKeyedStoreTest, LargeValuesGrowShrinkAndComeBack) {
  auto store = Open(RealEnvironment(), 16 << 20);
  auto values = ValueState<std::string>::Register(*store, "values").value();
  std::map<std::string, std::string> model;
  for (int round = 0; round < 200; ++round) {
    const std::string key = std::to_string(random_() % 20);
    const size_t sizes[] = {0, 10, 60 << 10, (64 << 10) + 1, 1 << 20};
    const std::string value(sizes[random_() % 5], static_cast<char>('a' + round % 26));
    ASSERT_TRUE(values.Set(MakeStateKey(key), value).ok());
    model[key] = value;
    if (round % 7 == 0) SnapshotOf(*store);
    for (const auto& [name, expected] : model) {
      auto found = values.Get(MakeStateKey(name));
      ASSERT_TRUE(found.ok() && found->has_value());
      ASSERT_TRUE(**found == expected);
    }
  }
}

TEST_F(RocksKeyedStoreTest, LargeValuesAreHeldToTheMemory) {
  constexpr size_t kMemory = 64 << 20;
  std::mutex mutex;
  std::condition_variable changed;
  bool woken = false;
  auto store = Open(RealEnvironment(), kMemory, [&] {
    std::lock_guard lock(mutex);
    woken = true;
    changed.notify_all();
  });
  auto values = ValueState<std::string>::Register(*store, "values").value();
  for (int i = 0; i < 600; ++i) {
    for (;;) {
      {
        std::lock_guard lock(mutex);
        woken = false;
      }
      auto ready = store->Ready();
      ASSERT_TRUE(ready.ok()) << ready.status();
      if (*ready) break;
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return woken; });
    }
    ASSERT_TRUE(values.Set(MakeStateKey(std::to_string(i)), std::string(400'000, 'x')).ok());
    ASSERT_LE(store->memory_bytes(), kMemory);
  }
  EXPECT_EQ(values.Get(MakeStateKey("0")).value(), std::string(400'000, 'x'));
}

TEST_F(RocksKeyedStoreTest, WhatIsFrozenOutlivesTheStore) {
  auto store = Open(RealEnvironment(), 64 << 20);
  auto values = ValueState<std::string>::Register(*store, "values").value();
  for (const char* key : {"small", "large"}) {
    ASSERT_TRUE(values.Set(MakeStateKey(key), std::string(key[0] == 's' ? 10 : 1 << 20, 'x')).ok());
  }
  std::unique_ptr<Frozen> frozen = store->Freeze(1);
  store.reset();
  auto snapshot = frozen->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  store = Open(RealEnvironment(), 64 << 20, nullptr, {*snapshot});
  values = ValueState<std::string>::Register(*store, "values").value();
  EXPECT_EQ(values.Get(MakeStateKey("large")).value(), std::string(1 << 20, 'x'));
}

TEST_F(RocksKeyedStoreTest, WhatHasExpiredLeavesTheFiles) {
  ManualClock clock;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  auto store = Open(env, 32 << 20);
  auto seen = ValueState<std::string>::Register(*store, "seen", {.ttl = Minutes(1)}).value();
  auto bytes_of = [](const StateSnapshot& snapshot) {
    uint64_t bytes = 0;
    for (const StateFile& file : snapshot.files) bytes += file.bytes;
    return bytes;
  };
  uint64_t most = 0;
  // Merges are RocksDB's own affair, so that a run of checkpoints is needed to see some.
  for (int round = 0; round < 60; ++round) {
    clock.now += Minutes(2);
    ASSERT_TRUE(store->Ready().value());
    for (int i = 0; i < 1000; ++i) {
      const std::string key = std::to_string(round * 1000 + i);
      ASSERT_TRUE(seen.Set(MakeStateKey(key), std::string(100, 'x')).ok());
    }
    most = std::max(most, bytes_of(SnapshotOf(*store)));
  }
  EXPECT_LT(most, 60u * 1000 * 100 / 2);
}

TEST_F(RocksKeyedStoreTest, SaysWhatIsTooLarge) {
  auto store = Open(RealEnvironment(), 16 << 20);
  auto values = ValueState<std::string>::Register(*store, "values").value();
  Status status = values.Set(MakeStateKey(std::string(limits::kStateKeyBytesMax + 1, 'k')), "v");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'values'"));
  EXPECT_TRUE(values.Set(MakeStateKey(std::string(limits::kStateKeyBytesMax, 'k')), "v").ok());

  // Reading and prefetching such a key harms nobody.
  const std::string huge(1 << 20, 'k');
  const StateKey keys[] = {MakeStateKey("a"), MakeStateKey(huge)};
  EXPECT_TRUE(values.Prefetch(keys).ok());
  EXPECT_EQ(values.Get(keys[0]).value(), std::nullopt);
  EXPECT_TRUE(absl::IsInvalidArgument(values.Get(keys[1]).status()));
}

TEST_F(RocksKeyedStoreTest, EntriesExpireByTheWallClock) {
  ManualClock clock;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  auto store = Open(env, 16 << 20);
  auto seen = ValueState<int64_t>::Register(*store, "seen", {.ttl = Minutes(10)}).value();
  auto items =
      MapState<std::string, int64_t>::Register(*store, "items", {.ttl = Minutes(10)}).value();
  auto for_ever = ValueState<int64_t>::Register(*store, "for-ever").value();
  const StateKey a = MakeStateKey("a");
  ASSERT_TRUE(store->Ready().value());
  ASSERT_TRUE(seen.Set(a, 1).ok());
  ASSERT_TRUE(items.Put(a, "old", 1).ok());
  ASSERT_TRUE(for_ever.Set(a, 1).ok());
  clock.now += Minutes(6);
  ASSERT_TRUE(store->Ready().value());
  ASSERT_TRUE(items.Put(a, "new", 2).ok());
  const StateSnapshot snapshot = SnapshotOf(*store);
  clock.now += Minutes(4);

  for (int restored = 0; restored < 2; ++restored) {
    ASSERT_TRUE(store->Ready().value());
    EXPECT_EQ(seen.Get(a).value(), std::nullopt);
    EXPECT_EQ(items.Get(a, "old").value(), std::nullopt);
    EXPECT_EQ(items.Get(a, "new").value(), 2);
    EXPECT_EQ(for_ever.Get(a).value(), 1);
    std::vector<std::string> keys;
    ASSERT_TRUE(items
                    .ForEach(a,
                             [&](std::string key, int64_t) {
                               keys.push_back(std::move(key));
                               return true;
                             })
                    .ok());
    EXPECT_THAT(keys, ::testing::ElementsAre("new"));
    store = Open(env, 16 << 20, nullptr, {snapshot});
    seen = ValueState<int64_t>::Register(*store, "seen", {.ttl = Minutes(10)}).value();
    items = MapState<std::string, int64_t>::Register(*store, "items", {.ttl = Minutes(10)}).value();
    for_ever = ValueState<int64_t>::Register(*store, "for-ever").value();
  }
  // A clock that jumps back makes nothing come twice or go early.
  clock.now -= Hours(1);
  ASSERT_TRUE(store->Ready().value());
  EXPECT_EQ(items.Get(a, "new").value(), 2);
}

TEST_F(RocksKeyedStoreTest, AChangeOfTheTtlHoldsForWhatIsWrittenFromThenOn) {
  ManualClock clock;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  auto store = Open(env, 16 << 20);
  auto seen = ValueState<int64_t>::Register(*store, "seen").value();
  ASSERT_TRUE(seen.Set(MakeStateKey("kept"), 1).ok());
  store = Open(env, 16 << 20, nullptr, {SnapshotOf(*store)});
  seen = ValueState<int64_t>::Register(*store, "seen", {.ttl = Seconds(1)}).value();
  ASSERT_TRUE(seen.Set(MakeStateKey("short"), 2).ok());
  clock.now += Seconds(1);
  ASSERT_TRUE(store->Ready().value());
  EXPECT_EQ(seen.Get(MakeStateKey("kept")).value(), 1);
  EXPECT_EQ(seen.Get(MakeStateKey("short")).value(), std::nullopt);
}

TEST_F(RocksKeyedStoreTest, RefusesWhatIsNoKeyedState) {
  StateSnapshot other;
  other.format = "rebatch/1";
  Status status = maker_.TryMake("dedup", 0, 1, {other}, snapshots_).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'dedup'"));

  auto store = Open(RealEnvironment(), 16 << 20);
  auto values = ValueState<std::string>::Register(*store, "values").value();
  ASSERT_TRUE(values.Set(MakeStateKey("a"), "b").ok());
  const StateSnapshot good = SnapshotOf(*store);
  for (size_t at = 0; at < good.inline_bytes.size(); ++at) {
    StateSnapshot bad = good;
    bad.inline_bytes.resize(at);
    status = maker_.TryMake("totals", 0, 1, {bad}, snapshots_).status();
    EXPECT_TRUE(absl::IsDataLoss(status)) << at << ": " << status;
  }
  StateSnapshot outside = good;
  outside.files[0].name = "../outside";
  EXPECT_TRUE(absl::IsDataLoss(maker_.TryMake("totals", 0, 1, {outside}, snapshots_).status()));
}

}  // namespace
}  // namespace weir::testing
