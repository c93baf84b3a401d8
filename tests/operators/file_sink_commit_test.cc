// What a file sink does with parts that lie on the disk: commit, clean up, take back; and the check
// before a job starts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <thread>

#include "operators/sinks/file_sink.h"
#include "testing/temp_dir.h"
#include "tests/operators/file_sink_harness.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

TEST(FileSinkCommit, CommitIsIdempotentWhoeverCallsIt) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  SinkInstance other({.directory = dir / "elsewhere"}, TestEnvironment(),
                     {.attempt = 2, .subtask = 3});
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(1);
  ASSERT_EQ(handles->size(), 1u);
  EXPECT_TRUE(other->Commit(handles->front()).ok());
  EXPECT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_TRUE(other->Commit(handles->front()).ok());
  EXPECT_THAT(Committed(dir / "out"), ElementsAre(Pair("a", ElementsAre("1"))));
}

TEST(FileSinkCommit, ConcurrentCommitsOfOneHandleAllSucceed) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  for (int round = 1; round <= 20; ++round) {
    ASSERT_TRUE(sink.Write({{"a", std::to_string(round)}}).ok());
    const auto handles = sink.Checkpoint(round);
    std::vector<std::thread> threads;
    std::vector<Status> results(4);
    for (Status& result : results) {
      threads.emplace_back([&] { result = sink->Commit(handles->front()); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const Status& result : results) EXPECT_TRUE(result.ok()) << result;
  }
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 20u);
}

TEST(FileSinkCommit, CommitSaysWhatHappenedToAPartThatIsGone) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(4);
  for (const std::string& file : FilesBelow(dir / "out")) {
    std::filesystem::remove(dir / "out" + "/" + file);
  }
  const Status status = sink->Commit(handles->front());
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(status.ToString(),
              AllOf(HasSubstr("/a/part-job-1.sink.s0.a1.c4.0.jsonl.zst"),
                    HasSubstr("/a/.pending/part-job-1.sink.s0.a1.0.jsonl.zst.pending")));
}

TEST(FileSinkCommit, WhereFilesAreTakenAwayACommittedPartMayBeGone) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out", .can_revoke = false}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(4);
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  for (const std::string& file : FilesBelow(dir / "out")) {
    std::filesystem::remove(dir / "out" + "/" + file);
  }
  EXPECT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_EQ(sink->Recover({"job-1", 3, true}).code(), absl::StatusCode::kUnimplemented);
  EXPECT_TRUE(sink->Recover({"job-1", 4, false}).ok());
  // Without the folder of what is pending nobody can tell.
  std::filesystem::remove_all(dir / "out");
  EXPECT_EQ(sink->Commit(handles->front()).code(), absl::StatusCode::kOutOfRange);
}

TEST(FileSinkCommit, TellsTheLastCheckpointThatCommitted) {
  TempDir dir;
  const FileSinkOptions options{.directory = dir / "out"};
  SinkInstance sink(options, TestEnvironment());
  auto last = [&](std::string_view job, std::string_view stage) {
    return *LastCommittedCheckpoint(options, TestEnvironment(), job, stage);
  };
  EXPECT_EQ(last("job-1", "sink"), 0u);
  for (CheckpointId checkpoint : {4, 7}) {
    ASSERT_TRUE(sink.Write({{"a", "1"}, {"b", "2"}}).ok());
    const auto handles = sink.Checkpoint(checkpoint);
    if (checkpoint == 7) {
      EXPECT_EQ(last("job-1", "sink"), 4u) << "pending parts do not count";
    }
    for (const std::string& handle : *handles) ASSERT_TRUE(sink->Commit(handle).ok());
  }
  EXPECT_EQ(last("job-1", "sink"), 7u);
  EXPECT_EQ(last("job-1", "another"), 0u);
  EXPECT_EQ(last("job-2", "sink"), 0u);
  ASSERT_TRUE(sink->Recover({"job-1", 4, true}).ok());
  EXPECT_EQ(last("job-1", "sink"), 4u) << "revoked parts do not count";
}

TEST(FileSinkCommit, CommitRefusesATornPendingFile) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", std::string(1000, 'x')}}).ok());
  const auto handles = sink.Checkpoint(1);
  const std::string pending = dir / "out" + "/" + FilesBelow(dir / "out")[0];
  std::filesystem::resize_file(pending, std::filesystem::file_size(pending) - 3);
  const Status status = sink->Commit(handles->front());
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(status.ToString(), HasSubstr(pending));
  EXPECT_THAT(Committed(dir / "out"), IsEmpty());
}

TEST(FileSinkCommit, CommitRefusesHandlesThatAreDamagedOrOfAnotherVersion) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const std::string handle = sink.Checkpoint(1)->front();
  for (size_t n = 0; n < handle.size(); ++n) {
    EXPECT_EQ(sink->Commit(handle.substr(0, n)).code(), absl::StatusCode::kDataLoss) << n;
  }
  EXPECT_EQ(sink->Commit(handle + "x").code(), absl::StatusCode::kDataLoss);
  std::string newer = handle;
  newer.replace(newer.find("file-sink/2"), 11, "file-sink/9");
  EXPECT_THAT(sink->Commit(newer).ToString(), HasSubstr("file-sink/9"));
  std::string evil = handle;
  evil.replace(evil.find("job-1"), 5, "../..");
  EXPECT_EQ(sink->Commit(evil).code(), absl::StatusCode::kDataLoss);
}

TEST(FileSinkCommit, RecoverRemovesOwnPendingFilesOnly) {
  TempDir dir;
  std::vector<std::unique_ptr<SinkInstance>> instances;
  const FileSinkOptions options{.directory = dir / "out"};
  for (const SinkPlace& place : std::vector<SinkPlace>{{.attempt = 1},
                                                       {.attempt = 2, .subtask = 7},
                                                       {.job_id = "job"},
                                                       {.job_id = "job-1-sink"},
                                                       {.stage = "sink-2"}}) {
    auto& sink =
        instances.emplace_back(std::make_unique<SinkInstance>(options, TestEnvironment(), place));
    ASSERT_TRUE(sink->Write({{"a", "1"}}).ok());
    ASSERT_TRUE(sink->Checkpoint(1).ok());
  }
  for (const char* name : {"notes.txt", "part-job-1.sink.s0.a1.jsonl.zst.pending",
                           "part-job-1.sink.s0.a1.00.jsonl.zst.pending"}) {
    std::ofstream(dir / "out/a/.pending/" + name) << "mine";
  }
  SinkInstance next(options, TestEnvironment(), {.attempt = 3});
  ASSERT_TRUE(next->Recover({.job_id = "job-1", .restored = 0}).ok());
  EXPECT_THAT(FilesBelow(dir / "out"),
              UnorderedElementsAre("a/.pending/notes.txt",
                                   "a/.pending/part-job-1.sink.s0.a1.jsonl.zst.pending",
                                   "a/.pending/part-job-1.sink.s0.a1.00.jsonl.zst.pending",
                                   "a/.pending/part-job.sink.s0.a1.0.jsonl.zst.pending",
                                   "a/.pending/part-job-1-sink.sink.s0.a1.0.jsonl.zst.pending",
                                   "a/.pending/part-job-1.sink-2.s0.a1.0.jsonl.zst.pending"));
}

TEST(FileSinkCommit, RecoverOfAFolderThatIsNotThereDoesNothing) {
  TempDir dir;
  SinkInstance sink({.directory = dir / "out"}, TestEnvironment());
  EXPECT_TRUE(sink->Recover({.job_id = "job-1", .restored = 1, .revoke = true}).ok());
  EXPECT_FALSE(std::filesystem::exists(dir / "out"));
}

TEST(FileSinkCommit, RevokesWhatLaterCheckpointsCommitted) {
  TempDir dir;
  const FileSinkOptions options{.directory = dir / "out"};
  SinkInstance other(options, TestEnvironment(), {.job_id = "other"});
  ASSERT_TRUE(other.Write({{"a", "theirs"}}).ok());
  ASSERT_TRUE(other.CheckpointAndCommit(9).ok());
  SinkInstance sink(options, TestEnvironment());
  std::vector<std::string> last;
  for (int c = 1; c <= 3; ++c) {
    ASSERT_TRUE(sink.Write({{"a", std::to_string(c)}, {"b" + std::to_string(c), "x"}}).ok());
    last = *sink.Checkpoint(c);
    for (const std::string& handle : last) ASSERT_TRUE(sink->Commit(handle).ok());
  }
  SinkInstance next(options, TestEnvironment(), {.attempt = 2});
  ASSERT_TRUE(next->Recover({.job_id = "job-1", .restored = 1}).ok());
  EXPECT_EQ(Committed(dir / "out")["a"].size(), 4u) << "only where it was asked for";
  for (int repeat = 0; repeat < 2; ++repeat) {
    ASSERT_TRUE(next->Recover({.job_id = "job-1", .restored = 1, .revoke = true}).ok());
    EXPECT_THAT(Committed(dir / "out"),
                ElementsAre(Pair("a", ElementsAre("1", "theirs")), Pair("b1", ElementsAre("x"))));
  }
  EXPECT_THAT(FilesBelow(dir / "out/a/.revoked"),
              ElementsAre(::testing::StartsWith("part-job-1.sink.s0.a1.c2."),
                          ::testing::StartsWith("part-job-1.sink.s0.a1.c3.")));
  const Status status = next->Commit(last.front());
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.ToString(), AllOf(HasSubstr("revoked"), HasSubstr("/.revoked/part-")));
}

TEST(FileSinkCommit, RevokesBesideARevokedFileOfTheSameName) {
  TempDir dir;
  const FileSinkOptions options{.directory = dir / "out"};
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "new"}}).ok());
  ASSERT_TRUE(sink.CheckpointAndCommit(2).ok());
  const std::string name = "part-job-1.sink.s0.a1.c2.0.jsonl.zst";
  std::filesystem::create_directories(dir / "out/a/.revoked");
  std::ofstream(dir / "out/a/.revoked/" + name) << "old";
  ASSERT_TRUE(sink->Recover({.job_id = "job-1", .restored = 0, .revoke = true}).ok());
  EXPECT_THAT(FilesBelow(dir / "out/a/.revoked"), ElementsAre(name, name + ".2"));
  EXPECT_EQ(*ReadFile(TestDisk(), dir / "out/a/.revoked/" + name), "old");
  EXPECT_EQ(Decompress(dir / "out/a/.revoked/" + name + ".2"), "new\n");
}

TEST(FileSinkCommit, RefusesNamesThatCannotStandInAFileName) {
  TempDir dir;
  for (const SinkPlace& place : std::vector<SinkPlace>{
           {.job_id = "a.b"}, {.job_id = ""}, {.stage = "a/b"}, {.stage = "ä"}}) {
    SinkInstance sink({.directory = dir / "out"}, TestEnvironment(), place);
    EXPECT_EQ(sink.opened().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(CheckFileSink, MakesTheFolderAndLeavesNothingInIt) {
  TempDir dir;
  ASSERT_TRUE(CheckFileSink({.directory = dir / "x/y/out/"}, TestEnvironment(), "job-1").ok());
  EXPECT_TRUE(std::filesystem::is_directory(dir / "x/y/out"));
  EXPECT_THAT(FilesBelow(dir.path()), IsEmpty());
}

TEST(CheckFileSink, NamesTheFolderThatCannotBeMade) {
  TempDir dir;
  std::ofstream(dir / "file") << "x";
  const Status status = CheckFileSink({.directory = dir / "file/out"}, TestEnvironment(), "job-1");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.ToString(), HasSubstr(dir / "file/out"));
}

TEST(CheckFileSink, RefusesAFolderWithCommittedFilesOfAnotherJob) {
  TempDir dir;
  const FileSinkOptions options{.directory = dir / "out"};
  SinkInstance sink(options, TestEnvironment(), {.job_id = "first"});
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(1);
  EXPECT_TRUE(CheckFileSink(options, TestEnvironment(), "second").ok()) << "pending ones may stay";
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_TRUE(CheckFileSink(options, TestEnvironment(), "first").ok());
  const Status status = CheckFileSink(options, TestEnvironment(), "second");
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.ToString(), AllOf(HasSubstr("'first'"), HasSubstr(dir / "out"),
                                       HasSubstr("another folder"), HasSubstr("remove")));
  ASSERT_TRUE(sink->Recover({.job_id = "first", .restored = 0, .revoke = true}).ok());
  EXPECT_TRUE(CheckFileSink(options, TestEnvironment(), "second").ok()) << "revoked ones too";
}

}  // namespace
}  // namespace weir::testing
