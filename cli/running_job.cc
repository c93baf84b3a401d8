#include "cli/running_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>
#include <vector>

#include "cli/cluster.h"
#include "cli/common.h"
#include "core/environment.h"
#include "shadow/version.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir::cli {
namespace {

// A coordinator may be away for most of the time that a lease lasts.
constexpr Duration kLeaseLength = Minutes(10);
constexpr auto kRenewInterval = std::chrono::minutes(1);
constexpr size_t kIdDigits = 12;

}  // namespace

bool RunningJob::IsJob(const std::string& name) {
  const size_t dash = name.rfind('-');
  if (dash == std::string::npos || name.size() - dash - 1 != kIdDigits) return false;
  const bool hex =
      std::all_of(name.begin() + static_cast<std::ptrdiff_t>(dash) + 1, name.end(),
                  [](unsigned char c) { return isdigit(c) || (c >= 'a' && c <= 'f'); });
  std::error_code error;
  return hex && JobPath(name).ok() && !std::filesystem::exists(name, error);
}

RunningJob::RunningJob(RestClient client, std::string path, std::string job)
    : client_(std::move(client)),
      path_(std::move(path)),
      job_(std::move(job)),
      holder_(fmt::format("shadow-{:016x}", RealEnvironment().random.Next())) {}

StatusOr<std::unique_ptr<RunningJob>> RunningJob::Open(RestClient client, const std::string& job,
                                                       CheckpointId wanted) {
  WEIR_ASSIGN_OR_RETURN(std::string path, JobPath(job));
  std::unique_ptr<RunningJob> running(new RunningJob(std::move(client), std::move(path), job));
  Status leased = running->Lease(wanted, kLeaseLength);
  if (absl::IsNotFound(leased) && wanted != 0) leased = running->Lease(0, kLeaseLength);
  WEIR_RETURN_IF_ERROR(leased);
  rest::Submission submission;
  WEIR_RETURN_IF_ERROR(running->client_.Get(running->path_ + "/submission", submission));
  running->parameters_ = {submission.parameters().begin(), submission.parameters().end()};
  running->renews_ = std::thread([job = running.get()] { job->Renew(); });
  return running;
}

RunningJob::~RunningJob() {
  if (renews_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      ending_ = true;
    }
    ends_.notify_all();
    renews_.join();
  }
  if (number_ != 0) Lease(number_, 0).IgnoreError();  // it expires by itself
}

Status RunningJob::Lease(CheckpointId checkpoint, Duration length) {
  rest::LeaseRequest request;
  request.set_holder(holder_);
  request.set_checkpoint(static_cast<double>(checkpoint));
  request.set_seconds(static_cast<double>(length) / 1e6);
  rest::CheckpointLease lease;
  WEIR_RETURN_IF_ERROR(client_.Post(path_ + "/leases", request, lease));
  checkpoint_ = lease.path();
  number_ = static_cast<CheckpointId>(lease.checkpoint());
  return absl::OkStatus();
}

void RunningJob::Renew() {
  std::unique_lock lock(mutex_);
  while (!ends_.wait_for(lock, kRenewInterval, [this] { return ending_; })) {
    lock.unlock();
    const Status renewed = Lease(number_, kLeaseLength);
    if (!renewed.ok()) {
      PrintError(Annotate(renewed, fmt::format("checkpoint {} of job {} may be removed while it "
                                               "is read; asking again",
                                               number_, job_)));
    }
    lock.lock();
  }
}

StatusOr<std::string> RunningJob::Fetch(Parameters::Values parameters) const {
  rest::Submission submission;
  WEIR_RETURN_IF_ERROR(client_.Get(path_ + "/submission", submission));
  shadow::JobVersion version;
  version.library_path = fmt::format("library of job {}", job_);
  version.library_sha256 = submission.library_sha256();
  version.parameters = std::move(parameters);
  WEIR_ASSIGN_OR_RETURN(const std::string library, client_.ReadBlob(version.library_sha256));
  std::vector<Resource> resources;
  for (const rest::Resource& resource : submission.resources()) {
    StatusOr<std::string> bytes = client_.ReadBlob(resource.sha256());
    if (!bytes.ok()) return Annotate(bytes.status(), resource.name());
    resources.push_back({resource.name(), resource.path(), *std::move(bytes), resource.sha256()});
  }
  return shadow::SubmittedVersion(version, library, resources);
}

}  // namespace weir::cli
