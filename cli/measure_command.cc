// weir measure: one version of a job, alone, to see what it costs. Started by `weir shadow`.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <optional>

#include "cli/answering_child.h"
#include "cli/commands.h"
#include "cli/run_cost.h"
#include "runtime/checkpoint/checkpoint_fit.h"
#include "runtime/crash_handler.h"
#include "runtime/local_job.h"
#include "shadow/measured_job.h"
#include "shadow/version.h"
#include "state/checkpoint_store.h"

namespace weir::cli {
namespace {

// Of this process and of those that it has started and that have ended.
double CpuSeconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage;
    if (getrusage(who, &usage) != 0) continue;
    for (const timeval& time : {usage.ru_utime, usage.ru_stime}) {
      seconds += static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
    }
  }
  return seconds;
}

StatusOr<Manifest> LastCheckpoint(const std::string& data, const std::string& job_id) {
  LocalObjectStore objects(RealEnvironment(), data + "/checkpoints");
  CheckpointStore store(objects, RealEnvironment(), CheckpointStoreOptions{job_id});
  WEIR_ASSIGN_OR_RETURN(const std::vector<CheckpointId> checkpoints, store.List());
  if (checkpoints.empty()) return absl::NotFoundError("it left no checkpoint");
  return store.LoadManifest(checkpoints.back());
}

StatusOr<RunCost> MeasureOnce(const MeasureFlags& flags) {
  Environment& env = RealEnvironment();
  LocalJobOptions options;
  WEIR_ASSIGN_OR_RETURN(options.memory_bytes, ParseSize(flags.memory));
  WEIR_ASSIGN_OR_RETURN(const Duration time, ParseDuration(flags.time));
  WEIR_ASSIGN_OR_RETURN(const std::string packed, ReadFile(env.disk, flags.version));
  WEIR_ASSIGN_OR_RETURN(BuiltJob version, shadow::BuildVersion(packed));

  LocalJob* running = nullptr;
  double cpu_before = 0;
  const auto meter = std::make_shared<shadow::RunMeter>(
      shadow::RunMeter::Options{.readers = shadow::ReadersOf(version.graph, flags.parallelism),
                                .records = flags.records,
                                .time = time,
                                .on_begin = [&] { cpu_before = CpuSeconds(); },
                                .on_end = [&] { running->RequestStop(); }});
  if (!flags.from.empty()) {
    WEIR_ASSIGN_OR_RETURN(NamedCheckpoint named, OpenCheckpointFolder(env, flags.from));
    auto beginning = std::make_shared<LocalJobOptions::Beginning>();
    beginning->manifest = shadow::MeasuredCheckpoint(named.manifest, version.graph);
    beginning->objects = std::move(named.objects);
    options.beginning = std::move(beginning);
  }
  const std::string job = version.graph.job;
  const BuiltJob measured = shadow::MeasuredJob(std::move(version), meter);
  options.data_dir = flags.data;
  options.identity.job_name = job;
  options.parallelism = flags.parallelism;
  options.checkpoint_interval = 0;
  options.drop_state = true;  // what the version has no use for stays where it is
  options.restarts_max = 0;
  WEIR_ASSIGN_OR_RETURN(const auto local, LocalJob::Prepare(measured, options, env));
  running = local.get();
  const LocalJobResult result = local->Run({});
  const double cpu_after = CpuSeconds();
  WEIR_RETURN_IF_ERROR(result.status.failure);

  RunCost cost;
  cost.records = meter->records();
  cost.elapsed_s = meter->elapsed_s();
  cost.cpu_s = cpu_after - cpu_before;
  cost.output_bytes = meter->output_bytes();
  cost.latency_p50_ms = meter->LatencyMillis(0.5);
  cost.latency_p99_ms = meter->LatencyMillis(0.99);
  WEIR_ASSIGN_OR_RETURN(const Manifest last, LastCheckpoint(flags.data, local->job_id()));
  cost.state_bytes = shadow::StateBytes(last);
  return cost;
}

}  // namespace

int RunMeasure(const MeasureFlags& flags) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  InstallCrashHandler();
  StatusOr<RunCost> cost = MeasureOnce(flags);
  if (!cost.ok()) {
    cost = RunCost{.failure = "that failed: " + std::string(cost.status().message())};
  }
  const Status status = Answer(EncodeToString(*cost));
  PrintError(status);
  return status.ok() ? kDone : ExitCodeOf(status);
}

}  // namespace weir::cli
