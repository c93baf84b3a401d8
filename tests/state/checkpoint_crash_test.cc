// The process dies, or the disk fails, at every single step of a checkpoint and of the collection
// after it.
#include "tests/state/checkpoint_fixture.h"

namespace weir {
namespace {

using ::testing::ElementsAre;

class CheckpointCrashTest : public testing::CheckpointTest {
 protected:
  void RemoveAll() {
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
      std::filesystem::remove_all(entry.path());
    }
  }
  // A job that runs: some checkpoints are complete and one was aborted.
  void Prepare() {
    Mend();
    RemoveAll();
    Reopen(2);
    for (CheckpointId id = 1; id <= 2; ++id) ASSERT_TRUE(Complete(id).ok());
    Add(3, "of an aborted checkpoint");
    ASSERT_TRUE(Complete(5).ok());
  }
};

TEST_F(CheckpointCrashTest,
       DyingAtAnyStepLeavesTheOldOrTheNewCheckpointAndNothingReferencedMissing) {
  int steps = 0;
  for (bool dead = true; dead; ++steps) {
    SCOPED_TRACE(steps);
    ASSERT_LT(steps, 200);
    Prepare();
    KillAfter(steps);
    const Status completed = Complete(6);
    const Status collected = store_->CollectGarbage().status();
    dead = !completed.ok() || !collected.ok();

    Mend();
    Reopen(2);
    ExpectAllVerify();
    auto newest = store_->NewestVerified();
    ASSERT_TRUE(newest.ok()) << newest.status();
    ASSERT_TRUE(newest->manifest.has_value());
    EXPECT_TRUE(newest->skipped.empty());
    EXPECT_GE(newest->manifest->checkpoint, completed.ok() ? 6u : 5u);
    EXPECT_GE(List().size(), 2u);

    // The next process goes on, and in the end no litter is left of the one that died.
    for (CheckpointId id = 7; id <= 8; ++id) ASSERT_TRUE(Complete(id).ok());
    ASSERT_TRUE(store_->CollectGarbage().ok());
    EXPECT_THAT(List(), ElementsAre(7, 8));
    ExpectAllVerify();
    EXPECT_EQ(FilesIn("job-1/files").size(), 3u);
    EXPECT_TRUE(FilesIn(".tmp").empty());
  }
  EXPECT_GT(steps, 15) << "the test sees the steps";
}

TEST_F(CheckpointCrashTest, AnyOneStepMayFailAndTheJobGoesOn) {
  for (const char* action :
       {"create", "append", "sync", "close", "rename", "syncdir", "remove", "mkdir", "open"}) {
    for (int n = 0; n < 12; ++n) {
      SCOPED_TRACE(std::string(action) + " " + std::to_string(n));
      Prepare();
      int seen = 0;
      disk_.SetFault([&](std::string_view a, const std::string& path) {
        if (a != action || seen++ != n) return absl::OkStatus();
        return absl::ResourceExhaustedError("cannot " + std::string(a) + " " + path);
      });
      const Status completed = Complete(6);
      const Status collected = store_->CollectGarbage().status();
      Mend();
      // The same process goes on.
      ExpectAllVerify();
      EXPECT_EQ(completed.ok(), List().back() == 6) << completed;
      for (CheckpointId id = 7; id <= 8; ++id) ASSERT_TRUE(Complete(id).ok());
      ASSERT_TRUE(store_->CollectGarbage().ok());
      EXPECT_THAT(List(), ElementsAre(7, 8));
      ExpectAllVerify();
      EXPECT_EQ(FilesIn("job-1/files").size(), 3u);
      if (seen <= n) break;  // it never came so far
    }
  }
}

}  // namespace
}  // namespace weir
