// FakeCluster: a ClusterApi that keeps jobs in memory and runs none, for tests of what is in front
// of a coordinator. Tests set what jobs do by changing them.
#pragma once

#include <fmt/format.h>

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "jobs/parameters.h"
#include "runtime/rest/cluster_api.h"

namespace weir::testing {

class FakeCluster : public ClusterApi {
 public:
  static constexpr const char* kJob = "event_pipeline-0123456789ab";

  FakeCluster() {
    rest::Job job;
    job.set_id(kJob);
    job.set_name("event_pipeline");
    job.set_state("RUNNING");
    job.set_parallelism(2);
    job.set_attempt(1);
    job.set_created_at(1.7e15);
    job.set_updated_at(1.7e15 + 250);
    rest::Operator& op = *job.add_operators();
    op.set_name("dedup");
    op.set_kind("dedup");
    for (uint32_t i = 0; i < 2; ++i) {
      rest::Subtask& subtask = *op.add_subtasks();
      subtask.set_index(i);
      subtask.set_records_in(100 + i);
      subtask.set_watermark_lag_seconds(i == 0 ? 1.5 : -1);
    }
    jobs_[kJob] = job;
    rest::Checkpoint& checkpoint = *checkpoints_.add_checkpoints();
    checkpoint.set_id(7);
    checkpoint.set_kind("checkpoint");
    checkpoint.set_path("/data/checkpoints/event_pipeline-0123456789ab/chk-7");
    checkpoint.set_completed_at(1.7e15);
    checkpoint.set_state_bytes(1 << 20);
  }

  // What the next calls find. With `status` not OK all calls fail with it.
  void Fail(Status status) {
    Locked([&] { failure_ = std::move(status); });
  }
  void Change(const std::string& job, const std::function<void(rest::Job&)>& change) {
    Locked([&] { change(jobs_[job]); });
  }
  void Change(const rest::SavepointOperation& operation) {
    Locked([&] { operations_[operation.id()] = operation; });
  }
  void ClearCheckpoints() {
    Locked([&] { checkpoints_.Clear(); });
  }
  // Calls are kept, and answered when this is called with false.
  void Hold(bool hold) {
    std::vector<std::function<void()>> held;
    Locked([&] {
      hold_ = hold;
      if (!hold) held.swap(held_);
    });
    for (auto& answer : held) answer();
  }
  std::vector<std::string> calls() {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  rest::SubmitRequest submitted() {
    std::lock_guard lock(mutex_);
    return submitted_;
  }

  Status Ready() override {
    std::lock_guard lock(mutex_);
    return failure_;
  }
  void ListJobs(Done<rest::JobList> done) override {
    Answer<rest::JobList>("ListJobs", std::move(done), [this] {
      rest::JobList list;
      for (const auto& [id, job] : jobs_) {
        *list.add_jobs() = job;
        list.mutable_jobs(list.jobs_size() - 1)->clear_operators();
      }
      return list;
    });
  }
  void GetJob(const std::string& job, Done<rest::Job> done) override {
    Answer<rest::Job>("GetJob " + job, std::move(done), [this, job] { return Find(job); });
  }
  void SubmitJob(const rest::SubmitRequest& request, Done<rest::Submitted> done) override {
    Answer<rest::Submitted>("SubmitJob", std::move(done),
                            [this, request]() -> StatusOr<rest::Submitted> {
                              submitted_ = request;
                              rest::Submitted submitted;
                              submitted.set_id("submitted-1");
                              rest::Job& job = jobs_["submitted-1"];
                              job.Clear();
                              job.set_id("submitted-1");
                              job.set_state("WAITING_FOR_SLOTS");
                              return submitted;
                            });
  }
  void GetSubmission(const std::string& job, Done<rest::Submission> done) override {
    Answer<rest::Submission>("GetSubmission " + job, std::move(done), [this] {
      rest::Submission submission;
      submission.set_library_sha256(submitted_.library_sha256());
      *submission.mutable_parameters() = submitted_.parameters();
      *submission.mutable_resources() = submitted_.resources();
      return submission;
    });
  }
  void CancelJob(const std::string& job, Done<rest::Job> done) override {
    Answer<rest::Job>("CancelJob " + job, std::move(done), [this, job] {
      if (jobs_.count(job)) jobs_[job].set_state("CANCELING");
      return Find(job);
    });
  }
  void StopJob(const std::string& job, const rest::StopRequest& request,
               Done<rest::SavepointOperation> done) override {
    Begin(fmt::format("StopJob {} drain={}", job, request.drain()), job, std::move(done));
  }
  void TriggerSavepoint(const std::string& job, const rest::SavepointRequest& request,
                        Done<rest::SavepointOperation> done) override {
    Begin(fmt::format("TriggerSavepoint {} to={}", job, request.to()), job, std::move(done));
  }
  void GetSavepoint(const std::string& job, const std::string& operation,
                    Done<rest::SavepointOperation> done) override {
    Answer<rest::SavepointOperation>(
        fmt::format("GetSavepoint {} {}", job, operation), std::move(done),
        [this, operation]() -> StatusOr<rest::SavepointOperation> {
          const auto found = operations_.find(operation);
          if (found != operations_.end()) return found->second;
          return absl::NotFoundError("there is no operation " + operation);
        });
  }
  void RescaleJob(const std::string& job, const rest::RescaleRequest& request,
                  Done<rest::Job> done) override {
    Answer<rest::Job>(fmt::format("RescaleJob {} {}", job, request.parallelism()), std::move(done),
                      [this, job, p = request.parallelism()] {
                        if (jobs_.count(job)) jobs_[job].set_parallelism(p);
                        return Find(job);
                      });
  }
  void ListCheckpoints(const std::string& job, Done<rest::CheckpointList> done) override {
    Answer<rest::CheckpointList>("ListCheckpoints " + job, std::move(done),
                                 [this] { return checkpoints_; });
  }
  void LeaseCheckpoint(const std::string& job, const rest::LeaseRequest& request,
                       Done<rest::CheckpointLease> done) override {
    Answer<rest::CheckpointLease>(
        fmt::format("LeaseCheckpoint {} {} {}", job, request.holder(), request.seconds()),
        std::move(done), [] {
          rest::CheckpointLease lease;
          lease.set_checkpoint(7);
          lease.set_path("/data/checkpoints/event_pipeline-0123456789ab/chk-7");
          lease.set_expires_at(1.7e15);
          return lease;
        });
  }
  void ListExceptions(const std::string& job, Done<rest::ExceptionList> done) override {
    Answer<rest::ExceptionList>("ListExceptions " + job, std::move(done), [] {
      rest::ExceptionList list;
      rest::JobException& exception = *list.add_exceptions();
      exception.set_attempt(1);
      exception.set_at(1.7e15);
      exception.set_message("killed by signal 11\x1b[2J in 'dedup'");
      // What a library writes need not be UTF-8, which only a message that is made by hand admits.
      exception.set_log_tail("before \xff after");
      return list;
    });
  }
  void ListWorkers(Done<rest::WorkerList> done) override {
    Answer<rest::WorkerList>("ListWorkers", std::move(done), [this] {
      rest::WorkerList list;
      *list.add_workers() = TheWorker();
      return list;
    });
  }
  void TakeSnapshot(Done<rest::Snapshot> done) override {
    Answer<rest::Snapshot>("TakeSnapshot", std::move(done), [this] {
      rest::Snapshot snapshot;
      for (const auto& [id, job] : jobs_) *snapshot.add_jobs() = job;
      *snapshot.add_workers() = TheWorker();
      return snapshot;
    });
  }
  void PutBlob(const std::string& sha256, std::string bytes, Done<rest::Blob> done) override {
    Answer<rest::Blob>(
        "PutBlob " + sha256, std::move(done),
        [this, sha256, bytes = std::move(bytes)]() -> StatusOr<rest::Blob> {
          if (Sha256Hex(bytes) != sha256) {
            return absl::InvalidArgumentError("these bytes have the SHA-256 " + Sha256Hex(bytes));
          }
          bytes_[sha256] = bytes;
          return blobs_[sha256] = BlobOf(sha256, bytes.size());
        });
  }
  void FindBlob(const std::string& sha256, Done<rest::Blob> done) override {
    Answer<rest::Blob>("FindBlob " + sha256, std::move(done),
                       [this, sha256]() -> StatusOr<rest::Blob> {
                         if (blobs_.count(sha256)) return blobs_[sha256];
                         return absl::NotFoundError("there are no such bytes; PUT them");
                       });
  }
  void ReadBlob(const std::string& sha256, Done<std::string> done) override {
    Answer<std::string>("ReadBlob " + sha256, std::move(done),
                        [this, sha256]() -> StatusOr<std::string> {
                          if (bytes_.count(sha256)) return bytes_[sha256];
                          return absl::NotFoundError("there are no such bytes; PUT them");
                        });
  }

 private:
  template <class Work>
  void Locked(Work work) {
    std::lock_guard lock(mutex_);
    work();
  }
  template <class T>
  void Answer(std::string call, Done<T> done, std::function<StatusOr<T>()> work) {
    auto answer = [this, done = std::move(done), work = std::move(work)] {
      StatusOr<T> result = absl::UnknownError("");
      Locked([&] { result = failure_.ok() ? work() : failure_; });
      done(std::move(result));
    };
    bool hold = false;
    Locked([&] {
      calls_.push_back(std::move(call));
      hold = hold_;
      if (hold) held_.push_back(answer);
    });
    if (!hold) answer();
  }
  void Begin(std::string call, const std::string& job, Done<rest::SavepointOperation> done) {
    Answer<rest::SavepointOperation>(std::move(call), std::move(done),
                                     [this, job]() -> StatusOr<rest::SavepointOperation> {
                                       if (StatusOr<rest::Job> found = Find(job); !found.ok()) {
                                         return found.status();
                                       }
                                       rest::SavepointOperation& operation = operations_["sav-9"];
                                       operation.set_id("sav-9");
                                       operation.set_state("IN_PROGRESS");
                                       return operation;
                                     });
  }
  StatusOr<rest::Job> Find(const std::string& job) {
    const auto found = jobs_.find(job);
    if (found != jobs_.end()) return found->second;
    return absl::NotFoundError(fmt::format("there is no job '{}'", job));
  }
  static rest::Worker TheWorker() {
    rest::Worker worker;
    worker.set_id("worker-1");
    worker.set_address("127.0.0.1:4000");
    worker.set_slots(4);
    worker.set_slots_free(2);
    worker.set_state("ACTIVE");
    worker.add_jobs(kJob);
    return worker;
  }
  static rest::Blob BlobOf(const std::string& sha256, size_t bytes) {
    rest::Blob blob;
    blob.set_sha256(sha256);
    blob.set_bytes(static_cast<double>(bytes));
    return blob;
  }

  std::mutex mutex_;
  Status failure_;
  bool hold_ = false;
  std::vector<std::function<void()>> held_;
  std::vector<std::string> calls_;
  std::map<std::string, rest::Job> jobs_;
  std::map<std::string, rest::SavepointOperation> operations_;
  std::map<std::string, rest::Blob> blobs_;
  rest::CheckpointList checkpoints_;  // of every job
  std::map<std::string, std::string> bytes_;  // of blobs
  rest::SubmitRequest submitted_;
};

}  // namespace weir::testing
