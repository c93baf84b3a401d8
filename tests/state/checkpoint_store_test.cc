#include "state/checkpoint_store.h"

#include <atomic>
#include <fstream>
#include <thread>

#include "tests/state/checkpoint_fixture.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CheckpointStoreTest : public testing::CheckpointTest {
 protected:
  CheckpointStore::Collected Collect() {
    auto collected = store_->CollectGarbage();
    EXPECT_TRUE(collected.ok()) << collected.status();
    return collected.ok() ? *collected : CheckpointStore::Collected{};
  }
};

TEST_F(CheckpointStoreTest, ACheckpointExistsExactlyWhenItsManifestDoes) {
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_EQ(store_->NewestVerified()->manifest, std::nullopt);
  StateFile file = Add(7, "bytes");
  EXPECT_THAT(List(), IsEmpty());
  EXPECT_TRUE(absl::IsNotFound(store_->LoadManifest(7).status()));
  ASSERT_TRUE(store_->WriteManifest(NewManifest(7, {file})).ok());
  EXPECT_TRUE(std::filesystem::exists(ManifestPath(7)));
  EXPECT_THAT(List(), ElementsAre(7));
  ASSERT_TRUE(Complete(10).ok());
  EXPECT_THAT(List(), ElementsAre(7, 10));
  EXPECT_EQ(store_->LoadManifest(7)->stages[0].subtasks[0].keyed_state.inline_bytes, "state 7");
  EXPECT_EQ(store_->NewestVerified()->manifest->checkpoint, 10u);
  EXPECT_EQ(store_->NewestVerified([](CheckpointId id) { return id != 10; })->manifest->checkpoint,
            7u);
  EXPECT_EQ(*store_->MakeReader()->ReadBytes(file), "bytes");
  EXPECT_EQ(Manifest(*store_->LoadManifest(7)).Files()[0].name, "file of 7");
}

TEST_F(CheckpointStoreTest, UploadsOnlyWhatTheLastCompletedCheckpointDoesNotList) {
  const std::string local = dir_ / "local.sst";
  std::ofstream(local) << std::string(5000, 's');
  int uploads = 0, reads = 0;
  disk_.SetFault([&](std::string_view action, const std::string& path) {
    if (action == "rename" && path.find("/files/") != std::string::npos) ++uploads;
    if (action == "open" && path == local) ++reads;
    return absl::OkStatus();
  });
  auto add = [&](CheckpointId id) {
    auto writer = store_->MakeWriter(id);
    auto big = writer->AddFile(local, "local.sst");
    auto small = writer->AddBytes("delta " + std::to_string(id), "delta");
    EXPECT_TRUE(big.ok() && small.ok());
    EXPECT_EQ(big->bytes, std::filesystem::file_size(local));
    return std::vector<StateFile>{*big, *small};
  };
  ASSERT_TRUE(store_->WriteManifest(NewManifest(1, add(1))).ok());
  EXPECT_EQ(std::exchange(uploads, 0), 2);
  EXPECT_EQ(std::exchange(reads, 0), 1) << "hashed; it is linked";
  ASSERT_TRUE(store_->WriteManifest(NewManifest(2, add(2))).ok());
  EXPECT_EQ(std::exchange(uploads, 0), 1) << "the delta alone";
  EXPECT_EQ(std::exchange(reads, 0), 0) << "its hash is remembered";

  // Complete, but without the file: the one after it must upload it anew.
  ASSERT_TRUE(store_->WriteManifest(NewManifest(3)).ok());
  add(4);
  EXPECT_EQ(std::exchange(uploads, 0), 2);
  // 4 was never completed: nothing that it uploaded is relied upon.
  ASSERT_TRUE(store_->WriteManifest(NewManifest(5, add(5))).ok());
  EXPECT_EQ(std::exchange(uploads, 0), 2);

  // A new process relies on what it has verified, and on nothing before that.
  Reopen();
  add(6);
  EXPECT_EQ(std::exchange(uploads, 0), 2);
  Reopen();
  ASSERT_EQ(store_->NewestVerified()->manifest->checkpoint, 5u);
  add(7);
  EXPECT_EQ(std::exchange(uploads, 0), 1);

  // Another content under the same path.
  std::ofstream(local) << std::string(5001, 't');
  add(8);
  EXPECT_EQ(std::exchange(uploads, 0), 2);
}

TEST_F(CheckpointStoreTest, NeverLoadsACheckpointWithAFlippedBitOrAMissingFile) {
  ASSERT_TRUE(Complete(1).ok());
  ASSERT_TRUE(Complete(2).ok());
  const Manifest manifest = *store_->LoadManifest(2);
  const StateFile own = manifest.Files()[0];
  for (const std::string& path : {ManifestPath(2), PathOf(own)}) {
    const std::string good = *ReadFile(RealEnvironment().disk, path);
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      FlipBit(path, bit);
      Status status = store_->Verify(2);
      ASSERT_TRUE(absl::IsDataLoss(status)) << bit << ": " << status;
      ASSERT_THAT(std::string(status.message()), HasSubstr(path));
      if (bit % 64 == 0) {
        Reopen();
        auto newest = store_->NewestVerified();
        ASSERT_TRUE(newest.ok()) << newest.status();
        ASSERT_EQ(newest->manifest->checkpoint, 1u);
        ASSERT_EQ(newest->skipped.size(), 1u);
        ASSERT_EQ(newest->skipped[0].checkpoint, 2u);
      }
      Overwrite(path, good);
    }
    for (size_t size = 0; size < good.size(); ++size) {
      Overwrite(path, good.substr(0, size));
      ASSERT_TRUE(absl::IsDataLoss(store_->Verify(2))) << size;
    }
    Overwrite(path, good + "x");
    ASSERT_TRUE(absl::IsDataLoss(store_->Verify(2)));
    Overwrite(path, good);
    ASSERT_TRUE(store_->Verify(2).ok());
  }

  FlipBit(PathOf(own), 0);
  EXPECT_TRUE(absl::IsDataLoss(store_->MakeReader()->ReadBytes(own).status()));
  EXPECT_TRUE(absl::IsDataLoss(store_->MakeReader()->Fetch(own, dir_ / "fetched")));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "fetched"));
  std::filesystem::remove(PathOf(own));
  Status status = store_->Verify(2);
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("missing"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'own'"));

  // A manifest in the wrong place is no manifest.
  std::filesystem::copy_file(ManifestPath(1), ManifestPath(2),
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(absl::IsDataLoss(store_->LoadManifest(2).status()));
}

TEST_F(CheckpointStoreTest, AStoreThatCannotBeReadIsNoReasonToGoBack) {
  ASSERT_TRUE(Complete(1).ok());
  ASSERT_TRUE(Complete(2).ok());
  disk_.SetFault([&](std::string_view action, const std::string& path) {
    return action == "open" && path == ManifestPath(2) ? absl::UnavailableError("I/O error")
                                                       : absl::OkStatus();
  });
  EXPECT_TRUE(absl::IsUnavailable(store_->NewestVerified().status()));
}

TEST_F(CheckpointStoreTest, SettlesAnUnknownOutcomeByReading) {
  // The rename happened, the sync of its directory did not: the manifest is there.
  StateFile file = Add(1, "bytes");
  disk_.FailFrom("syncdir", 1);  // the first is that of the new folder's name
  EXPECT_TRUE(store_->WriteManifest(NewManifest(1, {file})).ok());
  Mend();
  EXPECT_THAT(List(), ElementsAre(1));

  // It did not happen: the checkpoint is certainly not complete.
  disk_.FailFrom("rename", 0);
  Status failed = store_->WriteManifest(NewManifest(2, {file}));
  EXPECT_TRUE(absl::IsResourceExhausted(failed)) << failed;
  EXPECT_THAT(std::string(failed.message()), HasSubstr("checkpoint 2 is not complete"));
  Mend();
  EXPECT_THAT(List(), ElementsAre(1));

  // Nobody can tell, until the disk can be read again.
  bool renamed = false;
  disk_.SetFault([&](std::string_view action, const std::string&) {
    if (action == "rename") renamed = true;
    bool fails = renamed && (action == "syncdir" || action == "open");
    return fails ? absl::UnavailableError("I/O error") : absl::OkStatus();
  });
  const Manifest third = NewManifest(3, {file});
  EXPECT_EQ(store_->WriteManifest(third).code(), absl::StatusCode::kUnknown);
  EXPECT_EQ(store_->WriteManifest(third).code(), absl::StatusCode::kUnknown);
  Mend();
  EXPECT_TRUE(store_->WriteManifest(third).ok());
  EXPECT_TRUE(store_->WriteManifest(third).ok()) << "may be repeated";
  EXPECT_THAT(List(), ElementsAre(1, 3));

  // Before anything was written a disk that cannot be read is a plain failure.
  disk_.FailFrom("open", 0);
  EXPECT_TRUE(absl::IsResourceExhausted(store_->WriteManifest(NewManifest(4))));
}

TEST_F(CheckpointStoreTest, RefusesANumberThatIsTakenAndFilesThatAreNotThere) {
  ASSERT_TRUE(Complete(1).ok());
  Manifest other = NewManifest(1);
  other.attempt = 9;
  EXPECT_TRUE(absl::IsFailedPrecondition(store_->WriteManifest(other)));
  EXPECT_EQ(store_->LoadManifest(1)->attempt, 0u);

  StateFile lost = Add(2, "lost");
  Reopen();
  std::filesystem::remove(PathOf(lost));
  Status status = store_->WriteManifest(NewManifest(2, {lost}));
  EXPECT_TRUE(absl::IsInternal(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("file of 2"));
  EXPECT_THAT(List(), ElementsAre(1));
}

TEST_F(CheckpointStoreTest, KeepsTheNewestAndWhatTheyList) {
  for (CheckpointId id = 1; id <= 5; ++id) ASSERT_TRUE(Complete(id).ok());
  auto collected = Collect();
  EXPECT_THAT(List(), ElementsAre(3, 4, 5));
  EXPECT_THAT(collected.checkpoints, ElementsAre(2, 1));
  EXPECT_EQ(collected.files, 2u);
  EXPECT_EQ(collected.bytes, 10u);
  ExpectAllVerify();
  EXPECT_EQ(FilesIn("job-1/files").size(), 4u);  // three of their own and the shared one
  EXPECT_FALSE(std::filesystem::exists(dir_ / "job-1/chk-1"));
  EXPECT_EQ(Collect().files, 0u);
}

TEST_F(CheckpointStoreTest, WhatIsNotWantedAnyMoreTakesNoPlaceAmongTheNewest) {
  for (CheckpointId id = 1; id <= 3; ++id) ASSERT_TRUE(Complete(id).ok());
  FlipBit(ManifestPath(3), 100);  // why the job went back to 1
  Reopen();
  auto wanted = [](CheckpointId id) { return id != 2 && id != 3; };
  ASSERT_EQ(store_->NewestVerified(wanted)->manifest->checkpoint, 1u);
  ASSERT_TRUE(Complete(4).ok());
  auto collected = store_->CollectGarbage(wanted);
  ASSERT_TRUE(collected.ok()) << collected.status();
  EXPECT_THAT(collected->checkpoints, ElementsAre(3, 2));
  EXPECT_TRUE(collected->files_kept.ok()) << collected->files_kept;
  EXPECT_EQ(collected->files, 2u);
  EXPECT_THAT(List(), ElementsAre(1, 4));
  ExpectAllVerify();
}

TEST_F(CheckpointStoreTest, KeepsWhatWasUploadedAfterTheLastCompletedCheckpoint) {
  ASSERT_TRUE(Complete(1).ok());
  StateFile aborted = Add(2, "uploaded for an aborted checkpoint");
  StateFile unused = Add(2, "and never listed");
  StateFile in_flight = Add(3, "in flight");
  Collect();
  for (const StateFile& file : {aborted, unused, in_flight}) {
    EXPECT_TRUE(std::filesystem::exists(PathOf(file))) << file.name;
  }
  ASSERT_TRUE(store_->WriteManifest(NewManifest(3, {aborted, in_flight})).ok());
  StateFile next = Add(4, "of the next one");
  Collect();
  ExpectAllVerify();
  EXPECT_FALSE(std::filesystem::exists(PathOf(unused)));
  EXPECT_TRUE(std::filesystem::exists(PathOf(next)));
}

TEST_F(CheckpointStoreTest, NeverCollectsTheCheckpointThatWasRestored) {
  for (CheckpointId id = 1; id <= 5; ++id) ASSERT_TRUE(Complete(id).ok());
  for (CheckpointId id = 3; id <= 5; ++id) {
    std::filesystem::remove(PathOf(store_->LoadManifest(id)->Files()[0]));
  }
  Reopen();
  auto newest = store_->NewestVerified();
  ASSERT_EQ(newest->manifest->checkpoint, 2u);
  EXPECT_EQ(newest->skipped.size(), 3u);
  Collect();
  EXPECT_TRUE(store_->Verify(2).ok());
  // A file that only a broken checkpoint lists is uploaded again.
  ASSERT_TRUE(Complete(6).ok());
  StateFile again = Add(7, "own 5");
  EXPECT_TRUE(std::filesystem::exists(PathOf(again)));
  for (CheckpointId id = 7; id <= 9; ++id) ASSERT_TRUE(Complete(id).ok());
  Collect();
  EXPECT_THAT(List(), ElementsAre(7, 8, 9));
  ExpectAllVerify();
}

TEST_F(CheckpointStoreTest, CollectsNoFileWhileAManifestCannotBeRead) {
  for (CheckpointId id = 1; id <= 4; ++id) ASSERT_TRUE(Complete(id).ok());
  FlipBit(ManifestPath(4), 100);
  Reopen();
  ASSERT_EQ(store_->NewestVerified()->manifest->checkpoint, 3u);
  const size_t files = FilesIn("job-1/files").size();
  auto collected = Collect();
  EXPECT_TRUE(absl::IsDataLoss(collected.files_kept));
  EXPECT_EQ(FilesIn("job-1/files").size(), files);
  EXPECT_THAT(List(), ElementsAre(1, 2, 3, 4)) << "the broken one is not one of the three";
  for (CheckpointId id = 5; id <= 7; ++id) ASSERT_TRUE(Complete(id).ok());
  EXPECT_TRUE(Collect().files_kept.ok());
  EXPECT_THAT(List(), ElementsAre(5, 6, 7));
  EXPECT_EQ(FilesIn("job-1/files").size(), 4u);
}

TEST_F(CheckpointStoreTest, ALeaseKeepsACheckpointUntilItIsGivenBackOrExpires) {
  for (CheckpointId id = 1; id <= 3; ++id) ASSERT_TRUE(Complete(id).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Lease(9, "shadow", Hours(1))));
  EXPECT_THAT(FilesIn("job-1/leases"), IsEmpty());
  ASSERT_TRUE(store_->Lease(1, "shadow", Hours(1)).ok());
  ASSERT_TRUE(store_->Lease(2, "dead", Hours(1)).ok());
  for (CheckpointId id = 4; id <= 8; ++id) ASSERT_TRUE(Complete(id).ok());
  Collect();
  EXPECT_THAT(List(), ElementsAre(1, 2, 6, 7, 8));
  ExpectAllVerify();

  clock_.now += Minutes(59);
  ASSERT_TRUE(store_->Lease(1, "shadow", Hours(1)).ok());
  ASSERT_TRUE(store_->Lease(1, "another", Hours(2)).ok());
  clock_.now += Minutes(2);
  Collect();
  EXPECT_THAT(List(), ElementsAre(1, 6, 7, 8));
  ExpectAllVerify();
  EXPECT_EQ(FilesIn("job-1/leases").size(), 2u);

  ASSERT_TRUE(store_->Lease(1, "shadow", 0).ok());
  Collect();
  EXPECT_THAT(List(), ElementsAre(1, 6, 7, 8)) << "another holds it as well";
  ASSERT_TRUE(store_->Lease(1, "another", 0).ok());
  Collect();
  EXPECT_THAT(List(), ElementsAre(6, 7, 8));
}

TEST_F(CheckpointStoreTest, ALeaseThatCannotBeReadCounts) {
  for (CheckpointId id = 1; id <= 3; ++id) ASSERT_TRUE(Complete(id).ok());
  std::filesystem::create_directories(dir_ / "job-1/leases");
  std::ofstream(dir_ / "job-1/leases/chk-1.abc") << "torn";
  for (CheckpointId id = 4; id <= 5; ++id) ASSERT_TRUE(Complete(id).ok());
  Collect();
  EXPECT_THAT(List(), ElementsAre(1, 3, 4, 5));
}

TEST_F(CheckpointStoreTest, LoadsACheckpointByItsFolder) {
  ASSERT_TRUE(Complete(7).ok());
  const std::string folder = dir_ / "job-1/chk-7";
  for (const std::string& name : {folder, folder + "/"}) {
    auto named = OpenCheckpointFolder(env_, name);
    ASSERT_TRUE(named.ok()) << named.status();
    EXPECT_EQ(named->manifest.checkpoint, 7u);
    EXPECT_EQ(*named->reader->ReadBytes(named->manifest.Files()[0]), "own 7");
  }
  EXPECT_TRUE(absl::IsNotFound(OpenCheckpointFolder(env_, dir_ / "job-1/chk-8").status()));
  EXPECT_TRUE(absl::IsNotFound(OpenCheckpointFolder(env_, "").status()));
  FlipBit(PathOf(store_->LoadManifest(7)->Files()[0]), 3);
  EXPECT_TRUE(absl::IsDataLoss(OpenCheckpointFolder(env_, folder).status()));

  // A savepoint has its files with it, wherever it was moved.
  const std::string saved = dir_ / "elsewhere/sav-7";
  std::filesystem::create_directories(saved);
  FlipBit(PathOf(store_->LoadManifest(7)->Files()[0]), 3);
  std::filesystem::copy(dir_ / "job-1/files", saved + "/files");
  std::filesystem::copy(ManifestPath(7), saved + "/manifest.pb");
  EXPECT_TRUE(OpenCheckpointFolder(env_, saved).ok());
}

// Whatever the interleaving, a file that a writer was promised is there when it is listed.
TEST_F(CheckpointStoreTest, UploadsAndCollectionsMayRunAtOnce) {
  std::atomic<bool> done{false};
  std::thread collector([&] {
    while (!done) EXPECT_TRUE(store_->CollectGarbage().ok());
  });
  for (CheckpointId id = 1; id <= 25; ++id) {
    std::vector<StateFile> files(8);
    std::vector<std::thread> uploaders;
    auto writer = store_->MakeWriter(id);
    for (size_t i = 0; i < files.size(); ++i) {
      uploaders.emplace_back([&, i] {
        // Contents come back after some checkpoints, when they are just being collected.
        auto file = writer->AddBytes("content " + std::to_string((id + i / 2) % 6), "f");
        ASSERT_TRUE(file.ok()) << file.status();
        files[i] = *file;
      });
    }
    for (std::thread& uploader : uploaders) uploader.join();
    if (id % 5 == 0) continue;  // aborted
    ASSERT_TRUE(store_->WriteManifest(NewManifest(id, files)).ok());
    ASSERT_TRUE(store_->Verify(id).ok()) << store_->Verify(id);
  }
  done = true;
  collector.join();
  ExpectAllVerify();
}

}  // namespace
}  // namespace weir
