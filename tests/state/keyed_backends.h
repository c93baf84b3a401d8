// The backends of keyed state, so that one test holds for all of them.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "core/environment.h"
#include "state/keyed_store.h"
#include "testing/memory_snapshots.h"
#include "testing/temp_dir.h"

namespace weir::testing {

enum class KeyedBackend { kHeap, kRocks };

inline std::string BackendName(const ::testing::TestParamInfo<KeyedBackend>& info) {
  return info.param == KeyedBackend::kHeap ? "Heap" : "Rocks";
}

// Makes stores of one backend, each with a folder of its own where it needs one.
class KeyedStoreMaker {
 public:
  explicit KeyedStoreMaker(KeyedBackend backend) : backend_(backend) {}

  StatusOr<std::unique_ptr<KeyedStore>> TryMake(std::string stage, int subtask, int parallelism,
                                                const std::vector<StateSnapshot>& from,
                                                SnapshotReader& reader) {
    const KeyGroupRange key_groups = KeyGroupsOf(subtask, parallelism);
    const Restore restore = RestoreFor(subtask, parallelism, from, reader);
    if (backend_ == KeyedBackend::kHeap) return MakeHeapKeyedStore({stage, key_groups}, restore);
    RocksKeyedStoreOptions options;
    options.stage = stage;
    options.key_groups = key_groups;
    options.local_dir = dir_.path() + "/" + std::to_string(++stores_);
    options.env = &RealEnvironment();
    options.memory_bytes = memory_bytes;
    return MakeRocksKeyedStore(options, restore);
  }
  std::unique_ptr<KeyedStore> Make(std::string stage, int subtask, int parallelism,
                                   const std::vector<StateSnapshot>& from, SnapshotReader& reader) {
    auto store = TryMake(std::move(stage), subtask, parallelism, from, reader);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }

  size_t memory_bytes = 64 << 20;

 private:
  const KeyedBackend backend_;
  TempDir dir_;
  int stores_ = 0;
};

}  // namespace weir::testing
