#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <thread>

#include "cli/commands.h"
#include "cli/process_log.h"
#include "cli/progress_display.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "runtime/crash_handler.h"
#include "runtime/limits.h"
#include "runtime/local_job.h"
#include "runtime/secrets_in_text.h"

namespace weir::cli {
namespace {

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

int Run(const RunFlags& flags) {
  InstallCrashHandler();
  SignalThread signals(
      {SIGHUP, SIGINT, SIGTERM});  // before any thread starts, so that all inherit the mask
  StatusOr<Duration> interval = ParseDuration(flags.checkpoint_interval);
  if (!interval.ok())
    return PrintError(Annotate(interval.status(), "--checkpoint-interval")), kUsage;
  StatusOr<uint64_t> memory = ParseSize(flags.memory);
  if (!memory.ok()) return PrintError(Annotate(memory.status(), "--memory")), kUsage;
  if (flags.fresh && !flags.from.empty()) {
    return PrintError(absl::InvalidArgumentError("--fresh and --from exclude each other")), kUsage;
  }
  int exit_code = kDone;
  std::optional<LoadedJob> loaded = LoadJob(flags.job, exit_code);
  if (!loaded) return exit_code;

  LocalJobOptions options;
  options.data_dir = flags.data;
  options.identity.job_name = loaded->library.name();
  options.identity.library_sha256 = loaded->library.sha256();
  for (const Resource& resource : loaded->parameters.resources()) {
    options.identity.resources[resource.name] = resource.sha256;
  }
  options.identity.parameters = loaded->parameters.values();
  options.parallelism = flags.parallelism;
  options.workers = flags.workers;
  if (flags.workers > 0) options.executors = ExecutorsOf(*loaded);
  options.memory_bytes = *memory;
  options.checkpoint_interval = *interval;
  options.from = flags.from;
  options.fresh = flags.fresh;
  options.accept_duplicates = flags.accept_duplicates;
  options.drop_state = flags.drop_state;
  options.encode_edges = flags.encode_edges;
  options.stall_max = limits::kStallMax;
  ProcessLog process(flags.log_format, LogFormat::kPlain);
  if (process.json()) options.executors.start.set_log_format(flags.log_format);
  Environment& env = RealEnvironment();
  StatusOr<std::unique_ptr<LocalJob>> job = LocalJob::Prepare(loaded->built, options, env);
  if (!job.ok()) return process.Fail(job.status());

  signals.Watch(SignalsOf(**job, process.log()));
  ProgressDisplay display(stderr, isatty(STDERR_FILENO) != 0 && !process.json(), process.log());
  LocalJob::Observer observer;
  observer.progress = [&](const JobStatus& status) {
    display.Update(status, env.clock.MonotonicMicros());
  };
  observer.log = [&](const LogLine& line) { display.Log(line); };
  LocalJobResult result = (*job)->Run(observer);
  signals.Stop();
  display.Finish(result.status, env.clock.MonotonicMicros());
  if (!result.status.failure.ok()) {
    std::string why(result.status.failure.message());
    HideParameters(options.identity.parameters, why);
    process.Fail(absl::UnknownError("the job failed: " + why), ExitCodeOf(result));
  }
  std::cout << (flags.output == "json" ? ReportJson(result) : ReportTable(result));
  return FinishOutput(ExitCodeOf(result));
}

}  // namespace weir::cli
