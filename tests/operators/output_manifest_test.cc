#include "operators/sinks/output_manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.h"
#include "testing/temp_dir.h"
#include "tests/operators/file_sink_job.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

class OutputManifestTest : public ::testing::Test {
 protected:
  OutputManifestTest() { std::filesystem::create_directories(out); }

  Part PartOf(uint64_t checkpoint) {
    Part part;
    part.directory = out;
    part.partition = "a";
    part.job_id = "job-1";
    part.stage = "sink";
    part.checkpoint = checkpoint;
    part.sequence = checkpoint;
    part.bytes = 10 * checkpoint;
    part.rows = checkpoint;
    part.min_time = -1;
    part.max_time = 1'000'000;
    return part;
  }
  std::unique_ptr<OutputManifest> Open(Disk& disk = TestDisk(), uint32_t attempt = 1) {
    auto manifest = std::make_unique<OutputManifest>(disk, out, "job-1", "sink", attempt);
    const Status status = manifest->Open();
    EXPECT_TRUE(status.ok()) << status;
    return manifest;
  }
  size_t Files() { return FilesBelow(out + "/.manifest").size(); }

  TempDir dir;
  const std::string out = dir / "out";
};

TEST_F(OutputManifestTest, SaysWhatThereIsToKnowOfAPart) {
  auto manifest = Open();
  EXPECT_FALSE(manifest->exists());
  ASSERT_TRUE(manifest->Add(3, {PartOf(3)}).ok());
  EXPECT_EQ(*ReadFile(TestDisk(), out + "/.manifest/job-1.sink.0000000001.jsonl"),
            "{\"manifest\":1,\"job\":\"job-1\",\"stage\":\"sink\",\"checkpoint\":3}\n"
            "{\"part\":\"a/part-job-1.sink.s0.a0.c3.3.jsonl.zst\",\"bytes\":30,\"rows\":3,"
            "\"min_time\":\"1969-12-31T23:59:59.999999Z\",\"max_time\":\"1970-01-01T00:00:01."
            "000000Z\",\"checkpoint\":3}\n");
}

// Its executor stood still, say, and goes on.
TEST_F(OutputManifestTest, AnAttemptThatDoesNotKnowThatItIsOverTakesNothingAway) {
  auto slow = Open();
  ASSERT_TRUE(slow->Add(1, {PartOf(1)}).ok());
  auto next = Open(TestDisk(), 2);
  Part open_then = PartOf(2);
  open_then.subtask = 7;
  ASSERT_TRUE(next->Add(2, {PartOf(2), open_then}).ok());
  ASSERT_TRUE(next->Add(3, {PartOf(3)}).ok());
  ASSERT_TRUE(slow->Add(2, {PartOf(2)}).ok());
  EXPECT_THAT(Listed(out), SizeIs(4));
  for (uint64_t c = 4; c < 4 + limits::kOutputManifestFilesMax; ++c) {
    ASSERT_TRUE(slow->Add(c, {PartOf(c)}).ok());  // merges behind the other's back
  }
  ASSERT_TRUE(next->Add(100, {PartOf(100)}).ok());
  EXPECT_THAT(Listed(out), SizeIs(5 + limits::kOutputManifestFilesMax));
  EXPECT_EQ(FilesBelow(out + "/.manifest").back().find(".tmp"), std::string::npos);
}

TEST_F(OutputManifestTest, ListsAPartOnceHoweverOftenItIsAdded) {
  ASSERT_TRUE(Open()->Add(1, {PartOf(1)}).ok());
  ASSERT_TRUE(Open()->Add(2, {PartOf(2)}).ok());
  ASSERT_TRUE(Open()->Add(2, {PartOf(2)}).ok());
  EXPECT_EQ(Files(), 2u);
  // A restore of the same checkpoint may commit more.
  Part more = PartOf(2);
  more.subtask = 7;
  ASSERT_TRUE(Open()->Add(2, {PartOf(2), more}).ok());
  EXPECT_THAT(Listed(out), SizeIs(3));  // which fails at a part that is listed twice
}

TEST_F(OutputManifestTest, WhatIsRevokedIsListedNoMoreAndMayComeAgain) {
  auto manifest = Open();
  for (uint64_t c : {1, 2, 3}) ASSERT_TRUE(manifest->Add(c, {PartOf(c)}).ok());
  ASSERT_TRUE(manifest->Revoke(1, {PartOf(2), PartOf(3)}).ok());
  ASSERT_TRUE(manifest->Revoke(1, {PartOf(3)}).ok()) << "an interrupted call is repeated";
  EXPECT_THAT(Listed(out), ElementsAre(Pair("a/" + PartOf(1).CommittedName(), 1)));
  ASSERT_TRUE(Open()->Add(3, {PartOf(3)}).ok());
  EXPECT_THAT(Listed(out), SizeIs(2));
  for (uint64_t c = 4; c < 4 + limits::kOutputManifestFilesMax; ++c) {
    ASSERT_TRUE(manifest->Open().ok());
    ASSERT_TRUE(manifest->Add(c, {PartOf(c)}).ok());
  }
  EXPECT_THAT(Listed(out), SizeIs(2 + limits::kOutputManifestFilesMax));
}

TEST_F(OutputManifestTest, StaysSmall) {
  auto manifest = Open();
  constexpr uint64_t kCheckpoints = 1'000;
  for (uint64_t c = 1; c <= kCheckpoints; ++c) {
    ASSERT_TRUE(manifest->Add(c, {PartOf(c)}).ok());
    ASSERT_LE(Files(), limits::kOutputManifestFilesMax + 1u);
  }
  EXPECT_THAT(Listed(out), SizeIs(kCheckpoints));
  ASSERT_TRUE(manifest->Add(kCheckpoints, {PartOf(kCheckpoints)}).ok());
  EXPECT_THAT(Listed(out), SizeIs(kCheckpoints));
}

TEST_F(OutputManifestTest, AMergeThatDiesAtAnyStepLosesNothing) {
  constexpr uint64_t kLast = limits::kOutputManifestFilesMax;
  int steps = 0;
  for (bool died = true; died; ++steps) {
    std::filesystem::remove_all(out);
    std::filesystem::create_directories(out);
    FaultyDisk disk(TestDisk());
    {
      auto manifest = Open(disk);
      for (uint64_t c = 1; c < kLast; ++c) ASSERT_TRUE(manifest->Add(c, {PartOf(c)}).ok());
      auto count = std::make_shared<int>(0);
      disk.SetFault([=](std::string_view, const std::string&) -> Status {
        return (*count)++ < steps ? absl::OkStatus() : absl::UnavailableError("dead");
      });
      died = !manifest->Add(kLast, {PartOf(kLast)}).ok();
    }
    EXPECT_GE(Listed(out).size(), kLast - 1) << "step " << steps;
    disk.SetFault(nullptr);
    ASSERT_TRUE(Open(disk)->Add(kLast, {PartOf(kLast)}).ok());
    EXPECT_THAT(Listed(out), SizeIs(kLast)) << "step " << steps;
    ASSERT_TRUE(Open(disk)->Add(kLast + 1, {PartOf(kLast + 1)}).ok());
    EXPECT_THAT(Listed(out), SizeIs(kLast + 1)) << "step " << steps;
  }
  EXPECT_GT(steps, 70);
}

TEST_F(OutputManifestTest, KeepsItsHandsOffOthersFiles) {
  std::filesystem::create_directories(out + "/.manifest");
  const std::vector<std::string> others = {"job-1.sink-2.0000000001.jsonl",
                                           "job.sink.0000000001.jsonl", "job-1.sink.1x.jsonl",
                                           "notes.jsonl"};
  for (const std::string& name : others) {
    ASSERT_TRUE(WriteAtomically(TestDisk(), out + "/.manifest/" + name, "mine\n").ok());
  }
  auto manifest = Open();
  EXPECT_FALSE(manifest->exists());
  ASSERT_TRUE(manifest->Add(1, {PartOf(1)}).ok());
  ASSERT_TRUE(manifest->Remove().ok());
  EXPECT_THAT(FilesBelow(out + "/.manifest"), SizeIs(others.size()));
}

TEST_F(OutputManifestTest, BeginsWithWhatWasCommittedBeforeAndGoesWhenItIsNotKept) {
  FileSinkOptions options{.directory = out};
  SinkInstance without(options, TestEnvironment());
  ASSERT_TRUE(without.Write({{"a", "1"}}).ok());
  ASSERT_TRUE(without.CheckpointAndCommit(1).ok());
  ASSERT_TRUE(without.Write({{"a", "2"}}).ok());
  const auto handles = without.Checkpoint(2);
  ASSERT_TRUE(without->Commit(handles->front()).ok());
  options.manifest = true;
  SinkInstance with(options, TestEnvironment(), {.attempt = 2});
  ASSERT_TRUE(with->Recover({.job_id = "job-1", .restored = 2, .handles = *handles}).ok());
  EXPECT_THAT(Listed(out), ElementsAre(Pair("a/part-job-1.sink.s0.a1.c1.0.jsonl.zst", 0),
                                       Pair("a/part-job-1.sink.s0.a1.c2.1.jsonl.zst", 1)))
      << "of the earlier one the rows are not known";
  options.manifest = false;
  SinkInstance again(options, TestEnvironment(), {.attempt = 3});
  ASSERT_TRUE(again->Recover({.job_id = "job-1", .restored = 2}).ok());
  EXPECT_THAT(Listed(out), IsEmpty());
  EXPECT_THAT(CommittedFiles(out), SizeIs(2));
}

}  // namespace
}  // namespace weir::testing
