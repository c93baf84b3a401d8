// Savepoints: what is kept of a checkpoint outlives it, and becomes one again.
#include "state/checkpoint_store.h"
#include "tests/state/checkpoint_fixture.h"

namespace weir {
namespace {

using ::testing::ElementsAre;

class SavepointTest : public testing::CheckpointTest {};

TEST_F(SavepointTest, OutlivesTheCheckpointThatItWasMadeOf) {
  const StateFile file = Add(7, "bytes of 7");
  ASSERT_TRUE(store_->WriteManifest(NewManifest(7, {file})).ok());
  const StatusOr<std::string> folder = store_->KeepAsSavepoint(7);
  ASSERT_TRUE(folder.ok()) << folder.status();
  EXPECT_EQ(*store_->KeepAsSavepoint(7), *folder) << "again";
  for (CheckpointId checkpoint = 8; checkpoint < 14; ++checkpoint) {
    ASSERT_TRUE(Complete(checkpoint).ok());
  }
  ASSERT_TRUE(store_->CollectGarbage().ok());
  ASSERT_TRUE(absl::IsNotFound(store_->LoadManifest(7).status()));
  EXPECT_EQ(store_->LoadSavepoint(7)->checkpoint, 7u);

  // By its folder alone, as a user names it.
  const StatusOr<NamedCheckpoint> named = OpenCheckpointFolder(RealEnvironment(), *folder);
  ASSERT_TRUE(named.ok()) << named.status();
  EXPECT_EQ(*named->reader->ReadBytes(file), "bytes of 7");

  ASSERT_TRUE(store_->TakeUpSavepoint(7).ok());
  EXPECT_EQ(store_->LoadManifest(7)->checkpoint, 7u);
  EXPECT_TRUE(store_->Verify(7).ok());
}

TEST_F(SavepointTest, OfACheckpointThatIsNotCompleteThereIsNone) {
  EXPECT_TRUE(absl::IsNotFound(store_->KeepAsSavepoint(7).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->LoadSavepoint(7).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->TakeUpSavepoint(7)));
  EXPECT_THAT(List(), ElementsAre());
}

}  // namespace
}  // namespace weir
