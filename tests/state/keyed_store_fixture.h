// One instance of a keyed store beside the model of what it should hold, and random changes to
// both.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "core/codec.h"
#include "tests/state/keyed_backends.h"

namespace weir::testing {

// Counts bytes, and fails when it is told to.
class CountingWriter final : public SnapshotWriter {
 public:
  explicit CountingWriter(SnapshotWriter& below) : below_(below) {}
  StatusOr<StateFile> AddFile(const std::string& path, std::string name) override {
    if (fail_after-- == 0) return absl::ResourceExhaustedError("disk full");
    WEIR_ASSIGN_OR_RETURN(StateFile file, below_.AddFile(path, std::move(name)));
    if (contents.insert(file.content).second) bytes += file.bytes;
    return file;
  }
  StatusOr<StateFile> AddBytes(std::string_view data, std::string name) override {
    if (fail_after-- == 0) return absl::ResourceExhaustedError("disk full");
    bytes += data.size();
    return below_.AddBytes(data, std::move(name));
  }
  std::set<std::string> contents;
  size_t bytes = 0;
  int fail_after = -1;

 private:
  SnapshotWriter& below_;
};

constexpr int kStates = 2;
using Model = std::map<std::tuple<int, std::string, std::string>, std::string>;

// One instance beside the model of what it should hold.
struct Instance {
  Instance(KeyedStoreMaker& maker, int subtask, int parallelism,
           const std::vector<StateSnapshot>& from, SnapshotReader& reader)
      : key_groups(KeyGroupsOf(subtask, parallelism)),
        store(maker.Make("stage", subtask, parallelism, from, reader)) {
    for (int s = 0; s < kStates; ++s) {
      auto id = store->Register("state-" + std::to_string(s), Codec<std::string>::Describe(),
                                Codec<std::string>::Describe(), {});
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

class KeyedStoreModelTest : public ::testing::Test {
 protected:
  explicit KeyedStoreModelTest(KeyedBackend backend) : maker_(backend) {}

  Instance MakeInstance(int subtask, int parallelism, const std::vector<StateSnapshot>& from) {
    return Instance(maker_, subtask, parallelism, from, snapshots_);
  }

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
  KeyedStoreMaker maker_;
  MemorySnapshots snapshots_;
};

}  // namespace weir::testing
