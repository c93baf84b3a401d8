#include "cli/local_run.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <utility>

#include "cli/progress_display.h"
#include "runtime/limits.h"
#include "runtime/secrets_in_text.h"

namespace weir::cli {
namespace {

// As if the signal had not been blocked: the end, unless whoever started the process said otherwise
// (nohup).
void HangUp() {
  sigset_t hangup;
  sigemptyset(&hangup);
  sigaddset(&hangup, SIGHUP);
  pthread_sigmask(SIG_UNBLOCK, &hangup, nullptr);
  raise(SIGHUP);
  pthread_sigmask(SIG_BLOCK, &hangup, nullptr);
}

// Ctrl-C and SIGTERM are a stop with a checkpoint, a second one an end at once, and SIGHUP a
// reload; a job that has nothing to reload takes SIGHUP as any process does.
std::function<void(int)> SignalsOf(LocalJob& job, Log& log) {
  return [&job, end = EndsAtOnceTheSecondTime([&job, &log] {
                  log.Write("stopping with a checkpoint; once more stops at once");
                  job.RequestStop();
                })](int signal) {
    if (signal != SIGHUP) return end(signal);
    if (!job.RequestReload()) HangUp();
  };
}

// How to start processes that run the same job.
ExecutorProcessOptions ExecutorsOf(const LoadedJob& loaded) {
  ExecutorProcessOptions options;
  options.program = ThisProgram();
  options.start.set_library(loaded.library.path());
  options.start.set_library_sha256(loaded.library.sha256());
  for (const auto& [name, value] : loaded.parameters.values()) {
    (*options.start.mutable_parameters())[name] = value;
  }
  for (const Resource& resource : loaded.parameters.resources()) {
    runtime::ResourceFile& file = *options.start.add_resources();
    file.set_name(resource.name);
    file.set_path(resource.path);
    file.set_content(resource.bytes);
  }
  return options;
}

}  // namespace

ExitCode ExitCodeOf(const LocalJobResult& result) {
  switch (result.state) {
    case RunState::kFinished:
      return kDone;
    case RunState::kSuspended:
      return kInterrupted;
    default:
      return absl::IsOutOfRange(result.status.failure) ? kCheckpointDoesNotFit : kJobFailed;
  }
}

LocalJobOptions LocalOptionsOf(const LoadedJob& loaded) {
  LocalJobOptions options;
  options.identity.job_name = loaded.library.name();
  options.identity.library_sha256 = loaded.library.sha256();
  for (const Resource& resource : loaded.parameters.resources()) {
    options.identity.resources[resource.name] = resource.sha256;
  }
  options.identity.parameters = loaded.parameters.values();
  options.executors = ExecutorsOf(loaded);
  options.stall_max = limits::kStallMax;
  return options;
}

std::optional<LocalJobResult> RunLocally(
    const LoadedJob& loaded, const LocalJobOptions& options, SignalThread& signals,
    ProcessLog& process, const std::function<void(LocalJob&, const JobStatus&)>& watch,
    int& exit_code) {
  Environment& env = RealEnvironment();
  StatusOr<std::unique_ptr<LocalJob>> job = LocalJob::Prepare(loaded.built, options, env);
  if (!job.ok()) {
    exit_code = process.Fail(job.status());
    return std::nullopt;
  }
  signals.Watch(SignalsOf(**job, process.log()));
  ProgressDisplay display(stderr, isatty(STDERR_FILENO) != 0 && !process.json(), process.log());
  LocalJob::Observer observer;
  observer.progress = [&](const JobStatus& status) {
    display.Update(status, env.clock.MonotonicMicros());
    if (watch) watch(**job, status);
  };
  observer.log = [&](const LogLine& line) { display.Log(line); };
  LocalJobResult result = (*job)->Run(observer);
  signals.Stop();
  display.Finish(result.status, env.clock.MonotonicMicros());
  exit_code = ExitCodeOf(result);
  if (!result.status.failure.ok()) {
    std::string why(result.status.failure.message());
    HideParameters(options.identity.parameters, why);
    process.Fail(absl::UnknownError("the job failed: " + why), ExitCodeOf(result));
  }
  return result;
}

}  // namespace weir::cli
