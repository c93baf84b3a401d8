#include "cli/shadow_cluster.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "cli/cluster.h"
#include "cli/cluster_report.h"
#include "cli/submission.h"
#include "jobs/parameters.h"
#include "shadow/weave.h"

namespace weir::cli {
namespace {

// `from`: a checkpoint that the job goes on from; empty: a new job.
StatusOr<std::string> Submit(const RestClient& client, const ClusterShadow& shadow,
                             const std::string& from) {
  WEIR_ASSIGN_OR_RETURN(rest::SubmitRequest request, SubmissionOf(*shadow.woven, shadow.parallelism,
                                                                  shadow.checkpoint_interval));
  request.set_from(from);
  WEIR_RETURN_IF_ERROR(SendFiles(client, *shadow.woven));
  if (from.empty()) {
    // Results of a job that the cluster has forgotten.
    WEIR_RETURN_IF_ERROR(shadow.folder->DeletePrefix(shadow.results + "/"));
    if (shadow.beginning) {
      const std::string manifest = shadow.beginning->Serialize();
      request.mutable_beginning()->set_manifest_sha256(Sha256Hex(manifest));
      request.mutable_beginning()->set_checkpoint(shadow.from);
      request.set_drop_state(true);  // what it drops stays where it is: a shadow loses nothing
      WEIR_RETURN_IF_ERROR(client.SendBlob(request.beginning().manifest_sha256(), manifest));
    }
  }
  rest::Submitted submitted;
  WEIR_RETURN_IF_ERROR(client.Post("/v1/jobs", request, submitted));
  WEIR_RETURN_IF_ERROR(shadow.folder->Put(shadow.job, submitted.id()));
  return submitted.id();
}

// The job that does this comparison: one that was submitted before, if it can still come to its
// end, or a new one.
StatusOr<std::string> FindOrSubmit(const RestClient& client, const ClusterShadow& shadow) {
  const StatusOr<std::string> before = shadow.folder->Get(shadow.job);
  if (absl::IsNotFound(before.status())) return Submit(client, shadow, "");
  WEIR_RETURN_IF_ERROR(before.status());
  WEIR_ASSIGN_OR_RETURN(const std::string path, JobPath(*before));
  rest::Job job;
  const Status known = AskPatiently(client, [&] { return client.Get(path, job); });
  if (absl::IsNotFound(known)) return Submit(client, shadow, "");
  WEIR_RETURN_IF_ERROR(known);
  if (!job.ended() || job.state() == "FINISHED") return *before;
  rest::CheckpointList checkpoints;
  WEIR_RETURN_IF_ERROR(client.Get(path + "/checkpoints", checkpoints));
  // What it began with is in its first checkpoint, so it goes on from that at least.
  if (checkpoints.checkpoints().empty()) return Submit(client, shadow, "");
  return Submit(client, shadow, checkpoints.checkpoints(0).path());
}

uint64_t RecordsRead(const rest::Job& job) {
  double read = 0;
  const std::string prefix = shadow::WovenName(shadow::Version::kBaseline, "");
  for (const rest::Operator& op : job.operators()) {
    if (op.kind() != "source" || !op.name().starts_with(prefix)) continue;
    read += std::max(op.records_out(), op.live_records_out());
  }
  return static_cast<uint64_t>(read);
}

StatusOr<rest::Job> Await(const RestClient& client, const ClusterShadow& shadow,
                          const std::string& id, Log& log) {
  WEIR_ASSIGN_OR_RETURN(const std::string path, JobPath(id));
  std::string last;
  bool draining = false;
  return AwaitEnd(client, path, [&](const rest::Job& now) {
    if (now.state() != last) log.Write(fmt::format("{}: {}", id, StateText(now)));
    last = now.state();
    if (draining || now.state() != "RUNNING") return;
    if (!shadow.enough || !shadow.enough(RecordsRead(now))) return;
    rest::StopRequest request;
    request.set_drain(true);
    rest::SavepointOperation answer;
    // What is refused is asked for again with the next look.
    draining =
        AskPatiently(client, [&] { return client.Post(path + "/stop", request, answer); }).ok();
  });
}

}  // namespace

std::optional<uint64_t> RunOnCluster(const RestClient& client, const ClusterShadow& shadow,
                                     SignalThread& signals, ProcessLog& process, int& exit_code) {
  const auto fail = [&](const Status& status) {
    exit_code = process.Fail(status, ExitCodeOfAnswer(status));
    return std::nullopt;
  };
  const StatusOr<std::string> id = FindOrSubmit(client, shadow);
  if (!id.ok()) return fail(id.status());
  process.log().Write(
      fmt::format("the comparison is job {} of the cluster at {}; Ctrl-C ends the waiting, not the "
                  "job, and the same command waits for it again",
                  *id, client.coordinator().ToString()));
  signals.Watch([](int signal) {
    if (signal != SIGHUP) _exit(kInterrupted);
  });
  const StatusOr<rest::Job> job = Await(client, shadow, *id, process.log());
  signals.Stop();
  if (!job.ok()) return fail(job.status());
  if (job->state() == "FINISHED") return RecordsRead(*job);
  exit_code = process.Fail(
      absl::UnknownError(fmt::format(
          "the comparison, job {}, is {}{}{}; the same command goes on from its last checkpoint",
          *id, job->state(), job->failure().empty() ? "" : ": ", job->failure())),
      job->state() == "FAILED" ? kJobFailed : kInterrupted);
  return std::nullopt;
}

}  // namespace weir::cli
