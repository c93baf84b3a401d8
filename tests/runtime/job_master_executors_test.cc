// JobMaster with several executors: who is told what, and what it takes until all have answered.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/job_master_fixture.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobMasterExecutorsTest : public JobMasterTest {
 protected:
  JobMasterExecutorsTest() {
    graph_.stages.push_back({.name = "sink", .kind = "print", .role = StageRole::kSink});
    graph_.edges.push_back({.from = 0, .to = 1});
    options_.parallelism = 3;
    host_.executors = 2;
  }

  // Forgets what was sent before.
  std::vector<int> SentTo() { return std::exchange(host_.sent_to, {}); }
  void From(int executor, runtime::ToCoordinator message) {
    message.set_attempt(host_.record.attempt);
    master_->OnMessage(executor, message, now_);
  }
  void RunAll() {
    Start();
    for (int subtask = 0; subtask < 3; ++subtask) {
      runtime::ToCoordinator message;
      message.mutable_task_opened()->mutable_task()->set_subtask(subtask);
      From(subtask == 0 ? 0 : 1, message);
    }
    Recovered();
  }
  void CommittedBy(int executor, std::string handle) {
    runtime::ToCoordinator message;
    message.mutable_committed()->set_checkpoint(host_.record.last_checkpoint);
    runtime::StageHandles& stage = *message.mutable_committed()->add_stages();
    stage.set_stage(1);
    stage.add_handles(std::move(handle));
    From(executor, message);
  }
  void CanceledBy(int executor) {
    runtime::ToCoordinator message;
    message.mutable_canceled();
    From(executor, message);
  }
  void CheckpointUntilManifest() {
    now_ += Seconds(10);
    Tick();
    for (int subtask = 0; subtask < 3; ++subtask) Ack(subtask, 5);
    master_->OnManifestOutcome(host_.record.last_checkpoint, absl::OkStatus());
  }
  void Lose(int executor, const JobMaster::Loss& loss) {
    master_->OnExecutorLost(host_.record.attempt, executor, loss, now_);
  }
};

TEST_F(JobMasterExecutorsTest, EachIsToldItsSubtasksAndWhereTheOthersAre) {
  master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
  master_->Start(now_);
  ASSERT_THAT(host_.started, ElementsAre(std::pair(5u, 2)));
  EXPECT_TRUE(host_.sent.empty()) << "they have yet to start";
  master_->OnExecutorsStarted(4, {"old:1", "old:2"});
  EXPECT_TRUE(host_.sent.empty()) << "another attempt's";
  master_->OnExecutorsStarted(5, {"a:1", "b:2"});
  EXPECT_THAT(SentTo(), ElementsAre(0, 1));
  for (uint32_t executor = 0; executor < 2; ++executor) {
    const runtime::Deploy& deploy = host_.sent[executor].deploy();
    EXPECT_EQ(deploy.executor(), executor);
    ASSERT_EQ(deploy.executors_size(), 2);
    EXPECT_EQ(deploy.executors(0).address(), "a:1");
    EXPECT_EQ(deploy.executors(0).first_subtask(), 0u);
    EXPECT_EQ(deploy.executors(0).subtasks(), 1u);
    EXPECT_EQ(deploy.executors(1).address(), "b:2");
    EXPECT_EQ(deploy.executors(1).first_subtask(), 1u);
    EXPECT_EQ(deploy.executors(1).subtasks(), 2u);
  }
}

TEST_F(JobMasterExecutorsTest, EveryPartOfAJobHasExecutorsOfItsOwn) {
  graph_.stages[1].part = "b";
  master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
  master_->Start(now_);
  ASSERT_THAT(host_.started, ElementsAre(std::pair(5u, 2))) << "of each part";
  master_->OnExecutorsStarted(5, {"a:1", "a:2", "b:1", "b:2"});
  EXPECT_THAT(SentTo(), ElementsAre(0, 1, 2, 3));
  const runtime::Deploy deploy = host_.Last().deploy();
  ASSERT_EQ(deploy.executors_size(), 4);
  for (const int part : {0, 1}) {
    const runtime::ExecutorPlace& first = deploy.executors(2 * part);
    const runtime::ExecutorPlace& second = deploy.executors(2 * part + 1);
    EXPECT_EQ(first.part(), static_cast<uint32_t>(part));
    EXPECT_EQ(first.first_subtask(), 0u);
    EXPECT_EQ(second.part(), static_cast<uint32_t>(part));
    EXPECT_EQ(second.first_subtask(), 1u);
    EXPECT_EQ(first.subtasks() + second.subtasks(), 3u);
  }
  for (const int group : {0, 1}) {
    for (const int subtask : {0, 1, 2}) {
      runtime::ToCoordinator opened;
      opened.set_attempt(5);
      opened.mutable_task_opened()->mutable_task()->set_group(group);
      opened.mutable_task_opened()->mutable_task()->set_subtask(subtask);
      master_->OnMessage(2 * group, opened, now_);
    }
  }
  ASSERT_TRUE(host_.Last().has_recover_sinks());
  EXPECT_EQ(host_.sent_to.back(), 2) << "who has the sinks";
}

TEST_F(JobMasterExecutorsTest, TheOneOfSubtaskZeroCleansUpAndAllStart) {
  Start();
  SentTo();
  RunAll();
  EXPECT_EQ(State(), "RUNNING");
  EXPECT_TRUE(host_.Last().has_start_input());
  EXPECT_EQ(host_.sent_to.back(), 1);
}

TEST_F(JobMasterExecutorsTest, ACheckpointIsOverWhenAllHaveCommittedAndTheSinksHaveBeenTold) {
  RunAll();
  CheckpointUntilManifest();
  SentTo();
  CommittedBy(1, "of 1");
  CommittedBy(1, "of 1");
  EXPECT_TRUE(SentTo().empty()) << "one of them twice is not both";
  CommittedBy(0, "of 0");
  EXPECT_THAT(SentTo(), ElementsAre(0));
  const runtime::FinishCommit finish = host_.Last().finish_commit();
  EXPECT_EQ(finish.checkpoint(), 10u);
  std::vector<std::string> handles;
  for (const runtime::StageHandles& stage : finish.stages()) {
    handles.insert(handles.end(), stage.handles().begin(), stage.handles().end());
  }
  EXPECT_THAT(handles, ElementsAre("of 1", "of 0"));
  EXPECT_EQ(host_.collections, 0);
  runtime::ToCoordinator finished;
  finished.mutable_commit_finished()->set_checkpoint(10);
  From(0, finished);
  EXPECT_EQ(host_.collections, 1);
}

TEST_F(JobMasterExecutorsTest, NoCheckpointIsTakenWhileGarbageIsCollected) {
  RunAll();
  CheckpointUntilManifest();
  CommittedBy(0, "a");
  CommittedBy(1, "b");
  runtime::ToCoordinator finished;
  finished.mutable_commit_finished()->set_checkpoint(10);
  From(0, finished);
  now_ += Seconds(20);
  Tick();
  EXPECT_EQ(host_.record.last_checkpoint, 10u);
  master_->OnGarbageCollected(now_);
  EXPECT_EQ(host_.record.last_checkpoint, 11u);
}

TEST_F(JobMasterExecutorsTest, ALostOneEndsTheAttemptOfAll) {
  RunAll();
  SentTo();
  Lose(1, {absl::UnavailableError("executor 1 was ended by SIGKILL"), ""});
  EXPECT_THAT(SentTo(), ElementsAre(0)) << "nobody talks to the dead";
  EXPECT_TRUE(host_.Last().has_cancel());
  Lose(1, {absl::UnavailableError("again"), ""});
  now_ += Seconds(60);
  Tick();
  EXPECT_EQ(host_.started.size(), 1u) << "executor 0 still runs";
  CanceledBy(0);
  now_ += Seconds(60);
  Tick();
  EXPECT_EQ(host_.started.size(), 2u);
  EXPECT_THAT(host_.log, HasSubstr("executor 1 was ended by SIGKILL"));
  EXPECT_EQ(host_.record.crashes, 0u) << "a kill is no crash";
}

TEST_F(JobMasterExecutorsTest, TheLostOneTellsMoreThanWhoMissedIt) {
  RunAll();
  runtime::ToCoordinator missed;
  missed.mutable_task_failed()->set_code(static_cast<int>(absl::StatusCode::kUnavailable));
  missed.mutable_task_failed()->set_message("executor 1 closed the connection");
  From(0, missed);
  Lose(1, {absl::UnavailableError("executor 1 was ended by SIGKILL"), "", /*by_itself=*/true});
  Lose(0, {absl::UnavailableError("executor 0 did not end in time"), ""});
  EXPECT_THAT(host_.log, HasSubstr("attempt 5 failed: executor 1 was ended by SIGKILL"));
}

TEST_F(JobMasterExecutorsTest, AllLostWhileTheyStartIsAnotherAttempt) {
  master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
  master_->Start(now_);
  Lose(0, {absl::UnavailableError("did not connect in time"), ""});
  Lose(1, {absl::UnavailableError("not needed any more"), ""});
  master_->OnExecutorsStarted(5, {"a:1", "b:2"});  // too late
  now_ += Seconds(60);
  master_->Tick(now_);
  ASSERT_EQ(host_.started.size(), 2u);
  EXPECT_EQ(host_.started[1].first, 6u);
}

TEST_F(JobMasterExecutorsTest, CrashesInARowEndTheJobAndACheckpointEndsTheRow) {
  options_.restarts_max = 100;
  Start();
  const auto crash = [&] {
    // Both say it: it is one.
    Lose(0, {absl::UnavailableError("executor 0 was ended by SIGSEGV"), "in stage 'touchy'"});
    Lose(1, {absl::UnavailableError("executor 1 was ended by SIGSEGV"), "in stage 'touchy'"});
    now_ += Seconds(60);
    Tick();
  };
  for (int i = 0; i < limits::kCrashesMax - 1; ++i) crash();
  EXPECT_EQ(host_.record.crashes, static_cast<uint32_t>(limits::kCrashesMax - 1));
  RunAll();
  CheckpointUntilManifest();
  EXPECT_EQ(host_.record.crashes, 0u);
  for (int i = 0; i < limits::kCrashesMax - 1; ++i) crash();
  EXPECT_FALSE(master_->ended());
  crash();
  EXPECT_TRUE(master_->ended());
  EXPECT_EQ(host_.record.state, RunState::kFailed);
  EXPECT_THAT(host_.record.failure, HasSubstr("crashed 3 times in a row"));
  EXPECT_THAT(host_.record.failure, HasSubstr("in stage 'touchy'"));
}

TEST_F(JobMasterExecutorsTest, AStopBeforeTheyHaveStartedSuspends) {
  master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
  master_->Start(now_);
  master_->RequestStop(now_);
  EXPECT_THAT(SentTo(), ElementsAre(0, 1));
  Lose(0, {absl::UnavailableError("not needed any more"), ""});
  Lose(1, {absl::UnavailableError("not needed any more"), ""});
  EXPECT_TRUE(master_->ended());
  EXPECT_EQ(host_.record.state, RunState::kSuspended);
}

}  // namespace
}  // namespace weir::testing
