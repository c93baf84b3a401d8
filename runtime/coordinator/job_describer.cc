#include "runtime/coordinator/job_describer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "core/child_process.h"
#include "core/limits.h"
#include "core/shared_memory.h"
#include "runtime/checkpoint/checkpoint_fit.h"
#include "state/checkpoint_store.h"

namespace weir {
namespace {

constexpr auto kLookInterval = std::chrono::milliseconds(5);

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

StatusOr<int> WaitFor(ChildProcess& child) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::microseconds(limits::kDescribeMax);
  for (;;) {
    if (const std::optional<int> ended = child.Ended()) return *ended;
    if (std::chrono::steady_clock::now() > deadline) {
      child.End();
      return absl::DeadlineExceededError(
          fmt::format("the job's builder has not come to an end within {}",
                      FormatDuration(limits::kDescribeMax)));
    }
    std::this_thread::sleep_for(kLookInterval);
  }
}

Status Describe(const runtime::DescribeJob& request, const BuiltJob& job, Environment& env,
                runtime::JobDescription& description) {
  const std::string& id = request.start().job_id();
  WEIR_ASSIGN_OR_RETURN(const FolderClaims claims, FolderClaims::Take(job, id, env));
  for (const std::string& folder : claims.folders()) description.add_writes(folder);
  for (size_t s = 0; s < job.stages.size(); ++s) {
    const StageCode& code = job.stages[s];
    const std::string where = fmt::format("stage '{}'", job.graph.stages[s].name);
    if (code.check) WEIR_RETURN_IF_ERROR(Annotate(code.check(env, id), where));
    if (code.last_committed) {
      const StatusOr<CheckpointId> last = code.last_committed(env, id, job.graph.stages[s].name);
      if (!last.ok()) return Annotate(last.status(), where);
      description.set_last_committed(std::max<uint64_t>(description.last_committed(), *last));
    }
    if (code.reloadable) {
      runtime::ReloadableFile& file = *description.add_reloadable();
      file.set_stage(job.graph.stages[s].name);
      file.set_resource(code.reloadable->resource);
      file.set_content(code.reloadable->bytes);
    }
  }
  if (!request.restore_from().empty()) {
    WEIR_ASSIGN_OR_RETURN(const NamedCheckpoint named,
                          OpenCheckpointFolder(env, request.restore_from()));
    WEIR_ASSIGN_OR_RETURN(const CheckpointFit fit, FitCheckpoint(named.manifest, job));
    WEIR_RETURN_IF_ERROR(fit.Check(named.manifest.checkpoint, request.drop_state()));
    for (const std::string& lost : fit.Dropped()) description.add_would_drop(lost);
  } else if (!request.restore_manifest().empty()) {
    WEIR_ASSIGN_OR_RETURN(const Manifest manifest,
                          Manifest::Parse(request.restore_manifest(), "the beginning"));
    WEIR_ASSIGN_OR_RETURN(const CheckpointFit fit, FitCheckpoint(manifest, job));
    WEIR_RETURN_IF_ERROR(fit.Check(manifest.checkpoint, request.drop_state()));
  }
  description.set_job_name(job.graph.job);
  description.set_graph(job.graph.Serialize());
  return absl::OkStatus();
}

}  // namespace

runtime::JobDescription DescribeFailure(const Status& status) {
  runtime::JobDescription description;
  description.set_code(static_cast<int>(status.code()));
  description.set_message(std::string(status.message()));
  return description;
}

runtime::JobDescription DescribeJob(const runtime::DescribeJob& request, const BuiltJob& job,
                                    Environment& env) {
  runtime::JobDescription description;
  const Status status = Describe(request, job, env, description);
  return status.ok() ? description : DescribeFailure(status);
}

StatusOr<runtime::JobDescription> DescribeInChild(const std::string& program,
                                                  const runtime::DescribeJob& request,
                                                  std::string& said) {
  Descriptor question, answer;
  WEIR_ASSIGN_OR_RETURN(question.fd, FileInMemory("weir-describe", request.SerializeAsString()));
  WEIR_ASSIGN_OR_RETURN(answer.fd, FileInMemory("weir-description", ""));
  // What does not fit is lost to the child, and takes no room here.
  WEIR_ASSIGN_OR_RETURN(const SharedMemory error,
                        SharedMemory::Create("weir-describe-error", limits::kLogTailBytes,
                                             SharedMemory::Access::kWriteThere));
  ChildProcess::Options options{program, {"describe"}, {question.fd, answer.fd}, error.fd()};
  WEIR_ASSIGN_OR_RETURN(ChildProcess child, ChildProcess::Start(options));
  const StatusOr<int> ended = WaitFor(child);
  said.assign(error.data(), strnlen(error.data(), limits::kLogTailBytes));
  WEIR_ASSIGN_OR_RETURN(const int wait_status, ended);
  runtime::JobDescription description;
  lseek(answer.fd, 0, SEEK_SET);
  if (wait_status != 0 || !description.ParseFromFileDescriptor(answer.fd)) {
    return absl::FailedPreconditionError(
        fmt::format("the process that loads the job's library {}: mend the library's builder",
                    DescribeWaitStatus(wait_status)));
  }
  if (description.code() != 0) {
    return Status(static_cast<absl::StatusCode>(description.code()), description.message());
  }
  return description;
}

}  // namespace weir
