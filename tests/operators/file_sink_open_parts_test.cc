// Parts that stay open across checkpoints: kills at every action on the disk, restarts at another
// parallelism and returns to older checkpoints leave each line committed exactly once, and the
// output manifest never lists a file that is not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "operators/sinks/part_name.h"
#include "testing/temp_dir.h"
#include "tests/operators/file_sink_job.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

struct OpenJob {
  TempDir dir;
  std::string out = dir / "out";
  std::unique_ptr<Job> job;

  explicit OpenJob(PartCompression compression = PartCompression::kZstd) {
    std::filesystem::create_directories(out);
    job = std::make_unique<Job>(out);
    job->options().part_bytes = 1 << 20;
    job->options().manifest = true;
    job->options().time_partition = "hourly";
    job->options().encoding.compression = compression;
  }
  // What a reader sees, in the folders and by the manifest.
  void ExpectEverything(const std::string& where) {
    EXPECT_EQ(AllCommitted(out), Everything()) << where;
    EXPECT_FALSE(HasPending(out)) << where;
    uint64_t rows = 0;
    std::set<std::string> listed;
    for (const auto& [path, count] : Listed(out)) {
      listed.insert(path);
      rows += count;
    }
    EXPECT_EQ(listed, CommittedFiles(out)) << where;
    EXPECT_EQ(rows, Everything().size()) << where;
  }
  void ExpectListedIsThere(const std::string& where) {
    const std::set<std::string> there = CommittedFiles(out);
    for (const auto& [path, rows] : Listed(out)) EXPECT_TRUE(there.contains(path)) << where;
  }
};

TEST(FileSinkOpenParts, APartTakesUpTheRowsOfManyCheckpoints) {
  OpenJob run;
  ASSERT_TRUE(run.job->RunAttempt().ok());
  run.ExpectEverything("");
  // Two routes, two hours.
  EXPECT_THAT(CommittedFiles(run.out), SizeIs(4));
  EXPECT_THAT(run.job->history()[0].handles, IsEmpty());
  EXPECT_THAT(run.job->history()[0].open_handles, SizeIs(2));
  EXPECT_THAT(run.job->history()[2].open_handles, SizeIs(2)) << "also where nothing was added";
  EXPECT_THAT(run.job->history()[3].open_handles, IsEmpty());
}

TEST(FileSinkOpenParts, DyingAtAnyStepAndGoingOnAtAnotherParallelismCostsNothing) {
  for (const auto& [before, after] : std::vector<std::pair<int, int>>{{1, 1}, {3, 1}, {1, 3}}) {
    int steps = 0;
    for (bool died = true; died; ++steps) {
      const std::string where = std::to_string(before) + " to " + std::to_string(after) +
                                ", step " + std::to_string(steps);
      OpenJob run;
      run.job->DieAt(steps);
      died = !run.job->RunAttempt(before).ok();
      run.job->Live();
      run.ExpectListedIsThere(where);
      if (died) {
        const Status status = run.job->RunAttempt(after);
        ASSERT_TRUE(status.ok()) << where << ": " << status;
      }
      run.ExpectEverything(where);
      if (HasFailure()) return;
    }
    EXPECT_GT(steps, 50);
  }
}

TEST(FileSinkOpenParts, DyingAgainAndAgainCostsNothing) {
  std::mt19937 random(11);
  for (int round = 0; round < 60; ++round) {
    const std::string where = "round " + std::to_string(round);
    OpenJob run(kPartCompressions[round % 3]);
    Status status;
    do {
      run.job->DieAt(static_cast<int>(random() % 80));
      status = run.job->RunAttempt(1 + static_cast<int>(random() % 3));
      run.ExpectListedIsThere(where);
    } while (!status.ok() && run.job->manifest().interval < kIntervals);
    run.job->Live();
    status = run.job->RunAttempt();
    ASSERT_TRUE(status.ok()) << where << ": " << status;
    run.ExpectEverything(where);
  }
}

// To each checkpoint there was: the part that was open there has been written on, ended and
// committed since.
TEST(FileSinkOpenParts, GoingBackToAnyCheckpointIsExactEvenWhenItDiesAtAnyStep) {
  for (int target = 0; target < kIntervals; ++target) {
    int steps = 0;
    for (bool died = true; died; ++steps) {
      const std::string where = "to " + std::to_string(target) + ", step " + std::to_string(steps);
      OpenJob run;
      ASSERT_TRUE(run.job->RunAttempt(2).ok());
      run.job->GoBackTo(target == 0 ? Manifest() : run.job->history()[target - 1]);
      run.job->DieAt(steps);
      died = !run.job->RunAttempt(1).ok();
      run.job->Live();
      run.ExpectListedIsThere(where);
      if (died) {
        const Status status = run.job->RunAttempt(2);
        ASSERT_TRUE(status.ok()) << where << ": " << status;
      }
      run.ExpectEverything(where);
      if (HasFailure()) return;
    }
    EXPECT_GT(steps, 20);
  }
}

TEST(FileSinkOpenParts, GoingBackAgainAndAgainFindsThePartAmongWhatWasRevoked) {
  OpenJob run;
  ASSERT_TRUE(run.job->RunAttempt().ok());
  const std::vector<Manifest> history = run.job->history();
  // Each time the part ends earlier than the time before, and it is copied out of the copy.
  for (int target : {3, 2, 1}) {
    run.job->GoBackTo(history[target - 1]);
    const Status status = run.job->RunAttempt(target);
    ASSERT_TRUE(status.ok()) << status;
    run.ExpectEverything("to " + std::to_string(target));
  }
}

TEST(FileSinkOpenParts, AFullDiskFailsTheAttemptAndNothingIsDoubled) {
  for (const char* action : {"append", "sync", "create", "reopen", "mkdir", "rename"}) {
    for (int n : {0, 1, 3}) {
      const std::string where = action + std::to_string(n);
      OpenJob run;
      run.job->disk().FailFrom(action, n);
      Status status = run.job->RunAttempt();
      if (status.ok()) continue;  // there are fewer such actions
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      // Nor does a restart on the full disk hurt.
      status = run.job->RunAttempt();
      run.ExpectListedIsThere(where);
      run.job->Live();
      if (!status.ok()) status = run.job->RunAttempt();
      ASSERT_TRUE(status.ok()) << where << ": " << status;
      run.ExpectEverything(where);
    }
  }
}

class OneSink : public ::testing::Test {
 protected:
  // A restart that restores what `snapshot` knows.
  Status Restore(const StateSnapshot& snapshot, CheckpointId checkpoint, bool revoke = false) {
    SinkInstance next(options, TestEnvironment(), {.attempt = ++attempt});
    Sink::Recovery recovery{.job_id = "job-1",
                            .restored = checkpoint,
                            .handles = snapshot.handles,
                            .open_handles = snapshot.open_handles};
    for (const std::string& handle : snapshot.handles) {
      WEIR_RETURN_IF_ERROR(next->Commit(handle));
    }
    WEIR_RETURN_IF_ERROR(next->CheckRecovery(recovery));
    recovery.revoke = revoke;
    return next->Recover(recovery);
  }
  std::string PendingFile() {
    for (const std::string& file : FilesBelow(out)) {
      if (file.find(".pending/") != std::string::npos) return out + "/" + file;
    }
    return "";
  }

  TempDir dir;
  const std::string out = dir / "out";
  FileSinkOptions options{.directory = out, .part_bytes = 1 << 20};
  uint32_t attempt = 1;
};

TEST_F(OneSink, ARestoreCommitsExactlyWhatTheCheckpointKnows) {
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const StateSnapshot first = *sink.Snapshot(1);
  EXPECT_THAT(first.handles, IsEmpty());
  ASSERT_TRUE(sink.Write({{"a", "2"}}).ok());
  ASSERT_TRUE(sink.Snapshot(2).ok());
  EXPECT_THAT(Committed(out), IsEmpty());
  for (int repeat = 0; repeat < 2; ++repeat) {
    ASSERT_TRUE(Restore(first, 1).ok());
    EXPECT_THAT(Committed(out), ElementsAre(Pair("a", ElementsAre("1"))));
    EXPECT_EQ(PendingFile(), "");
  }
  EXPECT_EQ(*CommittedFiles(out).begin(), "a/part-job-1.sink.s0.a1.c1.0.jsonl.zst");
}

TEST_F(OneSink, AnotherAttemptsLeftoverIsRemovedAndNoPartOfTheCheckpoint) {
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const StateSnapshot first = *sink.Snapshot(1);
  ASSERT_TRUE(Restore(first, 1).ok());
  SinkInstance second(options, TestEnvironment(), {.attempt = ++attempt});
  ASSERT_TRUE(second.Write({{"a", "lost with its attempt"}}).ok());
  ASSERT_TRUE(second.Snapshot(2).ok()) << "whose manifest was never written";
  ASSERT_TRUE(Restore(first, 1).ok());
  EXPECT_THAT(Committed(out), ElementsAre(Pair("a", ElementsAre("1"))));
  EXPECT_EQ(PendingFile(), "");
}

// Its executor stood still, say, or cannot be reached.
TEST_F(OneSink, WhatAnAttemptWritesThatDoesNotKnowThatItIsOverGoesNowhere) {
  SinkInstance slow(options, TestEnvironment());
  ASSERT_TRUE(slow.Write({{"a", "1"}}).ok());
  const StateSnapshot first = *slow.Snapshot(1);
  ASSERT_TRUE(slow.Write({{"a", "2"}}).ok());
  ASSERT_TRUE(Restore(first, 1).ok());
  slow.Snapshot(2).IgnoreError();  // whatever it comes to
  slow.Write({{"a", "3"}}).IgnoreError();
  slow.Snapshot(3).IgnoreError();
  EXPECT_THAT(Committed(out), ElementsAre(Pair("a", ElementsAre("1"))));
}

TEST_F(OneSink, TheCleanUpOfAnAttemptThatIsOverLeavesAloneWhatALaterOneWrites) {
  SinkInstance slow(options, TestEnvironment(), {.attempt = 2});
  SinkInstance next(options, TestEnvironment(), {.attempt = 3});
  ASSERT_TRUE(next->Recover({.job_id = "job-1"}).ok());
  ASSERT_TRUE(next.Write({{"a", "1"}}).ok());
  next->EndPieces();
  const StateSnapshot first = *next.Snapshot(1);
  ASSERT_TRUE(slow->Recover({.job_id = "job-1"}).ok());
  const Status committed = next->CommitAll(first.handles);
  EXPECT_TRUE(committed.ok()) << committed;
  EXPECT_THAT(Committed(out), ElementsAre(Pair("a", ElementsAre("1"))));
}

TEST_F(OneSink, APendingFileThatIsShorterThanTheCheckpointKnowsIsRefusedBeforeAnythingChanges) {
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const StateSnapshot first = *sink.Snapshot(1);
  const std::string pending = PendingFile();
  std::filesystem::resize_file(pending, std::filesystem::file_size(pending) - 1);
  const std::string before = *ReadFile(TestDisk(), pending);
  const Status status = Restore(first, 1);
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange);
  EXPECT_THAT(status.ToString(), HasSubstr(pending));
  EXPECT_EQ(*ReadFile(TestDisk(), pending), before);
}

TEST_F(OneSink, AStopAndASavepointLeaveNothingOpen) {
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  ASSERT_TRUE(sink.Snapshot(1).ok());
  sink->EndPieces();
  const StateSnapshot savepoint = *sink.Snapshot(2);
  EXPECT_THAT(savepoint.handles, SizeIs(1)) << "though nothing was written since";
  EXPECT_THAT(savepoint.open_handles, IsEmpty());
  ASSERT_TRUE(sink.Write({{"a", "2"}}).ok());
  EXPECT_THAT(sink.Snapshot(3)->open_handles, SizeIs(1)) << "behind a savepoint the job goes on";
}

TEST_F(OneSink, ASubtaskAtTheEndOfItsInputLeavesNothingOpen) {
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  ASSERT_TRUE(sink.Snapshot(1).ok());
  ASSERT_TRUE(sink->Drain(DrainReason::kEndOfInput, sink.out()).ok());
  EXPECT_THAT(sink.Snapshot(2)->handles, SizeIs(1));
  EXPECT_THAT(sink.Snapshot(3)->handles, IsEmpty());
}

TEST_F(OneSink, PartsEndAtTheirSize) {
  options.part_bytes = 2'000;
  options.block_bytes = 500;
  options.encoding.compression = PartCompression::kNone;
  SinkInstance sink(options, TestEnvironment());
  std::vector<std::string> handles;
  for (CheckpointId checkpoint = 1; checkpoint <= 10; ++checkpoint) {
    ASSERT_TRUE(
        sink.Write(std::vector<RoutedLine>(10, RoutedLine("a", std::string(99, 'x')))).ok());
    const StateSnapshot snapshot = *sink.Snapshot(checkpoint);
    handles.insert(handles.end(), snapshot.handles.begin(), snapshot.handles.end());
  }
  ASSERT_THAT(handles, SizeIs(::testing::AllOf(::testing::Ge(2), ::testing::Le(5))));
  for (const std::string& handle : handles) {
    EXPECT_GE(DecodeHandle(handle)->bytes, 2'000u);
    EXPECT_EQ(DecodeHandle(handle)->rows * 100, DecodeHandle(handle)->bytes);
  }
}

TEST_F(OneSink, PartsEndAtTheirAge) {
  class TestClock final : public Clock {
   public:
    Timestamp Now() override { return 0; }
    int64_t MonotonicMicros() override { return micros; }
    int64_t micros = 0;
  } clock;
  Environment env{clock, TestDisk(), RealEnvironment().io, RealEnvironment().random};
  options.part_bytes = 0;
  options.part_time = Minutes(5);
  SinkInstance sink(options, env);
  clock.micros = Minutes(100);
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  EXPECT_THAT(sink.Snapshot(1)->handles, IsEmpty());
  clock.micros += Minutes(4);
  ASSERT_TRUE(sink.Write({{"b", "1"}}).ok());
  EXPECT_THAT(sink.Snapshot(2)->handles, IsEmpty());
  clock.micros += Minutes(1);
  const StateSnapshot snapshot = *sink.Snapshot(3);
  ASSERT_THAT(snapshot.handles, SizeIs(1));
  EXPECT_EQ(DecodeHandle(snapshot.handles[0])->partition, "a");
  EXPECT_THAT(snapshot.open_handles, SizeIs(1));
}

TEST_F(OneSink, TheLeastRecentlyWrittenPartsEndWhereTooManyAreOpen) {
  options.parts_across_max = 2;
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}, {"b", "1"}}).ok());
  EXPECT_THAT(sink.Snapshot(1)->handles, IsEmpty());
  ASSERT_TRUE(sink.Write({{"c", "1"}, {"b", "2"}}).ok());
  const StateSnapshot snapshot = *sink.Snapshot(2);
  ASSERT_THAT(snapshot.handles, SizeIs(1));
  EXPECT_EQ(DecodeHandle(snapshot.handles[0])->partition, "a");
  EXPECT_THAT(snapshot.open_handles, SizeIs(2));
}

TEST_F(OneSink, WhereFilesAreTakenAwayALaterCommitHasPutTheRowsOut) {
  options.can_revoke = false;
  SinkInstance sink(options, TestEnvironment());
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const StateSnapshot first = *sink.Snapshot(1);
  ASSERT_TRUE(sink.Write({{"a", "2"}}).ok());
  sink->EndPieces();
  ASSERT_TRUE(sink.CheckpointAndCommit(2).ok());
  // With --accept-duplicates, whether it was taken away or not.
  ASSERT_TRUE(Restore(first, 1).ok());
  EXPECT_THAT(Committed(out), ElementsAre(Pair("a", ElementsAre("1", "2"))));
  std::filesystem::remove(out + "/" + *CommittedFiles(out).begin());
  ASSERT_TRUE(Restore(first, 1).ok());
  EXPECT_THAT(Committed(out), IsEmpty());
}

TEST_F(OneSink, AnAttemptThatEndsWhileItsCheckpointIsWrittenWaitsForNothing) {
  ManualPool pool;  // nobody runs it
  Environment env{RealEnvironment().clock, TestDisk(), pool, RealEnvironment().random};
  auto sink = std::make_unique<SinkInstance>(options, env);
  ASSERT_TRUE(sink->Write({{"a", "1"}}).ok());
  std::unique_ptr<Frozen> frozen = (**sink).Freeze(1);
  sink.reset();
  NoWriter writer;
  EXPECT_EQ(frozen->Write(writer).status().code(), absl::StatusCode::kCancelled);
}

}  // namespace
}  // namespace weir::testing
