// What the tests of JobMaster share: a host that records what it is asked for, and a job of two
// tasks whose executor says what a test has it say.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/coordinator/job_master.h"
#include "weir/state/manifest.pb.h"

namespace weir::testing {

// Records what the state machine asks for.
class FakeHost final : public JobMaster::Host {
 public:
  std::vector<int> PlaceExecutors(int parallelism) override {
    if (executors == 0) return {};
    return EvenShares(parallelism, std::min(executors, parallelism));
  }
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override {
    started.push_back({attempt, static_cast<int>(shares.size())});
  }
  void Send(int executor, const runtime::ToExecutor& message) override {
    sent.push_back(message);
    sent_to.push_back(executor);
  }
  Status SaveRecord(const JobRecord& r, const runtime::AttemptState& a) override {
    if (!disk.ok()) return disk;
    record = r;
    attempt = a;
    return absl::OkStatus();
  }
  void WriteManifest(Manifest m) override { manifests.push_back(std::move(m)); }
  void CollectGarbage(uint32_t attempts) override {
    ++collections;
    attempts_over = attempts;
  }
  void OnSavepoint(CheckpointId checkpoint) override { savepoints.push_back(checkpoint); }
  void Log(const LogLine& line) override {
    log += line.message + "\n";
    lines.push_back(line);
  }

  runtime::ToExecutor Last() const { return sent.back(); }

  int executors = 1;  // that there is room for

  std::vector<std::pair<uint32_t, int>> started;
  std::vector<runtime::ToExecutor> sent;
  std::vector<int> sent_to;
  std::vector<Manifest> manifests;
  JobRecord record;
  runtime::AttemptState attempt;
  std::vector<CheckpointId> savepoints;
  Status disk;
  std::string log;  // messages
  std::vector<LogLine> lines;
  int collections = 0;
  uint32_t attempts_over = 0;  // of the last one
};

// A job of one stage at parallelism 2: two tasks.
class JobMasterTest : public ::testing::Test {
 protected:
  JobMasterTest() {
    graph_.job = "job";
    graph_.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
    record_.job_id = "job-1";
    record_.attempt = 4;
    record_.last_checkpoint = 9;
    options_.parallelism = 2;
    options_.checkpoint_interval = Seconds(10);
    options_.restarts_max = 2;
  }

  void Start() {
    master_ = std::make_unique<JobMaster>(graph_, record_, options_, host_);
    master_->Start(now_);
    ExecutorsStarted();
  }
  // Of every new attempt; nothing if none was asked for.
  void ExecutorsStarted() {
    for (; attempts_started_ < host_.started.size(); ++attempts_started_) {
      const auto [attempt, executors] = host_.started[attempts_started_];
      master_->OnExecutorsStarted(attempt, std::vector<std::string>(executors, ""));
    }
  }
  void Tick() {
    master_->Tick(now_);
    ExecutorsStarted();
  }
  runtime::ToCoordinator Message() const {
    runtime::ToCoordinator message;
    message.set_attempt(host_.record.attempt);
    return message;
  }
  void Opened() {
    for (int subtask = 0; subtask < 2; ++subtask) {
      runtime::ToCoordinator message = Message();
      message.mutable_task_opened()->mutable_task()->set_subtask(subtask);
      master_->OnMessage(0, message, now_);
    }
  }
  void Recovered() {
    runtime::ToCoordinator message = Message();
    message.mutable_sinks_recovered();
    master_->OnMessage(0, message, now_);
  }
  void Run() {
    Start();
    Opened();
    Recovered();
  }
  void Ack(int subtask, uint64_t records_in) {
    runtime::ToCoordinator message = Message();
    runtime::CheckpointAck& ack = *message.mutable_checkpoint_ack();
    ack.set_checkpoint(host_.record.last_checkpoint);
    ack.mutable_task()->set_subtask(subtask);
    runtime::StageState& state = *ack.add_stages();
    state.set_snapshot(SubtaskState{}.Serialize());
    StageCounters counters;
    counters.records_in = records_in;
    counters.named["seen"] = records_in + 1;
    if (subtask == 1) counters.named["only here"] = 1;
    counters.Write(*state.mutable_counters());
    master_->OnMessage(0, message, now_);
  }
  void Committed() {
    runtime::ToCoordinator message = Message();
    message.mutable_committed()->set_checkpoint(host_.record.last_checkpoint);
    master_->OnMessage(0, message, now_);
    runtime::ToCoordinator finished = Message();
    finished.mutable_commit_finished()->set_checkpoint(host_.record.last_checkpoint);
    master_->OnMessage(0, finished, now_);
    master_->OnGarbageCollected(now_);
  }
  void Checkpoint(uint64_t records_in) {
    Ack(0, records_in);
    Ack(1, records_in);
    master_->OnManifestOutcome(host_.record.last_checkpoint, absl::OkStatus());
    Committed();
  }
  void Fail(Status status) {
    runtime::ToCoordinator message = Message();
    message.mutable_task_failed()->set_code(static_cast<int>(status.code()));
    message.mutable_task_failed()->set_message(std::string(status.message()));
    master_->OnMessage(0, message, now_);
  }
  void Canceled() {
    runtime::ToCoordinator message = Message();
    message.mutable_canceled();
    master_->OnMessage(0, message, now_);
  }
  void Finished() {
    for (int subtask = 0; subtask < 2; ++subtask) {
      runtime::ToCoordinator message = Message();
      message.mutable_task_finished()->mutable_task()->set_subtask(subtask);
      master_->OnMessage(0, message, now_);
    }
  }
  std::string State() { return master_->status(now_).state; }

  JobGraph graph_;
  JobRecord record_;
  JobMaster::Options options_;
  FakeHost host_;
  int64_t now_ = Seconds(100);
  std::unique_ptr<JobMaster> master_;
  size_t attempts_started_ = 0;
};

}  // namespace weir::testing
