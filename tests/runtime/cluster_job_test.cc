// ClusterJob: what is asked of a job while its record cannot be written.
#include "runtime/coordinator/cluster_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

// Keeps what was saved last; its disk may be full.
class FakeCluster final : public ClusterJob::Cluster {
 public:
  explicit FakeCluster(std::string checkpoints) : checkpoints_(std::move(checkpoints)) {}

  WorkerTable& workers() override { return workers_; }
  Status Save(const std::string&, const runtime::ClusterJob& job) override {
    if (room_for == 0) return absl::ResourceExhaustedError("full");
    --room_for;
    saved = job;
    return absl::OkStatus();
  }
  void SendToWorker(const std::string&, const runtime::ToWorker&) override {}
  void SendToExecutor(uint64_t, const runtime::ToExecutor&) override {}
  void CloseSession(uint64_t) override {}
  std::string checkpoints() const override { return checkpoints_; }
  void Log(const LogLine&) override {}

  int room_for = 1000;  // so many changes
  runtime::ClusterJob saved;

 private:
  const std::string checkpoints_;
  WorkerTable workers_;
};

// A job that has been submitted and waits for slots.
class ClusterJobTest : public ::testing::Test {
 protected:
  ClusterJobTest() {
    JobRecord record;
    record.job_id = "job-1";
    Begin(record);
  }

  void Begin(const JobRecord& record, const std::string& savepoint = "") {
    JobGraph graph;
    graph.job = "job";
    graph.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
    runtime::ClusterJob kept;
    kept.set_record(record.Serialize());
    if (!savepoint.empty()) kept.add_savepoints()->set_id(savepoint);
    kept.mutable_description()->set_graph(graph.Serialize());
    kept.set_parallelism(2);
    auto job = ClusterJob::Make(std::move(kept), env_, loop_, cluster_);
    EXPECT_TRUE(job.ok()) << job.status();
    job_ = *std::move(job);
    EXPECT_TRUE(job_->Begin().ok());
  }

  // Why there is no such savepoint, once that is known.
  std::string FailureOf(const std::string& savepoint) {
    loop_.Run([&] {
      const int64_t now = env_.clock.MonotonicMicros();
      job_->Tick(now);
      if (!job_->FindSavepoint(savepoint)->failure().empty()) loop_.Stop();
      return now + Milliseconds(1);
    });
    return job_->FindSavepoint(savepoint)->failure();
  }

  TempDir dir_;
  Environment& env_ = RealEnvironment();
  EventLoop loop_{env_.clock};
  FakeCluster cluster_{dir_ / "checkpoints"};
  std::unique_ptr<ClusterJob> job_;
};

TEST_F(ClusterJobTest, WhatWasRefusedForAFullDiskIsNotSavedLater) {
  cluster_.room_for = 0;
  std::string savepoint;
  EXPECT_FALSE(job_->Cancel().ok());
  EXPECT_FALSE(job_->Stop(/*drain=*/false, &savepoint).ok());
  EXPECT_FALSE(job_->TakeSavepoint(&savepoint).ok());
  EXPECT_FALSE(job_->Rescale(3).ok());

  cluster_.room_for = 1;
  ASSERT_TRUE(job_->TakeSavepoint(&savepoint).ok());
  EXPECT_EQ(cluster_.saved.wish(), runtime::WISH_RUN);
  EXPECT_EQ(cluster_.saved.parallelism(), 2u);
  ASSERT_EQ(cluster_.saved.savepoints_size(), 1);
  EXPECT_EQ(cluster_.saved.savepoints(0).id(), savepoint);
}

TEST_F(ClusterJobTest, WhatWasRefusedForAFullDiskCanBeAskedForAgain) {
  cluster_.room_for = 0;
  EXPECT_FALSE(job_->Rescale(3).ok());
  cluster_.room_for = 1;
  EXPECT_TRUE(job_->Rescale(3).ok());
  EXPECT_EQ(cluster_.saved.parallelism(), 3u) << "it was not done by the call that failed";
  std::string savepoint;
  cluster_.room_for = 0;
  EXPECT_FALSE(job_->Cancel().ok());
  cluster_.room_for = 1;
  EXPECT_TRUE(job_->Stop(/*drain=*/false, &savepoint).ok()) << "it is not being canceled";
  EXPECT_EQ(cluster_.saved.wish(), runtime::WISH_STOP);
}

TEST_F(ClusterJobTest, AnEndThatCouldNotBeSavedIsSavedWhenThereIsRoom) {
  cluster_.room_for = 1;  // for the wish
  ASSERT_TRUE(job_->Cancel().ok());
  EXPECT_TRUE(job_->ended());
  const auto saved = [&] { return JobRecord::Parse(cluster_.saved.record(), "saved")->state; };
  int64_t now = env_.clock.MonotonicMicros();
  const int64_t next = job_->Tick(now);
  EXPECT_EQ(saved(), RunState::kRunning);
  EXPECT_GT(next, now);
  EXPECT_LE(next, now + Seconds(5));

  cluster_.room_for = 1;
  EXPECT_EQ(job_->Tick(next), kMaxTimestamp);
  EXPECT_EQ(saved(), RunState::kCanceled);
}

TEST_F(ClusterJobTest, AStopWhoseSavepointCannotBeKeptEndsTheJobAllTheSame) {
  JobRecord record;
  record.job_id = "job-2";
  record.last_completed = 7;  // of which there are no files
  Begin(record);
  std::string savepoint;
  ASSERT_TRUE(job_->Stop(/*drain=*/false, &savepoint).ok());
  EXPECT_THAT(FailureOf(savepoint), ::testing::HasSubstr("checkpoint 7 is not complete"));
  EXPECT_EQ(job_->record().state, RunState::kSuspended);
}

TEST_F(ClusterJobTest, ASavepointOfAFailedJobIsNotSaidToLackACheckpoint) {
  JobRecord record;
  record.job_id = "job-2";
  record.state = RunState::kFailed;
  record.last_completed = 7;
  Begin(record, "sav");
  EXPECT_EQ(FailureOf("sav"), "the job has ended as FAILED before it could be taken");
  record.last_completed = 0;
  Begin(record, "sav");
  EXPECT_EQ(FailureOf("sav"), "the job has ended as FAILED without a checkpoint");
}

}  // namespace
}  // namespace weir::testing
