// Whole jobs in this process: numbers in, a count per key, rows committed with checkpoints; with
// failures, restarts, stops and other parallelisms, every row comes out exactly once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "jobs/stream.h"
#include "state/keyed_state.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/number_job.h"

namespace weir {
namespace {

constexpr int64_t kKeys = 10;

using testing::CountJob;
using testing::kSplits;

class LocalJobTest : public testing::NumberJobTest {
 protected:
  LocalJobTest() : NumberJobTest("count", Milliseconds(20)) { job_ = CountJob(shared_, kKeys); }
};

TEST_F(LocalJobTest, RunsToItsEndAtEveryParallelism) {
  for (int parallelism : {1, 2, 3, 7}) {
    for (bool encode : {false, true}) {
      LocalJobResult result = RunAfresh(parallelism, encode);
      EXPECT_EQ(result.state, RunState::kFinished);
      EXPECT_EQ(result.status.operators[1].completed.records_in, kSplits * shared_->per_split);
      ExpectExactlyOnce(kKeys);
    }
  }
}

TEST_F(LocalJobTest, ATaskThatFailsCostsNothing) {
  for (int parallelism : {1, 3}) {
    shared_->rows_until_failure = 20'000;
    LocalJobResult result = RunAfresh(parallelism);
    EXPECT_EQ(result.state, RunState::kFinished);
    EXPECT_EQ(result.status.restarts, 1);
    EXPECT_THAT(log_, ::testing::HasSubstr("injected"));
    ExpectExactlyOnce(kKeys);
  }
}

TEST_F(LocalJobTest, ACommitThatFailsIsRepeated) {
  options_.parallelism = 2;
  shared_->commits_to_fail = 3;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_GE(result.status.restarts, 1);
  ExpectExactlyOnce(kKeys);
}

TEST_F(LocalJobTest, ACheckpointThatCannotBeWrittenIsNoCheckpoint) {
  options_.parallelism = 2;
  shared_->freezes_to_fail = 2;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_GE(result.status.checkpoints_failed, 1u);
  ExpectExactlyOnce(kKeys);
}

TEST_F(LocalJobTest, AFullDataFolderFailsCheckpointsAndLosesNothing) {
  testing::FaultyDisk disk(RealEnvironment().disk);
  Environment env{RealEnvironment().clock, disk, RealEnvironment().io, RealEnvironment().random};
  std::atomic<int> full = 0;  // writes below the checkpoints that have failed
  disk.SetFault([&](std::string_view action, const std::string& path) -> Status {
    if (action != "append" || path.find("/checkpoints/") == path.npos || full >= 3)
      return absl::OkStatus();
    ++full;
    return absl::ResourceExhaustedError("cannot write to " + path + ": No space left on device");
  });
  env_ = &env;
  options_.parallelism = 2;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_EQ(full, 3);
  EXPECT_GE(result.status.checkpoints_failed, 1u);
  EXPECT_THAT(log_, ::testing::HasSubstr(options_.data_dir));
  EXPECT_THAT(log_, ::testing::HasSubstr("No space left"));
  ExpectExactlyOnce(kKeys);
}

TEST_F(LocalJobTest, ADiskThatIsFullAtTheStartIsNoWrongConfiguration) {
  testing::FaultyDisk disk(RealEnvironment().disk);
  Environment env{RealEnvironment().clock, disk, RealEnvironment().io, RealEnvironment().random};
  disk.FailFrom("mkdir", 0);
  const Status data = LocalJob::Prepare(job_, options_, env).status();
  EXPECT_TRUE(absl::IsResourceExhausted(data)) << data;
  EXPECT_THAT(std::string(data.message()), ::testing::HasSubstr("--data " + options_.data_dir));

  // The output folder, and whatever a stage finds when it looks.
  const std::string out = options_.data_dir + "-out";
  disk.SetFault([&](std::string_view action, const std::string& path) -> Status {
    if (action != "mkdir" || !path.starts_with(out)) return absl::OkStatus();
    return absl::ResourceExhaustedError("cannot make the directory " + path + ": No space left");
  });
  job_.stages.back().writes = out;
  const Status written = LocalJob::Prepare(job_, options_, env).status();
  EXPECT_TRUE(absl::IsResourceExhausted(written)) << written;
  EXPECT_THAT(std::string(written.message()), ::testing::HasSubstr(out + ": No space left"));
  job_.stages.back().writes.clear();
  job_.stages[0].check = [](Environment&, std::string_view) {
    return absl::ResourceExhaustedError("no space");
  };
  const Status checked = LocalJob::Prepare(job_, options_, env).status();
  EXPECT_TRUE(absl::IsResourceExhausted(checked)) << checked;
}

TEST_F(LocalJobTest, StopsAndGoesOnAtAnotherParallelism) {
  StopAtTheFirstCommit();
  options_.parallelism = 2;
  LocalJobResult first = Run();
  EXPECT_EQ(first.state, RunState::kSuspended);
  options_.parallelism = 3;
  LocalJobResult second = Run();
  EXPECT_EQ(second.state, RunState::kSuspended);
  EXPECT_EQ(second.status.restored_from, first.status.last_checkpoint);
  LetItEnd();
  options_.parallelism = 1;
  LocalJobResult third = Run();
  EXPECT_EQ(third.state, RunState::kFinished);
  EXPECT_EQ(third.status.restored_from, second.status.last_checkpoint);
  EXPECT_EQ(third.status.operators[0].completed.records_out, kSplits * shared_->per_split);
  ExpectExactlyOnce(kKeys);
}

TEST_F(LocalJobTest, AFinishedRunIsReportedAndNotRepeated) {
  Run();
  const size_t committed = shared_->committed.size();
  LocalJobResult again = Run();
  EXPECT_TRUE(again.already_finished);
  EXPECT_EQ(again.state, RunState::kFinished);
  EXPECT_EQ(again.status.operators[1].completed.records_in, kSplits * shared_->per_split);
  EXPECT_EQ(shared_->committed.size(), committed);
}

TEST_F(LocalJobTest, AnotherIdentityDoesNotGoOn) {
  StopAtTheFirstCommit();
  EXPECT_EQ(Run().state, RunState::kSuspended);
  options_.identity.parameters["window"] = "1h";
  auto other = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.status().message()),
              ::testing::AllOf(::testing::HasSubstr("--from"), ::testing::HasSubstr("--fresh"),
                               ::testing::HasSubstr("window")));
}

TEST_F(LocalJobTest, TheDataFolderBelongsToOneAtATime) {
  auto first = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_TRUE(first.ok());
  auto second = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace weir
