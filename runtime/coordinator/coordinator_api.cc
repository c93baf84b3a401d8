// Coordinator: what is asked of it.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/job_view.h"

namespace weir {
namespace {

Status CheckLease(const rest::LeaseRequest& request) {
  if (!IsPlainName(request.holder())) {
    return absl::InvalidArgumentError(
        "holder: a name of letters, digits and \"-_.\", at most 200 of them, not a dot first");
  }
  constexpr double kCheckpointMax = 9007199254740992;  // 2^53
  if (!(request.checkpoint() >= 0 && request.checkpoint() <= kCheckpointMax)) {
    return absl::InvalidArgumentError("checkpoint: the number of one, or 0 for the newest");
  }
  constexpr double kSecondsMax = static_cast<double>(limits::kLeaseMax) / 1e6;
  if (!(request.seconds() >= 0 && request.seconds() <= kSecondsMax)) {
    return absl::InvalidArgumentError(
        fmt::format("seconds: at most {}; lease it again in time to keep it longer", kSecondsMax));
  }
  return absl::OkStatus();
}

}  // namespace

template <class T>
void Coordinator::Ask(Done<T> done, std::function<StatusOr<T>()> work) {
  loop_.Post([alive = alive_, done = std::move(done), work = std::move(work)] {
    if (!*alive) return done(absl::UnavailableError("the coordinator is shutting down"));
    done(work());
  });
}

Status Coordinator::Ready() {
  if (ready_) return absl::OkStatus();
  return absl::UnavailableError("the coordinator is starting, or shutting down: ask again");
}

StatusOr<ClusterJob*> Coordinator::FindJob(const std::string& id) {
  const auto found = jobs_.find(id);
  if (found != jobs_.end()) return found->second.get();
  return absl::NotFoundError(
      fmt::format("there is no job '{}'; weir list shows those that there are", id));
}

void Coordinator::ListJobs(Done<rest::JobList> done) {
  Ask<rest::JobList>(std::move(done), [this]() -> StatusOr<rest::JobList> {
    rest::JobList list;
    for (const auto& [id, job] : jobs_) *list.add_jobs() = ViewOf(*job, Detail::kSummary, env_);
    std::stable_sort(list.mutable_jobs()->begin(), list.mutable_jobs()->end(),
                     [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); });
    return list;
  });
}

void Coordinator::GetJob(const std::string& id, Done<rest::Job> done) {
  Ask<rest::Job>(std::move(done), [this, id]() -> StatusOr<rest::Job> {
    WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
    return ViewOf(*job, Detail::kOperators, env_);
  });
}

void Coordinator::GetSubmission(const std::string& id, Done<rest::Submission> done) {
  Ask<rest::Submission>(std::move(done), [this, id]() -> StatusOr<rest::Submission> {
    WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
    return SubmissionOf(*job);
  });
}

void Coordinator::CancelJob(const std::string& id, Done<rest::Job> done) {
  Ask<rest::Job>(std::move(done), [this, id]() -> StatusOr<rest::Job> {
    WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
    WEIR_RETURN_IF_ERROR(job->Cancel());
    return ViewOf(*job, Detail::kSummary, env_);
  });
}

void Coordinator::StopJob(const std::string& id, const rest::StopRequest& request,
                          Done<rest::SavepointOperation> done) {
  Ask<rest::SavepointOperation>(std::move(done),
                                [this, id, request]() -> StatusOr<rest::SavepointOperation> {
                                  WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
                                  std::string operation;
                                  WEIR_RETURN_IF_ERROR(job->Stop(request.drain(), &operation));
                                  return ViewOf(*job->FindSavepoint(operation));
                                });
}

void Coordinator::TriggerSavepoint(const std::string& id, const rest::SavepointRequest& request,
                                   Done<rest::SavepointOperation> done) {
  Ask<rest::SavepointOperation>(
      std::move(done), [this, id, request]() -> StatusOr<rest::SavepointOperation> {
        if (!request.to().empty()) {
          return absl::InvalidArgumentError(
              "a savepoint goes beside the job's checkpoints; start the coordinator with "
              "--checkpoints to have them elsewhere");
        }
        WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
        std::string operation;
        WEIR_RETURN_IF_ERROR(job->TakeSavepoint(&operation));
        return ViewOf(*job->FindSavepoint(operation));
      });
}

void Coordinator::GetSavepoint(const std::string& id, const std::string& operation,
                               Done<rest::SavepointOperation> done) {
  Ask<rest::SavepointOperation>(
      std::move(done), [this, id, operation]() -> StatusOr<rest::SavepointOperation> {
        WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
        const runtime::Savepoint* found = job->FindSavepoint(operation);
        if (found != nullptr) return ViewOf(*found);
        return absl::NotFoundError(
            fmt::format("job {} knows of no savepoint operation '{}'", id, operation));
      });
}

void Coordinator::RescaleJob(const std::string& id, const rest::RescaleRequest& request,
                             Done<rest::Job> done) {
  Ask<rest::Job>(std::move(done), [this, id, request]() -> StatusOr<rest::Job> {
    if (request.parallelism() < 1 || request.parallelism() > limits::kParallelismMax) {
      return absl::InvalidArgumentError(
          fmt::format("the parallelism is between 1 and {}", limits::kParallelismMax));
    }
    WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
    WEIR_RETURN_IF_ERROR(job->Rescale(static_cast<int>(request.parallelism())));
    return ViewOf(*job, Detail::kSummary, env_);
  });
}

void Coordinator::ListCheckpoints(const std::string& id, Done<rest::CheckpointList> done) {
  loop_.Post([this, alive = alive_, id, done = std::move(done)] {
    if (!*alive) return done(absl::UnavailableError("the coordinator is shutting down"));
    StatusOr<ClusterJob*> job = FindJob(id);
    if (!job.ok()) return done(job.status());
    // Jobs live as long as the coordinator, which waits for its I/O.
    io_.Submit([job = *job, savepoints = (*job)->kept().savepoints(), done] {
      rest::CheckpointList list;
      StatusOr<std::vector<CheckpointId>> found = job->store().List();
      if (!found.ok()) return done(found.status());
      std::reverse(found->begin(), found->end());
      for (const runtime::Savepoint& savepoint : savepoints) {
        if (!savepoint.complete()) continue;
        const StatusOr<Manifest> manifest = job->store().LoadSavepoint(savepoint.checkpoint());
        // One that its owner has removed is none.
        if (manifest.ok()) *list.add_checkpoints() = ViewOf(*manifest, savepoint.path());
      }
      std::reverse(list.mutable_checkpoints()->begin(), list.mutable_checkpoints()->end());
      for (const CheckpointId checkpoint : *found) {
        const StatusOr<Manifest> manifest = job->store().LoadManifest(checkpoint);
        // One that is collected meanwhile is none.
        if (!manifest.ok()) continue;
        *list.add_checkpoints() = ViewOf(*manifest, job->store().Location(checkpoint));
      }
      done(std::move(list));
    });
  });
}

void Coordinator::LeaseCheckpoint(const std::string& id, const rest::LeaseRequest& request,
                                  Done<rest::CheckpointLease> done) {
  if (Status status = CheckLease(request); !status.ok()) return done(status);
  loop_.Post([this, alive = alive_, id, request, done = std::move(done)] {
    if (!*alive) return done(absl::UnavailableError("the coordinator is shutting down"));
    StatusOr<ClusterJob*> job = FindJob(id);
    if (!job.ok()) return done(job.status());
    io_.Submit([this, job = *job, record = (*job)->record(), request, done] {
      done(LeaseOf(job->store(), record, request));
    });
  });
}

StatusOr<rest::CheckpointLease> Coordinator::LeaseOf(CheckpointStore& store,
                                                     const JobRecord& record,
                                                     const rest::LeaseRequest& request) {
  auto checkpoint = static_cast<CheckpointId>(request.checkpoint());
  const auto length = static_cast<Duration>(request.seconds() * 1e6);
  if (checkpoint == 0) {
    WEIR_ASSIGN_OR_RETURN(const std::vector<CheckpointId> there, store.List());
    const auto newest = std::find_if(there.rbegin(), there.rend(),
                                     [&](CheckpointId one) { return !record.IsSuperseded(one); });
    if (newest == there.rend()) {
      return absl::NotFoundError(fmt::format(
          "job {} has no complete checkpoint yet; ask again when it has", record.job_id));
    }
    checkpoint = *newest;
  }
  const Status leased = store.Lease(checkpoint, request.holder(), length);
  if (absl::IsNotFound(leased)) return leased;
  if (!leased.ok()) {
    return CannotStore(leased, fmt::format("lease checkpoint {}", checkpoint),
                       options_.checkpoints);
  }
  rest::CheckpointLease lease;
  lease.set_checkpoint(static_cast<double>(checkpoint));
  lease.set_path(store.Location(checkpoint));
  lease.set_expires_at(static_cast<double>(env_.clock.Now() + length));
  return lease;
}

void Coordinator::ListExceptions(const std::string& id, Done<rest::ExceptionList> done) {
  Ask<rest::ExceptionList>(std::move(done), [this, id]() -> StatusOr<rest::ExceptionList> {
    WEIR_ASSIGN_OR_RETURN(ClusterJob * job, FindJob(id));
    return ExceptionsOf(*job);
  });
}

void Coordinator::ListWorkers(Done<rest::WorkerList> done) {
  Ask<rest::WorkerList>(std::move(done), [this]() -> StatusOr<rest::WorkerList> {
    rest::WorkerList list;
    for (const auto& [id, worker] : workers_.workers()) *list.add_workers() = WorkerView(worker);
    return list;
  });
}

rest::Worker Coordinator::WorkerView(const WorkerInfo& worker) const {
  rest::Worker view = ViewOf(worker, workers_, env_.clock.MonotonicMicros());
  for (const auto& [id, job] : jobs_) {
    if (job->running_on(worker.id)) view.add_jobs(id);
  }
  return view;
}

void Coordinator::TakeSnapshot(Done<rest::Snapshot> done) {
  Ask<rest::Snapshot>(std::move(done), [this]() -> StatusOr<rest::Snapshot> {
    rest::Snapshot snapshot;
    for (const auto& [id, job] : jobs_) {
      *snapshot.add_jobs() = ViewOf(*job, Detail::kOperators, env_);
    }
    for (const auto& [id, worker] : workers_.workers()) {
      *snapshot.add_workers() = WorkerView(worker);
    }
    return snapshot;
  });
}

void Coordinator::PutBlob(const std::string& sha256, std::string bytes, Done<rest::Blob> done) {
  auto shared = std::make_shared<std::string>(std::move(bytes));
  io_.Submit([this, sha256, shared, done = std::move(done)] {
    const Status put = blobs_.Put(sha256, *shared);
    if (absl::IsInvalidArgument(put)) return done(put);
    if (!put.ok()) {
      return done(CannotStore(put,
                              fmt::format("keep the {} that were sent", FormatSize(shared->size())),
                              options_.data_dir));
    }
    rest::Blob blob;
    blob.set_sha256(sha256);
    blob.set_bytes(static_cast<double>(shared->size()));
    done(std::move(blob));
  });
}

void Coordinator::FindBlob(const std::string& sha256, Done<rest::Blob> done) {
  io_.Submit([this, sha256, done = std::move(done)] {
    StatusOr<std::string> path = blobs_.Find(sha256);
    if (!path.ok()) return done(path.status());
    const StatusOr<FileInfo> info = env_.disk.Stat(*path);
    if (!info.ok()) return done(info.status());
    rest::Blob blob;
    blob.set_sha256(sha256);
    blob.set_bytes(static_cast<double>(info->size));
    done(std::move(blob));
  });
}

void Coordinator::ReadBlob(const std::string& sha256, Done<std::string> done) {
  io_.Submit([this, sha256, done = std::move(done)] { done(blobs_.Read(sha256)); });
}

}  // namespace weir
