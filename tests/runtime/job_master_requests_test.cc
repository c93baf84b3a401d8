// JobMaster: what is asked of a job from outside, and a coordinator that has started again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/job_master_fixture.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class JobMasterRequestsTest : public JobMasterTest {
 protected:
  void Triggered(BarrierKind kind) {
    ASSERT_TRUE(host_.Last().has_trigger_checkpoint());
    EXPECT_EQ(host_.Last().trigger_checkpoint().kind(), static_cast<uint32_t>(kind));
  }
  // Another coordinator goes on with what the last one saved.
  void StartAgain(std::optional<Manifest> newest) {
    options_.restore = std::move(newest);
    master_ = std::make_unique<JobMaster>(graph_, host_.record, options_, host_);
    host_.sent.clear();
    master_->Reattach(host_.attempt, now_);
    EXPECT_EQ(attempts_started_, host_.started.size()) << "no new attempt";
    master_->OnExecutorsStarted(host_.record.attempt, {""});
  }
};

TEST_F(JobMasterRequestsTest, WithoutRoomAJobWaitsAndSpendsNoAttempt) {
  host_.executors = 0;
  master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
  master_->Start(now_);
  now_ += Seconds(60);
  Tick();
  EXPECT_EQ(State(), "WAITING_FOR_SLOTS");
  EXPECT_TRUE(host_.started.empty());
  host_.executors = 1;
  now_ += Seconds(1);
  Tick();
  EXPECT_EQ(State(), "DEPLOYING");
  EXPECT_EQ(host_.record.attempt, 5u);
}

TEST_F(JobMasterRequestsTest, WhileItWaitsForRoomTheLastAttemptHasNothingToSay) {
  Run();
  host_.executors = 0;
  master_ = std::make_unique<JobMaster>(graph_, host_.record, options_, host_);
  master_->Start(now_);
  Fail(absl::UnavailableError("disk"));
  runtime::ToCoordinator wrong = Message();
  wrong.mutable_task_opened()->mutable_task()->set_subtask(99);
  master_->OnMessage(0, wrong, now_);
  master_->OnExecutorLost(5, 0, {.why = absl::UnavailableError("gone")}, now_);
  EXPECT_EQ(State(), "WAITING_FOR_SLOTS");
  host_.executors = 1;
  now_ += Seconds(1);
  Tick();
  EXPECT_EQ(State(), "DEPLOYING");
}

TEST_F(JobMasterRequestsTest, ARescaleGoesOnBehindACheckpointAtTheNewParallelism) {
  Run();
  master_->Rescale(3, now_);
  Triggered(BarrierKind::kStop);
  Checkpoint(10);
  EXPECT_TRUE(host_.Last().has_cancel());
  Canceled();
  ExecutorsStarted();
  EXPECT_EQ(host_.record.attempt, 6u);
  ASSERT_TRUE(host_.Last().has_deploy());
  EXPECT_EQ(host_.Last().deploy().parallelism(), 3u);
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
  EXPECT_EQ(master_->status(now_).restarts, 0) << "it did not fail";
}

TEST_F(JobMasterRequestsTest, ARescaleThatMeetsAFailureIsDoneWithTheRestart) {
  Run();
  master_->Rescale(3, now_);
  Fail(absl::UnavailableError("disk"));
  Canceled();
  now_ += Seconds(1);
  Tick();
  EXPECT_EQ(host_.Last().deploy().parallelism(), 3u);
  for (int subtask = 0; subtask < 3; ++subtask) {
    runtime::ToCoordinator message = Message();
    message.mutable_task_opened()->mutable_task()->set_subtask(subtask);
    master_->OnMessage(0, message, now_);
  }
  Recovered();
  EXPECT_TRUE(host_.Last().has_start_input()) << "it has been rescaled already";
}

TEST_F(JobMasterRequestsTest, WhatDoesNotRunHasCountsAndNoRates) {
  Run();
  const auto progress = [&](uint64_t records) {
    runtime::ToCoordinator message = Message();
    runtime::TaskProgress& task = *message.mutable_task_progress();
    task.set_queued_bytes(10);
    task.set_queue_capacity_bytes(20);
    task.set_backpressured_micros(records);
    runtime::StageProgress& stage = *task.add_stages();
    stage.mutable_counters()->set_records_in(records);
    stage.mutable_counters()->set_records_out(records);
    stage.set_watermark(Seconds(1));
    stage.set_busy_micros(records);
    stage.set_stalled_micros(5);
    stage.set_state_bytes(7);
    master_->OnMessage(0, message, now_);
  };
  progress(100'000);
  now_ += Seconds(1);
  progress(300'000);
  const OperatorStatus runs = master_->status(now_).operators[0];
  EXPECT_EQ(runs.records_in_per_second, 200'000);
  EXPECT_EQ(runs.watermark, Seconds(1));
  ASSERT_EQ(runs.subtasks.size(), 1u);
  EXPECT_EQ(runs.subtasks[0].queue_bytes, 10u);

  const auto is_still = [&](const std::string& state) {
    EXPECT_EQ(State(), state);
    const OperatorStatus op = master_->status(now_).operators[0];
    EXPECT_EQ(op.live.records_in, 300'000u);
    EXPECT_EQ(op.state_bytes, 7u);
    EXPECT_EQ(op.records_in_per_second, 0);
    EXPECT_EQ(op.records_out_per_second, 0);
    EXPECT_EQ(op.busy, 0);
    EXPECT_EQ(op.backpressured, 0);
    EXPECT_EQ(op.queue_fill, 0);
    EXPECT_EQ(op.watermark, kMaxTimestamp) << "there is none";
    ASSERT_EQ(op.subtasks.size(), 1u);
    EXPECT_EQ(op.subtasks[0].busy_micros, 300'000u) << "a count";
    EXPECT_EQ(op.subtasks[0].queue_bytes, 0u);
    EXPECT_EQ(op.subtasks[0].stalled_micros, 0u);
    EXPECT_EQ(op.subtasks[0].watermark, kMinTimestamp);
  };
  Fail(absl::UnavailableError("disk"));
  Canceled();
  is_still("RESTARTING");
  master_->RequestCancel(now_);
  is_still("CANCELED");
}

TEST_F(JobMasterRequestsTest, ASavepointIsTakenAndTold) {
  Run();
  master_->RequestSavepoint(now_);
  Triggered(BarrierKind::kSavepoint);
  Checkpoint(10);
  EXPECT_THAT(host_.savepoints, ElementsAre(10));
  EXPECT_EQ(State(), "RUNNING");
}

TEST_F(JobMasterRequestsTest, ASavepointThatFailedIsTakenByTheNextAttempt) {
  Run();
  const auto start_again = [&] {
    Canceled();
    now_ += Seconds(1);
    Tick();
    Opened();
    Recovered();
  };
  master_->RequestSavepoint(now_);
  Ack(0, 1);
  Fail(absl::UnavailableError("disk"));
  start_again();
  Triggered(BarrierKind::kSavepoint);
  Ack(0, 1);
  Ack(1, 1);
  master_->OnManifestOutcome(11, absl::ResourceExhaustedError("full"));
  start_again();
  master_->OnGarbageCollected(now_);
  Triggered(BarrierKind::kSavepoint);
  EXPECT_TRUE(host_.savepoints.empty());
  Checkpoint(1);
  EXPECT_THAT(host_.savepoints, ElementsAre(12));
  Fail(absl::UnavailableError("disk"));
  start_again();
  EXPECT_TRUE(host_.Last().has_start_input()) << "it has been taken";
}

TEST_F(JobMasterRequestsTest, ASavepointWaitsForTheCheckpointThatIsUnderWay) {
  Run();
  now_ += Seconds(10);
  Tick();
  Triggered(BarrierKind::kCheckpoint);
  master_->RequestSavepoint(now_);
  Triggered(BarrierKind::kCheckpoint);
  Checkpoint(10);
  Triggered(BarrierKind::kSavepoint);
  EXPECT_TRUE(host_.savepoints.empty());
}

TEST_F(JobMasterRequestsTest, AStopTellsOfWhatItSaved) {
  Run();
  master_->RequestStop(now_);
  Checkpoint(10);
  EXPECT_THAT(host_.savepoints, ElementsAre(10));
  Canceled();
  EXPECT_EQ(State(), "SUSPENDED");
}

TEST_F(JobMasterRequestsTest, ADrainEndsTheSourcesAndTheJobIsFinished) {
  Run();
  master_->RequestDrain(now_);
  EXPECT_TRUE(host_.Last().has_drain_sources());
  Finished();
  Triggered(BarrierKind::kFinal);
  Checkpoint(10);
  Canceled();
  EXPECT_EQ(State(), "FINISHED");
}

TEST_F(JobMasterRequestsTest, ACancelEndsAJobWhereverItIs) {
  Run();
  master_->RequestCancel(now_);
  EXPECT_TRUE(host_.Last().has_cancel());
  Canceled();
  EXPECT_EQ(State(), "CANCELED");
}

TEST_F(JobMasterRequestsTest, ACancelEndsAJobThatIsAboutToRestart) {
  Run();
  Fail(absl::UnavailableError("disk"));
  master_->RequestCancel(now_);
  Canceled();
  EXPECT_EQ(State(), "CANCELED");
  EXPECT_EQ(host_.started.size(), 1u);
}

TEST_F(JobMasterRequestsTest, AStartedAgainCoordinatorGoesOnWithTheAttempt) {
  Run();
  now_ += Seconds(10);
  Tick();
  Checkpoint(10);
  StartAgain(host_.manifests.back());
  ASSERT_TRUE(host_.Last().has_deploy());
  EXPECT_EQ(host_.Last().attempt(), 5u);
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 0u) << "as the attempt was deployed";
  Opened();
  Recovered();
  // It cannot know that the commits had all been told.
  ASSERT_TRUE(host_.Last().has_checkpoint_complete());
  EXPECT_EQ(host_.Last().checkpoint_complete().checkpoint(), 10u);
  Committed();
  EXPECT_EQ(State(), "RUNNING");
  now_ += Seconds(10);
  Tick();
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 11u);
  Ack(0, 25);
  Ack(1, 25);
  EXPECT_EQ(host_.manifests.back().stages[0].counters.records_in, 50u)
      << "the attempt's own counts, not added to what the last checkpoint knew of them";
}

TEST_F(JobMasterRequestsTest, ACheckpointThatWasUnderWayIsTakenUp) {
  Run();
  now_ += Seconds(10);
  Tick();
  Ack(0, 5);
  StartAgain(std::nullopt);
  Opened();
  Recovered();
  ASSERT_TRUE(host_.Last().has_trigger_checkpoint());
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 10u);
  Ack(0, 5);
  EXPECT_TRUE(host_.manifests.empty());
  Ack(1, 5);
  ASSERT_EQ(host_.manifests.size(), 1u);
  EXPECT_EQ(host_.manifests[0].checkpoint, 10u);
}

TEST_F(JobMasterRequestsTest, AnAttemptThatDoesNotComeBackIsFollowedByTheNext) {
  Run();
  now_ += Seconds(10);
  Tick();
  Checkpoint(10);
  options_.restore = host_.manifests.back();
  master_ = std::make_unique<JobMaster>(graph_, host_.record, options_, host_);
  master_->Reattach(host_.attempt, now_);
  master_->OnExecutorLost(5, 0, {.why = absl::UnavailableError("did not come back")}, now_);
  EXPECT_THAT(host_.log, HasSubstr("did not come back"));
  now_ += Seconds(1);
  Tick();
  EXPECT_EQ(host_.Last().attempt(), 6u);
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
}

TEST_F(JobMasterRequestsTest, WhatWasTakenBackBeforeTheRestartIsNotTakenBackAgain) {
  options_.revoke = true;
  Run();
  EXPECT_FALSE(host_.attempt.revoke());
  now_ += Seconds(10);
  Tick();
  Checkpoint(10);
  options_.revoke = false;
  StartAgain(host_.manifests.back());
  Opened();
  ASSERT_TRUE(host_.Last().has_recover_sinks());
  EXPECT_FALSE(host_.Last().recover_sinks().revoke());
  EXPECT_FALSE(host_.record.IsSuperseded(10));
}

TEST_F(JobMasterRequestsTest, AStopOfAReattachedJobSavesWhatItHasReadSince) {
  Run();
  options_.restore = std::nullopt;
  master_ = std::make_unique<JobMaster>(graph_, host_.record, options_, host_);
  master_->Reattach(host_.attempt, now_);
  master_->RequestStop(now_);
  EXPECT_FALSE(master_->ended());
  master_->OnExecutorsStarted(5, {""});
  Opened();
  Recovered();
  Triggered(BarrierKind::kStop);
}

}  // namespace
}  // namespace weir::testing
