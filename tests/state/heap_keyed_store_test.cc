#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <thread>

#include "core/codec.h"
#include "state/keyed_store.h"
#include "tests/support/memory_snapshots.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using testing::MemorySnapshots;
using testing::RestoreFor;

// Counts bytes, and fails when it is told to.
class CountingWriter final : public SnapshotWriter {
 public:
  explicit CountingWriter(SnapshotWriter& below) : below_(below) {}
  StatusOr<StateFile> AddFile(const std::string& path, std::string name) override {
    return below_.AddFile(path, std::move(name));
  }
  StatusOr<StateFile> AddBytes(std::string_view data, std::string name) override {
    if (fail_after-- == 0) return absl::ResourceExhaustedError("disk full");
    bytes += data.size();
    return below_.AddBytes(data, std::move(name));
  }
  size_t bytes = 0;
  int fail_after = -1;

 private:
  SnapshotWriter& below_;
};

constexpr int kStates = 2;
using Model = std::map<std::tuple<int, std::string, std::string>, std::string>;

// One instance beside the model of what it should hold.
struct Instance {
  Instance(int subtask, int parallelism, const std::vector<StateSnapshot>& from,
           SnapshotReader& reader)
      : key_groups(KeyGroupsOf(subtask, parallelism)) {
    auto made =
        MakeHeapKeyedStore({"stage", key_groups}, RestoreFor(subtask, parallelism, from, reader));
    EXPECT_TRUE(made.ok()) << made.status();
    store = *std::move(made);
    for (int s = 0; s < kStates; ++s) {
      auto id = store->Register("state-" + std::to_string(s), Codec<std::string>::Describe(),
                                Codec<std::string>::Describe());
      EXPECT_TRUE(id.ok()) << id.status();
      ids.push_back(*id);
    }
  }
  Model Contents() const {
    Model all;
    for (int s = 0; s < kStates; ++s) {
      int last_group = 0;
      EXPECT_TRUE(
          store
              ->ScanAll(ids[s],
                        [&](std::string_view key, std::string_view sub, std::string_view value) {
                          int group = KeyGroupOf(MakeStateKey(key).hash);
                          EXPECT_GE(group, last_group);
                          last_group = group;
                          all[{s, std::string(key), std::string(sub)}] = value;
                          return true;
                        })
              .ok());
    }
    return all;
  }
  KeyGroupRange key_groups;
  std::unique_ptr<KeyedStore> store;
  std::vector<StateId> ids;
};

class HeapKeyedStoreTest : public ::testing::Test {
 protected:
  // A random change to the model and to whichever instance owns the key.
  void Change(std::vector<Instance>& instances, Model& model, int keys) {
    int state = static_cast<int>(random_() % kStates);
    std::string key = "key-" + std::to_string(random_() % keys);
    std::string sub = random_() % 2 ? "" : "sub-" + std::to_string(random_() % 4);
    StateKey state_key = MakeStateKey(key);
    for (Instance& instance : instances) {
      if (!instance.key_groups.Contains(KeyGroupOf(state_key.hash))) continue;
      StateId id = instance.ids[static_cast<size_t>(state)];
      auto known = model.find({state, key, sub});
      auto found = instance.store->Get(id, state_key, sub);
      ASSERT_TRUE(found.ok());
      ASSERT_EQ(found->has_value(), known != model.end()) << key << " " << sub;
      ASSERT_EQ(found->value_or(""), known != model.end() ? known->second : "");
      if (random_() % 3 == 0) {
        ASSERT_TRUE(instance.store->Delete(id, state_key, sub).ok());
        model.erase({state, key, sub});
      } else {
        std::string value = std::string(random_() % 40, 'x') + std::to_string(random_());
        ASSERT_TRUE(instance.store->Put(id, state_key, sub, value).ok());
        model[{state, key, sub}] = value;
      }
      return;
    }
    FAIL() << "nobody owns " << key;
  }

  std::mt19937_64 random_{20240611};
  MemorySnapshots snapshots_;
};

TEST_F(HeapKeyedStoreTest, HoldsTheModelThroughCheckpointsFailuresAndRescaling) {
  for (int keys : {20, 500}) {  // so few that the state stays in the manifest, and files
    Model model;
    Model frozen_model;
    std::vector<StateSnapshot> last;
    CheckpointId checkpoint = 0;
    for (int parallelism : {1, 2, 3, 1, 7}) {
      SCOPED_TRACE(parallelism);
      std::vector<Instance> instances;
      for (int i = 0; i < parallelism; ++i)
        instances.emplace_back(i, parallelism, last, snapshots_);
      model = frozen_model;  // what came after the last checkpoint is lost with the attempt
      for (int round = 0; round < 6; ++round) {
        const int changes = static_cast<int>(random_() % (2 * static_cast<unsigned>(keys)));
        for (int i = 0; i < changes; ++i) Change(instances, model, keys);

        ++checkpoint;
        Model at_barrier = model;
        std::vector<std::unique_ptr<Frozen>> frozen;
        for (Instance& instance : instances) frozen.push_back(instance.store->Freeze(checkpoint));
        for (int i = 0; i < changes / 4; ++i) Change(instances, model, keys);
        std::vector<StateSnapshot> written;
        CountingWriter writer(snapshots_);
        if (round % 3 == 1) writer.fail_after = static_cast<int>(random_() % 3);
        for (auto& f : frozen) {
          // Now and then a frozen generation is thrown away unwritten.
          if (round % 4 == 2 && random_() % 2 == 0) continue;
          auto snapshot = f->Write(writer);
          if (snapshot.ok()) written.push_back(*std::move(snapshot));
        }
        frozen.clear();
        if (written.size() == instances.size()) {
          last = written;
          frozen_model = at_barrier;
        }
        Model all;
        for (Instance& instance : instances) all.merge(instance.Contents());
        ASSERT_EQ(all, model);
      }
    }
    ASSERT_FALSE(last.empty());
  }
}

TEST_F(HeapKeyedStoreTest, AnAbortedCheckpointsDeltaIsListedByTheNext) {
  Instance instance(0, 1, {}, snapshots_);
  for (int i = 0; i < 1000; ++i) {
    std::string key = std::to_string(i);
    ASSERT_TRUE(instance.store->Put(0, MakeStateKey(key), "", std::string(100, 'x')).ok());
  }
  CountingWriter writer(snapshots_);
  auto full = instance.store->Freeze(1)->Write(writer);
  ASSERT_TRUE(full.ok());
  ASSERT_TRUE(instance.store->Put(0, MakeStateKey("1"), "", "one").ok());
  auto aborted = instance.store->Freeze(2)->Write(writer);  // written, but never completed
  ASSERT_TRUE(aborted.ok());
  ASSERT_TRUE(instance.store->Put(0, MakeStateKey("2"), "", "two").ok());
  writer.fail_after = 0;
  EXPECT_TRUE(absl::IsResourceExhausted(instance.store->Freeze(3)->Write(writer).status()));
  writer.fail_after = -1;
  instance.store->Freeze(4).reset();  // never written
  auto next = instance.store->Freeze(5)->Write(writer);
  ASSERT_TRUE(next.ok());

  Instance restored(0, 1, {*next}, snapshots_);
  EXPECT_EQ(**restored.store->Get(0, MakeStateKey("1"), ""), "one");
  EXPECT_EQ(**restored.store->Get(0, MakeStateKey("2"), ""), "two");
  EXPECT_EQ(restored.Contents(), instance.Contents());
}

TEST_F(HeapKeyedStoreTest, WritesOnlyWhatChangedUntilTheChangesOutweighTheBase) {
  Instance instance(0, 1, {}, snapshots_);
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
  Instance instance(0, 1, {}, snapshots_);
  ASSERT_TRUE(instance.store->Put(0, MakeStateKey("split"), "", "position").ok());
  auto snapshot = instance.store->Freeze(1)->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_TRUE(snapshot->files.empty());
  EXPECT_FALSE(snapshot->inline_bytes.empty());
  Instance restored(0, 1, {*snapshot}, snapshots_);
  EXPECT_EQ(restored.Contents(), instance.Contents());
}

TEST_F(HeapKeyedStoreTest, CountsTheBytesItHolds) {
  Instance instance(0, 1, {}, snapshots_);
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

TEST_F(HeapKeyedStoreTest, ChangesWhileAFrozenGenerationIsWrittenByAnotherThread) {
  Model model;
  std::vector<Instance> instances;
  instances.emplace_back(0, 1, std::vector<StateSnapshot>{}, snapshots_);
  for (CheckpointId checkpoint = 1; checkpoint <= 12; ++checkpoint) {
    for (int i = 0; i < 300; ++i) Change(instances, model, 500);
    Model at_barrier = model;
    std::unique_ptr<Frozen> frozen = instances[0].store->Freeze(checkpoint);
    StateSnapshot snapshot;
    std::atomic<bool> done{false};
    std::thread io([&] {
      auto written = frozen->Write(snapshots_);
      ASSERT_TRUE(written.ok());
      snapshot = *std::move(written);
      frozen.reset();
      done = true;
    });
    do {
      for (int i = 0; i < 50; ++i) Change(instances, model, 500);
    } while (!done);
    io.join();
    ASSERT_EQ(instances[0].Contents(), model);
    ASSERT_EQ(Instance(0, 1, {snapshot}, snapshots_).Contents(), at_barrier);
  }
}

TEST_F(HeapKeyedStoreTest, RefusesWhatIsNoKeyedState) {
  StateSnapshot other;
  other.format = "rebatch/1";
  Status status = MakeHeapKeyedStore({"dedup", {}}, RestoreFor(0, 1, {other}, snapshots_)).status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'dedup'"));

  // Any byte may be wrong: never a crash, and what is not accepted is DataLoss.
  Instance instance(0, 1, {}, snapshots_);
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
}  // namespace weir
