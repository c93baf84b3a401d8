#include "runtime/blob_store.h"

#include <gtest/gtest.h>

#include "jobs/parameters.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

class BlobStoreTest : public ::testing::Test {
 protected:
  TempDir dir_;
  BlobStore blobs_{RealEnvironment(), dir_ / "blobs"};
  const std::string sha256_ = Sha256Hex("library");
};

TEST_F(BlobStoreTest, KeepsBytesByTheirHash) {
  EXPECT_TRUE(absl::IsNotFound(blobs_.Find(sha256_).status()));
  ASSERT_TRUE(blobs_.Put(sha256_, "library").ok());
  ASSERT_TRUE(blobs_.Put(sha256_, "library").ok());
  EXPECT_EQ(*blobs_.Read(sha256_), "library");
  EXPECT_EQ(*ReadFile(RealEnvironment().disk, *blobs_.Find(sha256_)), "library");
}

TEST_F(BlobStoreTest, RefusesOtherBytesAndWhatIsNoHash) {
  EXPECT_TRUE(absl::IsInvalidArgument(blobs_.Put(sha256_, "another")));
  for (const std::string& name :
       {std::string(""), std::string("../../etc/passwd"), std::string(64, 'g'),
        std::string(64, 'A'), std::string(63, 'a')}) {
    EXPECT_TRUE(absl::IsInvalidArgument(blobs_.Put(name, "library"))) << name;
    EXPECT_TRUE(absl::IsInvalidArgument(blobs_.Find(name).status())) << name;
  }
  EXPECT_FALSE(Exists(RealEnvironment().disk, dir_ / "blobs"));
}

TEST_F(BlobStoreTest, TellsOfBytesThatHaveChanged) {
  ASSERT_TRUE(blobs_.Put(sha256_, "library").ok());
  ASSERT_TRUE(WriteAtomically(RealEnvironment().disk, *blobs_.Find(sha256_), "librari").ok());
  EXPECT_TRUE(absl::IsDataLoss(blobs_.Read(sha256_).status()));
}

}  // namespace
}  // namespace weir::testing
