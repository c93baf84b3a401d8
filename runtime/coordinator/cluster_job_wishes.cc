// ClusterJob: what is asked of it from outside, and its savepoints.
#include <fmt/format.h>

#include <utility>

#include "core/check.h"
#include "core/limits.h"
#include "runtime/coordinator/cluster_job.h"

namespace weir {

Status ClusterJob::RefuseEnded() const {
  if (!ended()) return absl::OkStatus();
  return absl::FailedPreconditionError(
      fmt::format("job {} does not run any more: it is {}", id(), ToString(record_.state)));
}

// One that is not durable is none: nothing of it may be saved along with what comes later.
Status ClusterJob::SaveWish(const std::function<void(runtime::ClusterJob&)>& wish) {
  runtime::ClusterJob wished = kept_;
  wish(wished);
  wished.set_record(record_.Serialize());
  WEIR_RETURN_IF_ERROR(cluster_.Save(id(), wished));
  kept_ = std::move(wished);
  return absl::OkStatus();
}

runtime::Savepoint& ClusterJob::AddSavepoint(runtime::ClusterJob& job) {
  runtime::Savepoint& savepoint = *job.add_savepoints();
  savepoint.set_id(fmt::format("{:016x}", env_.random.Next()));
  return savepoint;
}

bool ClusterJob::IsSettled(const runtime::Savepoint& savepoint) {
  return savepoint.complete() || !savepoint.failure().empty();
}

Status ClusterJob::Cancel() {
  if (ended()) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(
      SaveWish([](runtime::ClusterJob& job) { job.set_wish(runtime::WISH_CANCEL); }));
  master_->RequestCancel(Now());
  return absl::OkStatus();
}

Status ClusterJob::Stop(bool drain, std::string* savepoint) {
  WEIR_RETURN_IF_ERROR(RefuseEnded());
  if (kept_.wish() == runtime::WISH_CANCEL) {
    return absl::FailedPreconditionError(fmt::format("job {} is being canceled", id()));
  }
  WEIR_RETURN_IF_ERROR(SaveWish([&](runtime::ClusterJob& job) {
    job.set_wish(drain ? runtime::WISH_DRAIN : runtime::WISH_STOP);
    *savepoint = AddSavepoint(job).id();
  }));
  if (drain) {
    master_->RequestDrain(Now());
  } else {
    master_->RequestStop(Now());
  }
  return absl::OkStatus();
}

Status ClusterJob::TakeSavepoint(std::string* savepoint) {
  WEIR_RETURN_IF_ERROR(RefuseEnded());
  WEIR_RETURN_IF_ERROR(
      SaveWish([&](runtime::ClusterJob& job) { *savepoint = AddSavepoint(job).id(); }));
  master_->RequestSavepoint(Now());
  return absl::OkStatus();
}

Status ClusterJob::Rescale(int parallelism) {
  WEIR_RETURN_IF_ERROR(RefuseEnded());
  if (parallelism == static_cast<int>(kept_.parallelism())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(
      SaveWish([&](runtime::ClusterJob& job) { job.set_parallelism(parallelism); }));
  master_->Rescale(parallelism, Now());
  return absl::OkStatus();
}

void ClusterJob::LeaveWorker() {
  if (!ended()) master_->Rescale(static_cast<int>(kept_.parallelism()), Now());
}

const runtime::Savepoint* ClusterJob::FindSavepoint(const std::string& operation) const {
  for (const runtime::Savepoint& savepoint : kept_.savepoints()) {
    if (savepoint.id() == operation) return &savepoint;
  }
  return nullptr;
}

// The savepoints that were asked for before its barrier are this one.
void ClusterJob::OnSavepoint(CheckpointId checkpoint) {
  for (int i = 0; i < kept_.savepoints_size(); ++i) {
    runtime::Savepoint& savepoint = *kept_.mutable_savepoints(i);
    if (savepoint.checkpoint() != 0 || IsSettled(savepoint)) continue;
    savepoint.set_checkpoint(checkpoint);
    Keep(i);
  }
}

void ClusterJob::Keep(size_t index) {
  const runtime::Savepoint& savepoint = kept_.savepoints(static_cast<int>(index));
  checkpoints_.KeepAsSavepoint(savepoint.checkpoint(),
                               [this, id = savepoint.id()](const StatusOr<std::string>& path) {
                                 for (runtime::Savepoint& savepoint : *kept_.mutable_savepoints()) {
                                   if (savepoint.id() != id) continue;
                                   if (path.ok()) {
                                     savepoint.set_complete(true);
                                     savepoint.set_path(*path);
                                   } else {
                                     savepoint.set_failure(std::string(path.status().message()));
                                   }
                                 }
                                 const Status saved = Save();
                                 if (!saved.ok()) Log(LogLine::Error(std::string(saved.message())));
                               });
}

// Those that are not settled: of a coordinator that was here before, or of a job that has ended.
void ClusterJob::ExportSavepoints() {
  bool ask = false;
  for (int i = 0; i < kept_.savepoints_size(); ++i) {
    runtime::Savepoint& savepoint = *kept_.mutable_savepoints(i);
    if (IsSettled(savepoint)) continue;
    if (savepoint.checkpoint() != 0) {
      Keep(i);
    } else if (!ended()) {
      ask = true;
    } else if (record_.last_completed != 0 && record_.state != RunState::kFailed) {
      // Nothing was read behind it.
      savepoint.set_checkpoint(record_.last_completed);
      Keep(i);
    } else {
      savepoint.set_failure(fmt::format(
          "the job has ended as {} {}", ToString(record_.state),
          record_.last_completed == 0 ? "without a checkpoint" : "before it could be taken"));
      const Status saved = Save();
      if (!saved.ok()) Log(LogLine::Error(std::string(saved.message())));
    }
  }
  if (ask) master_->RequestSavepoint(Now());
}

}  // namespace weir
