#include <signal.h>

#include <iostream>

#include "cli/commands.h"
#include "cli/local_run.h"
#include "cli/report.h"
#include "runtime/crash_handler.h"

namespace weir::cli {

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

  LocalJobOptions options = LocalOptionsOf(*loaded);
  options.data_dir = flags.data;
  options.parallelism = flags.parallelism;
  options.workers = flags.workers;
  options.memory_bytes = *memory;
  options.checkpoint_interval = *interval;
  options.from = flags.from;
  options.fresh = flags.fresh;
  options.accept_duplicates = flags.accept_duplicates;
  options.drop_state = flags.drop_state;
  options.encode_edges = flags.encode_edges;
  ProcessLog process(flags.log_format, LogFormat::kPlain);
  if (process.json()) options.executors.start.set_log_format(flags.log_format);
  const std::optional<LocalJobResult> result =
      RunLocally(*loaded, options, signals, process, nullptr, exit_code);
  if (!result) return exit_code;
  std::cout << (flags.output == "json" ? ReportJson(*result) : ReportTable(*result));
  return FinishOutput(static_cast<ExitCode>(exit_code));
}

}  // namespace weir::cli
