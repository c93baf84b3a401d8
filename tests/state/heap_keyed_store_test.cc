#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/state/keyed_store_fixture.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

class HeapKeyedStoreTest : public KeyedStoreModelTest {
 protected:
  HeapKeyedStoreTest() : KeyedStoreModelTest(KeyedBackend::kHeap) {}
};

TEST_F(HeapKeyedStoreTest, WritesOnlyWhatChangedUntilTheChangesOutweighTheBase) {
  Instance instance = MakeInstance(0, 1, {});
  CountingWriter writer(snapshots_);
  for (int i = 0; i < 20'000; ++i) {
    std::string key = std::to_string(i);
    ASSERT_TRUE(instance.store->Put(0, MakeStateKey(key), "", std::string(100, 'x')).ok());
  }
  ASSERT_TRUE(instance.store->Freeze(1)->Write(writer).ok());
  const size_t full = writer.bytes;
  EXPECT_GT(full, 20'000u * 100);

  size_t files_max = 0;
  int rewrites = 0;
  for (CheckpointId checkpoint = 2; checkpoint < 50; ++checkpoint) {
    for (int i = 0; i < 1000; ++i) {
      std::string key = std::to_string(random_() % 20'000);
      ASSERT_TRUE(instance.store->Put(0, MakeStateKey(key), "", std::string(100, 'y')).ok());
    }
    writer.bytes = 0;
    auto snapshot = instance.store->Freeze(checkpoint)->Write(writer);
    ASSERT_TRUE(snapshot.ok());
    files_max = std::max(files_max, snapshot->files.size());
    uint64_t listed = 0;
    for (const StateFile& file : snapshot->files) listed += file.bytes;
    EXPECT_LT(listed, full * 5 / 2);
    if (writer.bytes > full / 2) {
      ++rewrites;
    } else {
      EXPECT_LT(writer.bytes, 1000u * 140);
    }
  }
  EXPECT_GE(rewrites, 1);
  EXPECT_LE(rewrites, 4);
  EXPECT_LE(files_max, 25u);
}

TEST_F(HeapKeyedStoreTest, SmallStateNeedsNoFiles) {
  Instance instance = MakeInstance(0, 1, {});
  ASSERT_TRUE(instance.store->Put(0, MakeStateKey("split"), "", "position").ok());
  auto snapshot = instance.store->Freeze(1)->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(snapshot->files.empty());
  EXPECT_FALSE(snapshot->inline_bytes.empty());
  Instance restored = MakeInstance(0, 1, {*snapshot});
  EXPECT_EQ(restored.Contents(), instance.Contents());
}

TEST_F(HeapKeyedStoreTest, CountsTheBytesItHolds) {
  Instance instance = MakeInstance(0, 1, {});
  const uint64_t empty = instance.store->bytes();
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 500; ++i) {
      std::string key = std::to_string(i);
      ASSERT_TRUE(instance.store->Put(0, MakeStateKey(key), "", std::string(1000, 'x')).ok());
    }
    EXPECT_GE(instance.store->bytes(), 500'000u);
    EXPECT_LE(instance.store->bytes(), 1'300'000u);  // at most two tiers hold a key for long
    ASSERT_TRUE(instance.store->Freeze(static_cast<CheckpointId>(round))->Write(snapshots_).ok());
  }
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 500; ++i) {
      std::string key = std::to_string(i);
      ASSERT_TRUE(instance.store->Delete(0, MakeStateKey(key), "").ok());
    }
    ASSERT_TRUE(instance.store->Freeze(10)->Write(snapshots_).ok());
  }
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(instance.store->Delete(0, MakeStateKey("x"), "").ok());
  EXPECT_EQ(instance.store->bytes(), empty);
}

TEST_F(HeapKeyedStoreTest, RefusesWhatIsNoKeyedState) {
  StateSnapshot other;
  other.format = "rebatch/1";
  Status status = MakeHeapKeyedStore({"dedup", {}}, RestoreFor(0, 1, {other}, snapshots_)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'dedup'"));

  // Any byte may be wrong: never a crash, and what is not accepted is DataLoss.
  Instance instance = MakeInstance(0, 1, {});
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(instance.store->Put(0, MakeStateKey(std::to_string(i)), "sub", "some value").ok());
  }
  auto snapshot = instance.store->Freeze(1)->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  const std::string good = snapshot->inline_bytes;
  for (size_t at = 0; at < good.size(); ++at) {
    StateSnapshot bad = *snapshot;
    if (at % 2) {
      bad.inline_bytes[at] ^= static_cast<char>(1 << (at % 8));
    } else {
      bad.inline_bytes.resize(at + 1);
      bad.inline_bytes[at] = '\xff';
    }
    auto store = MakeHeapKeyedStore({"dedup", {}}, RestoreFor(0, 1, {bad}, snapshots_));
    EXPECT_TRUE(store.ok() || absl::IsDataLoss(store.status())) << store.status();
  }
}

}  // namespace
}  // namespace weir::testing
