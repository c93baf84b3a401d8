#include "state/id_store.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/state/id_store_fixture.h"

namespace weir::testing {
namespace {

using Verdict = IdStore::Verdict;
using ::testing::HasSubstr;

TEST_F(IdStoreTest, SecondOfTwoEqualIdsIsADuplicateAlsoWithinABatch) {
  auto store = Open(Options());
  std::vector<Fingerprint> ids = {IdOf(1), IdOf(2), IdOf(1), IdOf(3), IdOf(2)};
  std::vector<int64_t> slices = {5, 5, 5, 5, 5};
  std::vector<Verdict> verdicts(5);
  ASSERT_TRUE(store->Accept(ids, slices, verdicts).ok());
  EXPECT_THAT(verdicts,
              ::testing::ElementsAre(Verdict::kAccepted, Verdict::kAccepted, Verdict::kDuplicate,
                                     Verdict::kAccepted, Verdict::kDuplicate));
  EXPECT_EQ(store->size(), 3u);
}

TEST_F(IdStoreTest, ReachIsEightSlicesInBothDirections) {
  auto store = Open(Options());
  EXPECT_EQ(AcceptOne(*store, 1, 100), Verdict::kAccepted);
  EXPECT_EQ(AcceptOne(*store, 1, 108), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*store, 1, 92), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*store, 1, 109), Verdict::kAccepted);
  EXPECT_EQ(AcceptOne(*store, 1, 91), Verdict::kAccepted);
}

TEST_F(IdStoreTest, DuplicatesDoNotExtendTheWindow) {
  auto store = Open(Options());
  EXPECT_EQ(AcceptOne(*store, 1, 0), Verdict::kAccepted);
  EXPECT_EQ(AcceptOne(*store, 1, 8), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*store, 1, 9), Verdict::kAccepted);
}

// A filter knows slices modulo 64: the same id that far away must not be mistaken.
TEST_F(IdStoreTest, SlicesFarApartAreToldApart) {
  auto store = Open(Options());
  for (int64_t slice : {0, 64, 128, -64, 9 * 64}) {
    EXPECT_EQ(AcceptOne(*store, 7, slice), Verdict::kAccepted) << slice;
    EXPECT_EQ(AcceptOne(*store, 7, slice + 8), Verdict::kDuplicate) << slice;
    Checkpoint(*store);
  }
  EXPECT_EQ(AcceptOne(*store, 7, 32), Verdict::kAccepted);
}

TEST_F(IdStoreTest, TimesBefore1970AreCutDownwards) {
  auto store = Open(Options());
  EXPECT_EQ(store->SliceOf(0), 0);
  EXPECT_EQ(store->SliceOf(Seconds(1) - 1), 0);
  EXPECT_EQ(store->SliceOf(-1), -1);
  EXPECT_EQ(store->SliceOf(-Seconds(1)), -1);
  EXPECT_EQ(store->SliceOf(-Seconds(1) - 1), -2);
  EXPECT_EQ(store->StartOf(-2), -Seconds(2));
  EXPECT_EQ(AcceptOne(*store, 1, -4), Verdict::kAccepted);
  EXPECT_EQ(AcceptOne(*store, 1, 4), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*store, 1, 5), Verdict::kAccepted);
}

TEST_F(IdStoreTest, TheEndsOfTimeDoNotOverflow) {
  IdStoreOptions options = Options();
  options.window = 8;
  auto store = Open(std::move(options));
  for (Timestamp time : {kMinTimestamp, kMaxTimestamp}) {
    int64_t slice = store->SliceOf(time);
    EXPECT_EQ(AcceptOne(*store, 1, slice), Verdict::kAccepted);
    EXPECT_EQ(AcceptOne(*store, 1, slice), Verdict::kDuplicate);
  }
  store->RaiseFloor(store->SliceOf(kMinTimestamp) - IdStore::kReach);
  EXPECT_EQ(AcceptOne(*store, 2, store->SliceOf(kMinTimestamp)), Verdict::kAccepted);
  store->RaiseFloor(store->SliceOf(kMaxTimestamp) - IdStore::kReach);
  EXPECT_EQ(AcceptOne(*store, 3, store->SliceOf(0)), Verdict::kLate);
  EXPECT_EQ(AcceptOne(*store, 1, store->SliceOf(kMaxTimestamp)), Verdict::kDuplicate);
}

TEST_F(IdStoreTest, BelowTheFloorIsLateAndTheFloorNeverFalls) {
  auto store = Open(Options());
  EXPECT_EQ(AcceptOne(*store, 1, 10), Verdict::kAccepted);
  store->RaiseFloor(10);
  EXPECT_EQ(AcceptOne(*store, 2, 9), Verdict::kLate);
  EXPECT_EQ(AcceptOne(*store, 1, 9), Verdict::kLate) << "late, although it is known";
  store->RaiseFloor(5);
  EXPECT_EQ(store->floor(), 10);
  EXPECT_EQ(AcceptOne(*store, 2, 9), Verdict::kLate);
  EXPECT_EQ(AcceptOne(*store, 1, 10), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*store, 1, 18), Verdict::kDuplicate) << "kept down to floor - 8";
}

TEST_F(IdStoreTest, SlicesOutOfReachAreFreedFromMemoryAndDisk) {
  auto store = Open(Options());
  const size_t empty = store->memory_bytes();
  std::vector<Fingerprint> ids;
  for (uint64_t i = 0; i < 300'000; ++i) ids.push_back(IdOf(i));
  std::vector<int64_t> slices(ids.size(), 0);
  std::vector<Verdict> verdicts(ids.size());
  ASSERT_TRUE(store->Accept(ids, slices, verdicts).ok());
  StateSnapshot full = Checkpoint(*store);
  EXPECT_EQ(store->size(), 300'000u);
  EXPECT_GT(store->memory_bytes(), empty + 300'000 * 4);
  store->RaiseFloor(8);
  EXPECT_EQ(store->size(), 300'000u) << "slice 0 is within reach of the floor";
  store->RaiseFloor(9);
  EXPECT_EQ(store->size(), 0u);
  auto bytes_of = [](const StateSnapshot& snapshot) {
    uint64_t bytes = 0;
    for (const StateFile& file : snapshot.files) bytes += file.bytes;
    return bytes;
  };
  EXPECT_GT(bytes_of(full), 300'000u * 16);
  EXPECT_LT(bytes_of(Checkpoint(*store)), 100'000u);
}

TEST_F(IdStoreTest, PagedSlicesThatAreNoLongerWrittenToAreMerged) {
  const auto files_after = [this](size_t memory_bytes_max) {
    IdStoreOptions options = Options();
    options.memory_bytes_max = memory_bytes_max;
    auto store = Open(std::move(options));
    uint64_t next = 0;
    for (const int64_t slice : {0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1}) {  // a file each
      EXPECT_EQ(AcceptOne(*store, next++, slice), Verdict::kAccepted);
      Checkpoint(*store);
    }
    const auto files = [&] {
      const StateSnapshot snapshot = Checkpoint(*store);
      return std::count_if(snapshot.files.begin(), snapshot.files.end(),
                           [](const StateFile& file) { return file.name.ends_with(".sst"); });
    };
    if (memory_bytes_max == 0) {
      // RocksDB merges when it likes.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
      while (files() > 7 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    }
    for (uint64_t id = 0; id < next; ++id) {
      EXPECT_EQ(AcceptOne(*store, id, 1), Verdict::kDuplicate);
    }
    return files();
  };
  EXPECT_LE(files_after(/*memory_bytes_max=*/0), 7);
  EXPECT_EQ(files_after(/*memory_bytes_max=*/SIZE_MAX), 12);
}

TEST_F(IdStoreTest, MostDeadIdsLeaveTheFilterWhileOthersStay) {
  IdStoreOptions options = Options();
  options.kept_bytes = 0;
  auto store = Open(std::move(options));
  std::vector<Verdict> verdicts(1000);
  uint64_t next = 0;
  size_t peak = 0;
  for (int64_t slice = 0; slice < 40; ++slice) {
    for (int batch = 0; batch < 20; ++batch) {
      std::vector<Fingerprint> ids;
      for (int i = 0; i < 1000; ++i) ids.push_back(IdOf(next++));
      std::vector<int64_t> slices(ids.size(), slice);
      ASSERT_TRUE(store->Accept(ids, slices, verdicts).ok());
    }
    store->RaiseFloor(slice - 8);
    Checkpoint(*store);
    peak = std::max(peak, store->memory_bytes());
  }
  EXPECT_EQ(store->size(), 17u * 20'000);
  EXPECT_LT(peak, 32u << 20);
}

TEST_F(IdStoreTest, AnEmptyStoreIsCapturedAndRestored) {
  auto store = Open(Options());
  store->RaiseFloor(-3);
  StateSnapshot snapshot = Checkpoint(*store);
  EXPECT_EQ(snapshot.format, "id-store/1");
  for (auto [subtask, parallelism] : {std::pair(0, 1), std::pair(1, 2)}) {
    auto restored = Open(Options(subtask, parallelism), From({snapshot}));
    EXPECT_EQ(restored->floor(), -3);
    EXPECT_EQ(restored->size(), 0u);
    EXPECT_EQ(AcceptOne(*restored, 1, -4), Verdict::kLate);
    EXPECT_EQ(AcceptOne(*restored, 1, -3), Verdict::kAccepted);
  }
}

TEST_F(IdStoreTest, AnAbandonedCheckpointIsContainedInTheNext) {
  auto store = Open(Options());
  AcceptOne(*store, 1, 0);
  store->Freeze(1).reset();
  AcceptOne(*store, 2, 0);
  snapshots_.on_add = [](const std::string&) { return absl::ResourceExhaustedError("full"); };
  EXPECT_EQ(store->Freeze(2)->Write(snapshots_).status().code(),
            absl::StatusCode::kResourceExhausted);
  snapshots_.on_add = nullptr;
  AcceptOne(*store, 3, 0);
  auto restored = Open(Options(), From({Checkpoint(*store)}));
  for (uint64_t id : {1, 2, 3}) EXPECT_EQ(AcceptOne(*restored, id, 8), Verdict::kDuplicate) << id;
  EXPECT_EQ(restored->size(), 3u);
}

TEST_F(IdStoreTest, ACheckpointHoldsNothingAcceptedAfterItsFreeze) {
  auto store = Open(Options());
  AcceptOne(*store, 1, 0);
  auto frozen = store->Freeze(1);
  store->RaiseFloor(-2);
  AcceptOne(*store, 2, 0);
  auto snapshot = frozen->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  auto restored = Open(Options(), From({*snapshot}));
  EXPECT_EQ(restored->floor(), IdStore::kSliceMin);
  EXPECT_EQ(AcceptOne(*restored, 1, 0), Verdict::kDuplicate);
  EXPECT_EQ(AcceptOne(*restored, 2, 0), Verdict::kAccepted);
}

// What the floor frees after a freeze still belongs to the frozen checkpoint.
TEST_F(IdStoreTest, FreeingSlicesDoesNotReachIntoAFrozenCheckpoint) {
  auto store = Open(Options());
  AcceptOne(*store, 1, 0);
  Checkpoint(*store);
  auto frozen = store->Freeze(2);
  store->RaiseFloor(100);
  auto snapshot = frozen->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  auto restored = Open(Options(), From({*snapshot}));
  EXPECT_EQ(AcceptOne(*restored, 1, 0), Verdict::kDuplicate);
}

TEST_F(IdStoreTest, CheckpointsWrittenOutOfOrderAreRefused) {
  auto store = Open(Options());
  AcceptOne(*store, 1, 0);
  auto first = store->Freeze(1);
  AcceptOne(*store, 2, 0);
  auto second = store->Freeze(2);
  EXPECT_TRUE(second->Write(snapshots_).ok());
  EXPECT_EQ(first->Write(snapshots_).status().code(), absl::StatusCode::kAborted);
}

TEST_F(IdStoreTest, UnchangedFilesAreNotStoredAgain) {
  auto store = Open(Options());
  std::vector<Fingerprint> ids;
  for (uint64_t i = 0; i < 100'000; ++i) ids.push_back(IdOf(i));
  std::vector<int64_t> slices(ids.size(), 0);
  std::vector<Verdict> verdicts(ids.size());
  ASSERT_TRUE(store->Accept(ids, slices, verdicts).ok());
  Checkpoint(*store);
  const uint64_t before = snapshots_.bytes_added;
  AcceptOne(*store, 1'000'000, 0);
  Checkpoint(*store);
  EXPECT_LT(snapshots_.bytes_added - before, 20'000u);
}

TEST_F(IdStoreTest, AFrozenCheckpointOutlivesTheStore) {
  auto store = Open(Options());
  AcceptOne(*store, 1, 0);
  auto frozen = store->Freeze(1);
  store.reset();
  auto snapshot = frozen->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  auto restored = Open(Options(), From({*snapshot}));
  EXPECT_EQ(AcceptOne(*restored, 1, 0), Verdict::kDuplicate);
}

TEST_F(IdStoreTest, AnotherWindowIsRefusedByName) {
  auto store = Open(Options());
  StateSnapshot snapshot = Checkpoint(*store);
  IdStoreOptions options = Options();
  options.window = Hours(1);
  Status status = IdStore::Open(std::move(options), From({snapshot})).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("'dedup'"));
  EXPECT_THAT(status.message(), HasSubstr("8s"));
  EXPECT_THAT(status.message(), HasSubstr("1h"));
}

TEST_F(IdStoreTest, AWindowThatCannotBeCutIsRefused) {
  for (Duration window : {Duration{0}, Duration{-8}, Duration{7}, Duration{12}}) {
    IdStoreOptions options = Options();
    options.window = window;
    EXPECT_EQ(IdStore::Open(std::move(options), {}).status().code(),
              absl::StatusCode::kInvalidArgument)
        << window;
  }
}

TEST_F(IdStoreTest, StateOfAnotherFormatOrABrokenHeaderIsRefused) {
  auto store = Open(Options());
  StateSnapshot snapshot = Checkpoint(*store);
  StateSnapshot other = snapshot;
  other.format = "id-store/2";
  EXPECT_EQ(IdStore::Open(Options(), From({other})).status().code(),
            absl::StatusCode::kFailedPrecondition);
  for (size_t keep = 0; keep < snapshot.inline_bytes.size(); ++keep) {
    StateSnapshot torn = snapshot;
    torn.inline_bytes.resize(keep);
    EXPECT_EQ(IdStore::Open(Options(), From({torn})).status().code(), absl::StatusCode::kDataLoss);
  }
  StateSnapshot escaping = snapshot;
  escaping.files[0].name = "../escaped.sst";
  EXPECT_EQ(IdStore::Open(Options(), From({escaping})).status().code(),
            absl::StatusCode::kDataLoss);
  StateSnapshot missing = snapshot;
  missing.files[0].content = "gone";
  EXPECT_FALSE(IdStore::Open(Options(), From({missing})).ok());
}

TEST_F(IdStoreTest, AFullStoreSpillsBlocksAndWakes) {
  ManualPool pool;
  Environment env{RealEnvironment().clock, RealEnvironment().disk, pool, RealEnvironment().random};
  int woken = 0;
  IdStoreOptions options = Options();
  options.env = &env;
  options.wake = [&] { ++woken; };
  options.unwritten_bytes_max = 24 * 100;
  options.kept_bytes = 0;
  auto store = Open(std::move(options));
  uint64_t next = 0;
  auto fill = [&](int n) {
    for (int i = 0; i < n; ++i) ASSERT_EQ(AcceptOne(*store, next++, 3), Verdict::kAccepted);
  };
  fill(99);
  EXPECT_TRUE(*store->Ready());
  EXPECT_EQ(pool.size(), 0u);
  fill(50);
  EXPECT_TRUE(*store->Ready()) << "one generation may be on its way";
  EXPECT_EQ(pool.size(), 1u);
  fill(60);
  EXPECT_FALSE(*store->Ready());
  EXPECT_EQ(woken, 0);
  pool.RunAll();
  EXPECT_EQ(woken, 1);
  EXPECT_TRUE(*store->Ready());
  for (uint64_t id = 0; id < next; ++id) {
    EXPECT_EQ(AcceptOne(*store, id, 11), Verdict::kDuplicate) << id;
  }
  auto restored = Open(Options(), From({Checkpoint(*store)}));
  EXPECT_EQ(restored->size(), next);
  pool.RunAll();
}

TEST_F(IdStoreTest, NoSpillOvertakesAFrozenCheckpoint) {
  ManualPool pool;
  Environment env{RealEnvironment().clock, RealEnvironment().disk, pool, RealEnvironment().random};
  int woken = 0;
  IdStoreOptions options = Options();
  options.env = &env;
  options.wake = [&] { ++woken; };
  options.unwritten_bytes_max = 24 * 10;
  auto store = Open(std::move(options));
  AcceptOne(*store, 0, 0);
  auto frozen = store->Freeze(1);
  for (uint64_t id = 1; id <= 20; ++id) AcceptOne(*store, id, 0);
  EXPECT_FALSE(*store->Ready());
  EXPECT_EQ(pool.size(), 0u);
  auto snapshot = frozen->Write(snapshots_);
  ASSERT_TRUE(snapshot.ok());
  EXPECT_EQ(woken, 1);
  EXPECT_FALSE(!*store->Ready() && pool.size() == 0u) << "now it spills";
  pool.RunAll();
  auto restored = Open(Options(), From({*snapshot}));
  EXPECT_EQ(restored->size(), 1u);
  EXPECT_EQ(AcceptOne(*restored, 1, 0), Verdict::kAccepted);
}

TEST_F(IdStoreTest, AFailedWriteIsReportedAndRepeated) {
  IdStoreOptions options = Options();
  const std::string unfinished = options.local_dir + "/new";
  auto store = Open(std::move(options));
  AcceptOne(*store, 1, 0);
  std::filesystem::remove_all(unfinished);
  EXPECT_FALSE(store->Freeze(1)->Write(snapshots_).ok());
  EXPECT_EQ(AcceptOne(*store, 1, 0), Verdict::kDuplicate);
  auto restored = Open(Options(), From({Checkpoint(*store)}));
  EXPECT_EQ(AcceptOne(*restored, 1, 0), Verdict::kDuplicate);
}

TEST_F(IdStoreTest, AFailedSpillFailsTheTask) {
  ManualPool pool;
  Environment env{RealEnvironment().clock, RealEnvironment().disk, pool, RealEnvironment().random};
  IdStoreOptions options = Options();
  const std::string unfinished = options.local_dir + "/new";
  options.env = &env;
  options.unwritten_bytes_max = 24;
  auto store = Open(std::move(options));
  AcceptOne(*store, 1, 0);
  EXPECT_TRUE(*store->Ready());
  std::filesystem::remove_all(unfinished);
  pool.RunAll();
  EXPECT_THAT(std::string(store->Ready().status().message()), HasSubstr("dedup"));
}

}  // namespace
}  // namespace weir::testing
