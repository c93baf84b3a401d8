// Random runs of the id store against its definition: batches, rising floors, checkpoints written
// beside the task, abandoned ones, spills, restores into the same and into other parallelism.
#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

#include "tests/state/id_store_fixture.h"

namespace weir::testing {
namespace {

struct RandomRun {
  const char* name;
  uint64_t seed;
  int steps;
  int batch_rows_max;
  uint64_t ids;  // drawn from so many
  size_t unwritten_bytes_max;
  size_t memory_bytes_max = SIZE_MAX;
};

class IdStoreRandomTest : public IdStoreTest, public ::testing::WithParamInterface<RandomRun> {
 protected:
  void OpenAll(int parallelism, const Restore& restore) {
    stores_open_.clear();
    for (int i = 0; i < parallelism; ++i) {
      IdStoreOptions options = Options(i, parallelism);
      options.unwritten_bytes_max = GetParam().unwritten_bytes_max;
      options.kept_bytes = 0;
      options.memory_bytes_max = GetParam().memory_bytes_max;
      options.wake = [this] {
        std::lock_guard lock(wake_mutex_);
        woken_ = true;
        wake_.notify_all();
      };
      stores_open_.push_back(Open(std::move(options), restore));
      ASSERT_NE(stores_open_.back(), nullptr);
    }
  }
  void WaitUntilReady(IdStore& store) {
    for (;;) {
      {
        std::lock_guard lock(wake_mutex_);
        woken_ = false;
      }
      auto ready = store.Ready();
      ASSERT_TRUE(ready.ok()) << ready.status();
      if (*ready) return;
      std::unique_lock lock(wake_mutex_);
      wake_.wait(lock, [this] { return woken_; });
    }
  }
  int parallelism() const { return static_cast<int>(stores_open_.size()); }

  void RunBatch() {
    struct Part {
      std::vector<Fingerprint> ids;
      std::vector<int64_t> slices;
      std::vector<IdStore::Verdict> wanted;
    };
    std::vector<Part> parts(parallelism());
    int rows = 1 + Draw(GetParam().batch_rows_max);
    for (int i = 0; i < rows; ++i) {
      Fingerprint id = IdOf(Draw(GetParam().ids));
      int64_t slice = now_ + Draw(21) - 14;
      Part& part = parts[SubtaskOf(KeyGroupOf(id.high), parallelism())];
      part.ids.push_back(id);
      part.slices.push_back(slice);
      part.wanted.push_back(model_.Accept(id, slice));
    }
    for (int i = 0; i < parallelism(); ++i) {
      WaitUntilReady(*stores_open_[i]);
      std::vector<IdStore::Verdict> verdicts(parts[i].ids.size());
      Status status = stores_open_[i]->Accept(parts[i].ids, parts[i].slices, verdicts);
      ASSERT_TRUE(status.ok()) << status;
      for (size_t row = 0; row < verdicts.size(); ++row) {
        ASSERT_EQ(verdicts[row], parts[i].wanted[row])
            << "slice " << parts[i].slices[row] << ", floor " << model_.floor() << ", row " << row;
      }
    }
  }

  // Freezes all stores and writes them on another thread while batches go on.
  void TakeCheckpoint(bool restore_it) {
    std::vector<std::unique_ptr<Frozen>> frozen;
    for (auto& store : stores_open_) frozen.push_back(store->Freeze(1));
    IdModel model_then = model_;
    const int64_t now_then = now_;
    std::vector<StateSnapshot> snapshots;
    std::thread writer([&] {
      for (auto& f : frozen) {
        auto snapshot = f->Write(snapshots_);
        ASSERT_TRUE(snapshot.ok()) << snapshot.status();
        snapshots.push_back(*std::move(snapshot));
      }
    });
    for (int64_t i = Draw(4); i > 0 && !HasFatalFailure(); --i) {
      RunBatch();
      Advance();
    }
    writer.join();
    ASSERT_EQ(snapshots.size(), stores_open_.size());
    if (!restore_it) return;
    model_ = std::move(model_then);
    now_ = now_then;
    OpenAll(static_cast<int>(1 + Draw(3)), From(std::move(snapshots)));
    uint64_t size = 0;
    for (auto& store : stores_open_) size += store->size();
    ASSERT_EQ(size, model_.live());
  }

  void Advance() {
    now_ += Draw(3);
    model_.RaiseFloor(now_ - 8);
    for (auto& store : stores_open_) store->RaiseFloor(now_ - 8);
  }
  int64_t Draw(uint64_t n) { return static_cast<int64_t>(random_() % n); }

  std::mt19937_64 random_;
  IdModel model_;
  int64_t now_ = -150;  // goes through 0 on the way
  std::mutex wake_mutex_;
  std::condition_variable wake_;
  bool woken_ = false;
  int paged_most_ = 0;
  std::vector<std::unique_ptr<IdStore>> stores_open_;
};

TEST_P(IdStoreRandomTest, AgreesWithTheDefinition) {
  random_.seed(GetParam().seed);
  OpenAll(1, {});
  for (int step = 0; step < GetParam().steps && !HasFatalFailure(); ++step) {
    SCOPED_TRACE(step);
    switch (Draw(12)) {
      case 0:
      case 1:
        TakeCheckpoint(/*restore_it=*/false);
        break;
      case 2:
        TakeCheckpoint(/*restore_it=*/true);
        break;
      case 3:
        for (auto& store : stores_open_) store->Freeze(1).reset();
        break;
      case 4:
        Advance();
        break;
      default:
        RunBatch();
    }
    for (auto& store : stores_open_) paged_most_ = std::max(paged_most_, store->paged_slices());
  }
  EXPECT_EQ(paged_most_ > 0, GetParam().memory_bytes_max != SIZE_MAX);
}

INSTANTIATE_TEST_SUITE_P(Runs, IdStoreRandomTest,
                         ::testing::Values(RandomRun{"Crumbs", 1, 80, 20, 50, 64 << 20},
                                           RandomRun{"FewIds", 2, 50, 500, 300, 64 << 20},
                                           RandomRun{"Spills", 3, 40, 2000, 20'000, 100'000},
                                           RandomRun{"ManyIds", 4, 20, 20'000, 1'000'000, 2 << 20},
                                           // A filter that forgot, in the middle of a batch, why an
                                           // id had to wait, let a later one pass in its stead.
                                           RandomRun{"Forgets", 5, 60, 2000, 20'000, 100'000},
                                           RandomRun{"Paged", 5, 60, 2000, 20'000, 100'000, 0},
                                           RandomRun{"SomePaged", 6, 40, 20'000, 500'000, 1 << 20,
                                                     8 << 20}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace weir::testing
