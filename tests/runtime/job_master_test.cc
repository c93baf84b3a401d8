#include "runtime/coordinator/job_master.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/runtime/job_master_fixture.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

TEST_F(JobMasterTest, RowsFlowOnlyAfterEveryTaskIsOpenAndEverySinkHasCleanedUp) {
  Start();
  EXPECT_EQ(host_.record.attempt, 5u);  // durable before it is used
  EXPECT_TRUE(host_.Last().has_deploy());
  Opened();
  EXPECT_TRUE(host_.Last().has_recover_sinks());
  EXPECT_EQ(State(), "DEPLOYING");
  Recovered();
  EXPECT_TRUE(host_.Last().has_start_input());
  EXPECT_EQ(State(), "RUNNING");
}

TEST_F(JobMasterTest, ACheckpointGoesThroughItsPhases) {
  Run();
  now_ += Seconds(10);
  Tick();
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 10u);
  EXPECT_EQ(host_.record.last_checkpoint, 10u);
  Ack(0, 5);
  EXPECT_TRUE(host_.manifests.empty());
  Ack(1, 7);
  ASSERT_EQ(host_.manifests.size(), 1u);
  const StageCounters& counters = host_.manifests[0].stages[0].counters;
  EXPECT_EQ(counters.records_in, 12u);
  EXPECT_EQ(counters.named, (NamedCounts{{"only here", 1}, {"seen", 14}}));
  // No commit before the manifest stands.
  EXPECT_TRUE(host_.Last().has_trigger_checkpoint());
  master_->OnManifestOutcome(10, absl::OkStatus());
  EXPECT_EQ(host_.Last().checkpoint_complete().checkpoint(), 10u);
  // And no next checkpoint before the commits.
  now_ += Seconds(20);
  Tick();
  EXPECT_TRUE(host_.Last().has_checkpoint_complete());
  Committed();
  EXPECT_EQ(host_.collections, 1);
  EXPECT_EQ(host_.attempts_over, 4u) << "those before this one";
  EXPECT_EQ(host_.Last().trigger_checkpoint().checkpoint(), 11u);
}

TEST_F(JobMasterTest, OfACheckpointThatTookLongTheLogSaysWhere) {
  Run();
  now_ += Seconds(10);
  Tick();
  Ack(0, 5);
  runtime::ToCoordinator message = Message();
  runtime::CheckpointAck& ack = *message.mutable_checkpoint_ack();
  ack.set_checkpoint(10);
  ack.mutable_task()->set_subtask(1);
  ack.mutable_way()->set_arrival(Milliseconds(500));
  ack.mutable_way()->set_alignment(Milliseconds(1500));
  ack.mutable_way()->set_drain(Seconds(3));
  ack.mutable_way()->set_write(Milliseconds(20));
  ack.mutable_way()->set_bytes(64 << 10);
  now_ += Seconds(6);
  master_->OnMessage(0, message, now_);
  now_ += Seconds(1);
  master_->OnManifestOutcome(10, absl::OkStatus());
  Committed();
  EXPECT_THAT(
      host_.log,
      ::testing::HasSubstr(
          "checkpoint 10 took 7.00 s: 6.00 s until all tasks had done their share, 1.00 s for its "
          "manifest and the commits. The last task was subtask 1 of source: 0.50 s until a barrier "
          "came, 1.50 s until it had come from all inputs, 3.00 s to drain, 0.02 s to write what "
          "was frozen; it took 64KiB of rows in front of it"));
  // Of one that did not, nothing.
  host_.log.clear();
  now_ += Seconds(10);
  Tick();
  Checkpoint(7);
  EXPECT_EQ(host_.log, "");
}

TEST_F(JobMasterTest, WhatAnOperatorSaysIsLoggedWithWhereItBelongs) {
  Run();
  runtime::ToCoordinator message = Message();
  runtime::Notice& notice = *message.mutable_notice();
  notice.set_line("has held slot 1 for 120 ms");
  notice.set_stage("source");
  notice.set_subtask(1);
  notice.set_warning(true);
  master_->OnMessage(0, message, now_);
  const LogLine& line = host_.lines.back();
  EXPECT_EQ(line.message, "has held slot 1 for 120 ms");
  EXPECT_EQ(line.level, LogLevel::kWarning);
  EXPECT_EQ(line.attempt, 5u);
  EXPECT_EQ(line.executor, 0);
  EXPECT_EQ(line.op, "source");
  EXPECT_EQ(line.subtask, 1);
}

TEST_F(JobMasterTest, ThatACheckpointIsCompleteIsInTheRecordBeforeAnythingIsCommitted) {
  record_.crashes = 2;
  Run();
  now_ += Seconds(10);
  Tick();
  Ack(0, 5);
  Ack(1, 7);
  EXPECT_EQ(host_.record.last_completed, 0u);
  host_.disk = absl::ResourceExhaustedError("full");
  master_->OnManifestOutcome(10, absl::OkStatus());
  EXPECT_TRUE(host_.Last().has_cancel()) << "nothing is committed that the record does not know of";
  Canceled();
  master_->OnGarbageCollected(now_);
  host_.disk = absl::OkStatus();
  now_ += limits::kRestartDelayMin;
  Tick();
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
  EXPECT_EQ(host_.record.last_completed, 10u) << "deploying commits its handles";
  Opened();
  Recovered();
  now_ += Seconds(10);
  Tick();
  Checkpoint(1);
  EXPECT_EQ(host_.record.last_completed, 11u);
  EXPECT_EQ(host_.record.crashes, 0u) << "crashes count only without a checkpoint between them";
}

TEST_F(JobMasterTest, AFailureGoesOnFromTheLastCheckpointWithANewAttempt) {
  Run();
  now_ += Seconds(10);
  Tick();
  Checkpoint(5);
  Fail(absl::UnavailableError("disk on fire"));
  EXPECT_TRUE(host_.Last().has_cancel());
  Canceled();
  EXPECT_EQ(State(), "RESTARTING");
  EXPECT_THAT(host_.log, HasSubstr("disk on fire"));
  Tick();
  EXPECT_TRUE(host_.Last().has_cancel());  // not before the delay
  now_ += limits::kRestartDelayMin;
  Tick();
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
  EXPECT_EQ(host_.record.attempt, 6u);
  // Counters of the job go on from the checkpoint.
  Opened();
  Recovered();
  now_ += Seconds(10);
  Tick();
  Ack(0, 1);
  Ack(1, 1);
  EXPECT_EQ(host_.manifests.back().stages[0].counters.records_in, 12u);
}

TEST_F(JobMasterTest, MessagesOfAnOldAttemptAreIgnored) {
  Run();
  runtime::ToCoordinator old = Message();
  old.set_attempt(4);
  old.mutable_task_failed()->set_code(static_cast<int>(absl::StatusCode::kUnavailable));
  master_->OnMessage(0, old, now_);
  EXPECT_EQ(State(), "RUNNING");
}

TEST_F(JobMasterTest, AnErrorOfTheUserIsNotRetried) {
  Run();
  Fail(absl::FailedPreconditionError("a row was rejected"));
  Canceled();
  EXPECT_TRUE(master_->ended());
  EXPECT_EQ(host_.record.state, RunState::kFailed);
  EXPECT_EQ(host_.record.failure, "a row was rejected");
}

TEST_F(JobMasterTest, GivesUpAfterSoManyRestartsWithoutACheckpoint) {
  Run();
  for (int i = 0; i < 2; ++i) {
    Fail(absl::UnavailableError("again"));
    Canceled();
    now_ += limits::kRestartDelayMax;
    Tick();
    Opened();
    Recovered();
  }
  Fail(absl::UnavailableError("again"));
  Canceled();
  EXPECT_EQ(host_.record.state, RunState::kFailed);
  EXPECT_THAT(host_.record.failure, HasSubstr("given up after 2 restarts"));
}

TEST_F(JobMasterTest, WithoutALimitItTriesAgainAsLongAsTheReasonIsOutside) {
  options_.restarts_max = std::nullopt;
  Run();
  for (int i = 0; i < 3 * limits::kRestartsMax; ++i) {
    Fail(absl::ResourceExhaustedError("No space left on device"));
    Canceled();
    now_ += limits::kRestartDelayMax;
    Tick();
    Opened();
    Recovered();
  }
  EXPECT_FALSE(master_->ended());
  Fail(absl::InvalidArgumentError("no number"));
  Canceled();
  EXPECT_EQ(host_.record.state, RunState::kFailed);
  EXPECT_EQ(host_.record.failure, "no number");
}

TEST_F(JobMasterTest, TheFirstAttemptWaitsForTheDiskToo) {
  options_.restarts_max = std::nullopt;
  host_.disk = absl::ResourceExhaustedError("No space left on device");
  Start();
  for (int i = 0; i < 3; ++i) {
    now_ += limits::kRestartDelayMax;
    Tick();
  }
  EXPECT_FALSE(master_->ended());
  EXPECT_TRUE(host_.started.empty());
  EXPECT_THAT(std::string(master_->status(now_).failure.message()), HasSubstr("No space left"));
  host_.disk = absl::OkStatus();
  now_ += limits::kRestartDelayMax;
  Tick();
  EXPECT_EQ(host_.started.size(), 1u);
}

TEST_F(JobMasterTest, WithoutALimitItWaitsForTheDiskOfItsRecord) {
  options_.restarts_max = std::nullopt;
  Run();
  const uint32_t attempt = host_.record.attempt;
  host_.disk = absl::ResourceExhaustedError("No space left on device");
  Fail(absl::ResourceExhaustedError("No space left on device"));
  Canceled();
  for (int i = 0; i < 5; ++i) {
    now_ += limits::kRestartDelayMax;
    Tick();
    EXPECT_FALSE(master_->ended());
    EXPECT_EQ(host_.record.attempt, attempt) << "nothing starts without a durable number";
  }
  host_.disk = absl::OkStatus();
  now_ += limits::kRestartDelayMax;
  Tick();
  EXPECT_GT(host_.record.attempt, attempt);
  Opened();
  Recovered();
  EXPECT_FALSE(master_->ended());
}

TEST_F(JobMasterTest, WhereRoomIsMissingWhatFailedCheckpointsLeftIsCollected) {
  Run();
  const auto fail = [&](const Status& why) {
    Fail(why);
    Canceled();
    now_ += Seconds(10);
    Tick();
    Opened();
    Recovered();
  };
  fail(absl::UnavailableError("a peer is gone"));
  EXPECT_EQ(host_.collections, 0);
  fail(absl::ResourceExhaustedError("disk full"));
  EXPECT_EQ(host_.collections, 1);
  EXPECT_EQ(host_.attempts_over, 6u) << "the one that has failed is over, too";
  EXPECT_EQ(host_.record.attempt, 7u);

  now_ += Seconds(10);
  Tick();
  EXPECT_TRUE(host_.Last().has_start_input()) << "what is uploaded meanwhile could be collected";
  master_->OnGarbageCollected(now_);
  EXPECT_TRUE(host_.Last().has_trigger_checkpoint());

  Ack(0, 1);
  Ack(1, 1);
  Fail(absl::ResourceExhaustedError("disk full"));
  Canceled();
  EXPECT_EQ(host_.collections, 1) << "the manifest may stand, with files that nobody lists yet";
}

TEST_F(JobMasterTest, ABoundedJobEndsWithAFinalCheckpoint) {
  Run();
  Finished();
  EXPECT_EQ(host_.Last().trigger_checkpoint().kind(), static_cast<uint32_t>(BarrierKind::kFinal));
  Checkpoint(3);
  EXPECT_FALSE(master_->ended());
  Canceled();
  EXPECT_TRUE(master_->ended());
  EXPECT_EQ(host_.record.state, RunState::kFinished);
}

TEST_F(JobMasterTest, AStopTakesACheckpointFirst) {
  Run();
  master_->RequestStop(now_);
  EXPECT_EQ(host_.Last().trigger_checkpoint().kind(), static_cast<uint32_t>(BarrierKind::kStop));
  Checkpoint(3);
  Canceled();
  EXPECT_EQ(host_.record.state, RunState::kSuspended);
}

TEST_F(JobMasterTest, AStopDuringACheckpointWaitsForIt) {
  Run();
  now_ += Seconds(10);
  Tick();
  master_->RequestStop(now_);
  EXPECT_EQ(host_.Last().trigger_checkpoint().kind(),
            static_cast<uint32_t>(BarrierKind::kCheckpoint));
  Checkpoint(3);
  EXPECT_EQ(host_.Last().trigger_checkpoint().kind(), static_cast<uint32_t>(BarrierKind::kStop));
}

TEST_F(JobMasterTest, AStopThatMeetsAFailureSuspendsAtTheLastCheckpoint) {
  Run();
  master_->RequestStop(now_);
  Fail(absl::UnavailableError("a disk that comes and goes"));
  Canceled();
  EXPECT_EQ(host_.record.state, RunState::kSuspended);
}

TEST_F(JobMasterTest, GoingBackIsInTheRecordBeforeAnythingIsTakenBack) {
  options_.restore.emplace().checkpoint = 7;
  options_.revoke = true;
  options_.identity.job_name = "new";
  Start();
  // Not before the checkpoint has turned out to fit.
  EXPECT_FALSE(host_.record.IsSuperseded(8));
  EXPECT_NE(host_.record.identity.job_name, "new");
  Opened();
  EXPECT_TRUE(host_.record.IsSuperseded(8));
  EXPECT_EQ(host_.record.identity.job_name, "new");
  EXPECT_TRUE(host_.Last().recover_sinks().revoke());
}

TEST_F(JobMasterTest, NothingStartsBeforeTheOutcomeOfAManifestIsKnown) {
  Run();
  now_ += Seconds(10);
  Tick();
  Ack(0, 1);
  Ack(1, 1);
  Fail(absl::UnavailableError("a task"));
  Canceled();
  now_ += Minutes(5);
  Tick();
  EXPECT_TRUE(host_.Last().has_cancel());
  master_->OnManifestOutcome(10, absl::OkStatus());
  Tick();
  // The checkpoint was complete after all, so the restart goes on from it, and commits its handles.
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 10u);
}

TEST_F(JobMasterTest, AManifestThatCouldNotBeWrittenRestartsTheAttempt) {
  Run();
  now_ += Seconds(10);
  Tick();
  Ack(0, 1);
  Ack(1, 1);
  master_->OnManifestOutcome(10, absl::ResourceExhaustedError("disk full"));
  EXPECT_TRUE(host_.Last().has_cancel());
  Canceled();
  now_ += limits::kRestartDelayMax;
  Tick();
  EXPECT_EQ(host_.Last().deploy().restore_checkpoint(), 0u);
  EXPECT_EQ(master_->status(now_).checkpoints_failed, 1u);
  // Its number is spent.
  EXPECT_EQ(host_.record.last_checkpoint, 10u);
}

TEST_F(JobMasterTest, WithoutADurableAttemptNumberNothingIsDeployed) {
  host_.disk = absl::ResourceExhaustedError("disk full");
  Start();
  EXPECT_TRUE(master_->ended());
  EXPECT_TRUE(host_.sent.empty());
}

}  // namespace
}  // namespace weir::testing
