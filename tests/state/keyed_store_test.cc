// What holds for every backend of keyed state.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/state/keyed_store_fixture.h"

namespace weir::testing {
namespace {

class KeyedStoreTest : public KeyedStoreModelTest,
                       public ::testing::WithParamInterface<KeyedBackend> {
 protected:
  KeyedStoreTest() : KeyedStoreModelTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Backends, KeyedStoreTest,
                         ::testing::Values(KeyedBackend::kHeap, KeyedBackend::kRocks), BackendName);

TEST_P(KeyedStoreTest, HoldsTheModelThroughCheckpointsFailuresAndRescaling) {
  for (int keys : {20, 500}) {  // so few that the state stays in the manifest, and files
    Model model;
    Model frozen_model;
    std::vector<StateSnapshot> last;
    CheckpointId checkpoint = 0;
    for (int parallelism : {1, 2, 3, 1, 7}) {
      SCOPED_TRACE(parallelism);
      std::vector<Instance> instances;
      for (int i = 0; i < parallelism; ++i) instances.push_back(MakeInstance(i, parallelism, last));
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

TEST_P(KeyedStoreTest, AnAbortedCheckpointsChangesAreInTheNext) {
  Instance instance = MakeInstance(0, 1, {});
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

  Instance restored = MakeInstance(0, 1, {*next});
  EXPECT_EQ(**restored.store->Get(0, MakeStateKey("1"), ""), "one");
  EXPECT_EQ(**restored.store->Get(0, MakeStateKey("2"), ""), "two");
  EXPECT_EQ(restored.Contents(), instance.Contents());
}

TEST_P(KeyedStoreTest, ChangesWhileAFrozenGenerationIsWrittenByAnotherThread) {
  Model model;
  std::vector<Instance> instances;
  instances.push_back(MakeInstance(0, 1, {}));
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
    ASSERT_EQ(MakeInstance(0, 1, {snapshot}).Contents(), at_barrier);
  }
}

}  // namespace
}  // namespace weir::testing
