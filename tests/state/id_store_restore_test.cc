// The id store while what it restored is not loaded yet, or only in part.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>

#include "state/id_loader.h"
#include "state/id_store.h"
#include "state/id_store_log.h"
#include "tests/state/id_store_fixture.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

// Loads only as far as a test lets it: one chunk for each RunAll().
class IdStoreRestoreTest : public IdStoreTest {
 protected:
  static constexpr uint64_t kIdsPerSlice = IdLoader::kIdsAtOnce + 5'000;  // two chunks

  // A store waits for what it has given to the pool.
  struct EndsWithPool {
    ManualPool* pool;
    void operator()(IdStore* store) const {
      pool->RunAll();
      delete store;
    }
  };
  using Lazy = std::unique_ptr<IdStore, EndsWithPool>;

  Lazy OpenLazy(IdStoreOptions options, const StateSnapshot& snapshot) {
    return {Open(std::move(options), From({snapshot})).release(), {&pool_}};
  }
  Lazy OpenLazy(const StateSnapshot& snapshot) { return OpenLazy(LazyOptions(), snapshot); }
  IdStoreOptions LazyOptions() {
    IdStoreOptions options = Options();
    options.env = &env_;
    options.kept_bytes = 0;
    options.notify = [this] { ++notified_; };
    return options;
  }
  // Ids [first, first + n), all of them in this slice; the verdict that all of them got.
  static Verdict AcceptAll(IdStore& store, uint64_t first, uint64_t n, int64_t slice) {
    std::vector<Fingerprint> ids;
    for (uint64_t id = first; id < first + n; ++id) ids.push_back(IdOf(id));
    const std::vector<int64_t> slices(n, slice);
    std::vector<Verdict> verdicts(n);
    const Status status = store.Accept(ids, slices, verdicts);
    EXPECT_TRUE(status.ok()) << status;
    const auto others =
        static_cast<uint64_t>(n - std::count(verdicts.begin(), verdicts.end(), verdicts.front()));
    EXPECT_EQ(others, 0u) << "of ids from " << first << " in slice " << slice;
    return verdicts.front();
  }
  // A checkpoint with slice s of [0, slices) holding ids [s * kIdsPerSlice, (s + 1) *
  // kIdsPerSlice), in files of several generations.
  StateSnapshot Filled(int64_t slices) {
    auto store = Open(Options());
    StateSnapshot snapshot;
    for (int64_t slice = 0; slice < slices; ++slice) {
      for (uint64_t part = 0; part < 2; ++part) {
        EXPECT_EQ(AcceptAll(*store, slice * kIdsPerSlice + part * kIdsPerSlice / 2,
                            kIdsPerSlice / 2, slice),
                  Verdict::kAccepted);
        snapshot = Checkpoint(*store);
      }
    }
    return snapshot;
  }
  // Of ids [first, first + n) one in seven, 64 in a row: to find one in the files takes
  // microseconds.
  static void ExpectKnown(IdStore& store, uint64_t first, uint64_t n, int64_t slice) {
    for (uint64_t id = first; id < first + n; id += 7 * 64) {
      EXPECT_EQ(AcceptAll(store, id, std::min<uint64_t>(64, first + n - id), slice),
                Verdict::kDuplicate);
    }
  }
  static void ExpectHolds(IdStore& store, int64_t slice) {
    ExpectKnown(store, slice * kIdsPerSlice, kIdsPerSlice, slice);
  }
  // False: everything is loaded.
  bool LoadAChunk(IdStore& store) {
    if (store.unloaded_slices() == 0) return false;
    pool_.RunAll();
    const Status status = store.Load();
    EXPECT_TRUE(status.ok()) << status;
    return true;
  }
  void LoadAll(IdStore& store) {
    while (LoadAChunk(store)) continue;
  }
  // What was accepted is in the files then, and may leave the log.
  void Write(IdStore& store) { Checkpoint(store); }

  ManualPool pool_;
  Environment env_{RealEnvironment().clock, RealEnvironment().disk, pool_,
                   RealEnvironment().random};
  int notified_ = 0;
};

TEST_F(IdStoreRestoreTest, EveryIdIsKnownBeforeWhileAndAfterItIsLoaded) {
  auto store = OpenLazy(Filled(3));
  EXPECT_EQ(store->unloaded_slices(), 3u);
  EXPECT_EQ(store->size(), 3 * kIdsPerSlice);
  const size_t before = store->memory_bytes();
  uint64_t next = 1'000'000;
  size_t chunks = 0;
  do {
    SCOPED_TRACE(chunks);
    for (int64_t slice = 0; slice < 3; ++slice) {
      ExpectHolds(*store, slice);
      EXPECT_EQ(AcceptAll(*store, next, 100, slice), Verdict::kAccepted);
      EXPECT_EQ(AcceptAll(*store, next, 100, slice + 8), Verdict::kDuplicate);
      next += 100;
    }
    ++chunks;
  } while (LoadAChunk(*store));
  EXPECT_EQ(chunks, 7u) << "two chunks a slice";
  EXPECT_EQ(store->paged_slices(), 0);
  EXPECT_EQ(AcceptAll(*store, 1'000'000, next - 1'000'000, 1), Verdict::kDuplicate);
  EXPECT_EQ(store->size(), 3 * kIdsPerSlice + (next - 1'000'000));
  EXPECT_GT(store->memory_bytes(), before + 3 * kIdsPerSlice * 8);
}

TEST_F(IdStoreRestoreTest, ReachIsJudgedAgainstIdsThatAreNotLoaded) {
  auto first = Open(Options());
  ASSERT_EQ(AcceptOne(*first, 1, 100), Verdict::kAccepted);
  const StateSnapshot snapshot = Checkpoint(*first);
  const auto open = [&] { return OpenLazy(snapshot); };
  EXPECT_EQ(AcceptOne(*open(), 1, 108), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*open(), 1, 92), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*open(), 1, 109), Verdict::kAccepted);
  EXPECT_EQ(AcceptOne(*open(), 1, 91), Verdict::kAccepted);
}

TEST_F(IdStoreRestoreTest, ReadyLoadsTooAndTellsWhenThereIsMore) {
  auto store = OpenLazy(Filled(1));
  EXPECT_EQ(notified_, 0);
  pool_.RunAll();
  EXPECT_EQ(notified_, 1);
  ASSERT_TRUE(*store->Ready());
  pool_.RunAll();
  EXPECT_EQ(notified_, 2);
  EXPECT_EQ(store->unloaded_slices(), 1u);
  ASSERT_TRUE(*store->Ready());
  EXPECT_EQ(store->unloaded_slices(), 0u);
  pool_.RunAll();
  EXPECT_EQ(notified_, 2) << "nothing is left to read";
}

// What is written and forgotten while its slice is not loaded must be found when it is.
TEST_F(IdStoreRestoreTest, IdsThatWereWrittenMeanwhileStay) {
  for (int chunks_before = 0; chunks_before < 5; ++chunks_before) {
    SCOPED_TRACE(chunks_before);
    auto store = OpenLazy(Filled(2));
    for (int i = 0; i < chunks_before; ++i) LoadAChunk(*store);
    // More than a chunk of the log in each slice, so that some of it goes.
    constexpr uint64_t kNew = 2 * kIdsPerChunk;
    for (int64_t slice : {0, 1, 5}) {
      EXPECT_EQ(AcceptAll(*store, 1'000'000 + slice * kNew, kNew, slice), Verdict::kAccepted);
    }
    Write(*store);
    const auto expect_all = [&] {
      for (int64_t slice : {0, 1}) ExpectHolds(*store, slice);
      for (int64_t slice : {0, 1, 5}) {
        ExpectKnown(*store, 1'000'000 + slice * kNew, kNew, slice);
      }
    };
    expect_all();
    LoadAll(*store);
    expect_all();
  }
}

TEST_F(IdStoreRestoreTest, ACheckpointWhileLoadingHoldsEverything) {
  StateSnapshot snapshot = Filled(3);
  uint64_t next = 1'000'000;
  // Each restore loads a chunk more than the one before, and ends there.
  for (int chunks = 0; chunks < 7; ++chunks) {
    SCOPED_TRACE(chunks);
    auto store = OpenLazy(snapshot);
    for (int i = 0; i < chunks; ++i) LoadAChunk(*store);
    EXPECT_EQ(AcceptAll(*store, next, 1000, 1), Verdict::kAccepted);
    auto frozen = store->Freeze(1);
    EXPECT_EQ(AcceptAll(*store, next + 1000, 1000, 1), Verdict::kAccepted);
    auto written = frozen->Write(snapshots_);
    ASSERT_TRUE(written.ok()) << written.status();
    snapshot = *std::move(written);
    next += 1000;  // the second thousand is in no checkpoint: it comes again
    pool_.RunAll();
  }
  auto store = Open(Options(), From({snapshot}));
  EXPECT_EQ(store->size(), 3 * kIdsPerSlice + (next - 1'000'000));
  for (int64_t slice = 0; slice < 3; ++slice) ExpectHolds(*store, slice);
  EXPECT_EQ(AcceptAll(*store, 1'000'000, next - 1'000'000, 1), Verdict::kDuplicate);
  EXPECT_EQ(AcceptAll(*store, next, 1000, 1), Verdict::kAccepted);
}

// With the pool's own threads, which are in the middle of something each time.
TEST_F(IdStoreRestoreTest, AStoreMayEndWhileItLoads) {
  const StateSnapshot snapshot = Filled(4);
  std::mt19937_64 random(1);
  for (int round = 0; round < 20; ++round) {
    std::atomic<uint64_t> notified = 0;
    IdStoreOptions options = Options();
    options.notify = [&] {
      notified.fetch_add(1);
      notified.notify_all();
    };
    auto store = Open(std::move(options), From({snapshot}));
    for (uint64_t chunks = random() % 6; notified.load() < chunks;) {
      const uint64_t seen = notified.load();
      if (seen < chunks && store->unloaded_slices() > 0) {
        ASSERT_TRUE(store->Load().ok());
        if (notified.load() == seen) notified.wait(seen);
      }
    }
    ExpectHolds(*store, static_cast<int64_t>(random() % 4));
    EXPECT_EQ(AcceptAll(*store, 1'000'000, 100, 2), Verdict::kAccepted);
    std::unique_ptr<Frozen> frozen = store->Freeze(1);
    store.reset();  // waits for the chunk under way; the frozen generation outlives it
  }
}

TEST_F(IdStoreRestoreTest, SlicesThatTheFloorFreesAreLoadedNoMore) {
  for (int chunks_before = 0; chunks_before < 7; ++chunks_before) {
    SCOPED_TRACE(chunks_before);
    auto store = OpenLazy(Filled(4));
    for (int i = 0; i < chunks_before; ++i) LoadAChunk(*store);
    store->RaiseFloor(2 + IdStore::kReach);  // slices 0 and 1 are out of reach
    EXPECT_LE(store->unloaded_slices(), 2u);
    EXPECT_EQ(store->size(), 2 * kIdsPerSlice);
    Write(*store);
    LoadAll(*store);
    for (int64_t slice : {2, 3}) {
      EXPECT_EQ(AcceptAll(*store, slice * kIdsPerSlice, kIdsPerSlice, slice + IdStore::kReach),
                Verdict::kDuplicate);
    }
    EXPECT_EQ(AcceptAll(*store, 0, 2 * kIdsPerSlice, 10), Verdict::kAccepted);
    store->RaiseFloor(100);
    EXPECT_EQ(store->size(), 0u);
    EXPECT_EQ(store->unloaded_slices(), 0u);
    EXPECT_EQ(AcceptAll(*store, 0, kIdsPerSlice, 100), Verdict::kAccepted);
  }
}

TEST_F(IdStoreRestoreTest, ASweepLeavesASliceThatIsLoadedInPart) {
  auto first = Open(Options());
  EXPECT_EQ(AcceptAll(*first, 0, kIdsPerSlice, 10), Verdict::kAccepted);
  auto store = OpenLazy(Checkpoint(*first));
  LoadAChunk(*store);
  ASSERT_EQ(store->unloaded_slices(), 1u);
  EXPECT_EQ(AcceptAll(*store, 1'000'000, 4 * kIdsPerSlice, 1), Verdict::kAccepted);
  store->RaiseFloor(10);  // frees slice 1, which is most of the filter
  for (int i = 0; i < 20; ++i) AcceptOne(*store, 2'000'000 + i, 10);  // each sweeps some
  LoadAll(*store);
  EXPECT_EQ(AcceptAll(*store, 0, kIdsPerSlice, 10), Verdict::kDuplicate);
}

// The filter knows slices modulo 64.
TEST_F(IdStoreRestoreTest, SlicesThatAreAlikeInTheFilterAreToldApart) {
  auto first = Open(Options());
  for (int64_t slice : {0, 64, 128}) {
    EXPECT_EQ(AcceptAll(*first, slice * 1'000'000, kIdsPerSlice, slice), Verdict::kAccepted);
  }
  auto store = OpenLazy(Checkpoint(*first));
  EXPECT_EQ(AcceptAll(*store, 1, 100, 192), Verdict::kAccepted) << "0 is the same, modulo 64";
  Write(*store);
  do {
    for (int64_t slice : {0, 64, 128}) {
      EXPECT_EQ(AcceptAll(*store, slice * 1'000'000, kIdsPerSlice, slice), Verdict::kDuplicate);
    }
    EXPECT_EQ(AcceptAll(*store, 1, 100, 192), Verdict::kDuplicate);
  } while (LoadAChunk(*store));
}

TEST_F(IdStoreRestoreTest, OnlySlicesThatFitAreLoadedAndTheBudgetHolds) {
  constexpr uint64_t kIds = 400'000;  // of a slice; those of all four take 26 MB of filter
  constexpr size_t kMemoryMax = 20 << 20;
  auto first = Open(Options());
  for (int64_t slice = 0; slice < 4; ++slice) AcceptAll(*first, slice * kIds, kIds, slice);
  IdStoreOptions options = LazyOptions();
  options.memory_bytes_max = kMemoryMax;
  options.unwritten_bytes_max = 1 << 20;
  auto store = OpenLazy(std::move(options), Checkpoint(*first));
  EXPECT_GT(store->paged_slices(), 0);
  EXPECT_GT(store->unloaded_slices(), 1u);
  uint64_t next = 10'000'000;
  size_t most = 0;
  while (LoadAChunk(*store)) {
    ASSERT_TRUE(store->Ready().ok());
    EXPECT_EQ(AcceptAll(*store, next, 1000, 3), Verdict::kAccepted);
    next += 1000;
    if (next % 10'000 == 0) Write(*store);
    most = std::max(most, store->memory_bytes());
  }
  EXPECT_LT(most, kMemoryMax + (4 << 20));  // a region of the filter's may stand beside it
  EXPECT_GT(store->paged_slices(), 0);
  EXPECT_LT(store->paged_slices(), 4) << "nothing was loaded";
  for (int64_t slice = 0; slice < 4; ++slice) ExpectKnown(*store, slice * kIds, kIds, slice);
  EXPECT_EQ(AcceptAll(*store, 10'000'000, next - 10'000'000, 3), Verdict::kDuplicate);
}

// It would fit as it was restored; what comes meanwhile takes the room.
TEST_F(IdStoreRestoreTest, WhatIsNotLoadedYetStaysInTheFilesWhereRoomRunsOut) {
  const StateSnapshot snapshot = Filled(4);
  for (int chunks_before = 0; chunks_before < 8; chunks_before += 3) {
    SCOPED_TRACE(chunks_before);
    IdStoreOptions options = LazyOptions();
    options.memory_bytes_max = 12 << 20;
    options.unwritten_bytes_max = 1 << 20;
    auto store = OpenLazy(std::move(options), snapshot);
    ASSERT_EQ(store->paged_slices(), 0);
    for (int i = 0; i < chunks_before; ++i) LoadAChunk(*store);
    constexpr uint64_t kNew = 400'000;
    for (uint64_t id = 0; id < kNew; id += 20'000) {
      EXPECT_EQ(AcceptAll(*store, 1'000'000 + id, 20'000, 3), Verdict::kAccepted);
      Write(*store);
      EXPECT_TRUE(*store->Ready());
    }
    EXPECT_EQ(store->unloaded_slices(), 0u) << "it gave up";
    EXPECT_GT(store->paged_slices(), 0);
    for (int64_t slice = 0; slice < 4; ++slice) ExpectHolds(*store, slice);
    ExpectKnown(*store, 1'000'000, kNew, 3);
  }
}

TEST_F(IdStoreRestoreTest, AnotherParallelismIsLoadedBehindTheRewrite) {
  const StateSnapshot snapshot = Filled(2);
  for (int subtask = 0; subtask < 2; ++subtask) {
    IdStoreOptions options = LazyOptions();
    options.key_groups = KeyGroupsOf(subtask, 2);
    auto store = OpenLazy(std::move(options), snapshot);
    EXPECT_EQ(store->unloaded_slices(), 2u);
    uint64_t own = 0;
    do {
      own = 0;
      for (uint64_t id = 0; id < 2 * kIdsPerSlice; id += 7) {
        if (SubtaskOf(KeyGroupOf(IdOf(id).high), 2) != subtask) continue;
        ++own;
        ASSERT_EQ(AcceptOne(*store, id, 4), Verdict::kDuplicate) << id;
      }
    } while (LoadAChunk(*store));
    EXPECT_GT(own, 2500u);
  }
}

TEST_F(IdStoreRestoreTest, AFileThatBreaksWhileItIsLoadedFailsTheTask) {
  const StateSnapshot snapshot = Filled(1);
  IdStoreOptions options = LazyOptions();
  const std::string folder = options.local_dir + "/db";
  auto store = OpenLazy(std::move(options), snapshot);
  pool_.RunAll();
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    const auto size = static_cast<int64_t>(std::filesystem::file_size(entry.path()));
    for (int64_t at = 0; at < size; at += 1000) {
      file.seekp(at);
      file.put('\x5a');
    }
  }
  Status status;
  for (int i = 0; i < 3 && status.ok(); ++i) {
    status = store->Load();
    pool_.RunAll();
  }
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("dedup"));
}

}  // namespace
}  // namespace weir::testing
