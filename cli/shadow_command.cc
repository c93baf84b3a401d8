// weir shadow: two versions of a job on the same input, compared, and a verdict.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <utility>

#include "cli/answering_child.h"
#include "cli/cluster.h"
#include "cli/commands.h"
#include "cli/local_run.h"
#include "cli/running_job.h"
#include "cli/shadow_cluster.h"
#include "cli/shadow_cost.h"
#include "cli/shadow_folder.h"
#include "cli/shadow_reports.h"
#include "core/child_process.h"
#include "runtime/checkpoint/checkpoint_fit.h"
#include "runtime/crash_handler.h"
#include "runtime/data_folder.h"
#include "shadow/report_json.h"
#include "shadow/report_table.h"
#include "shadow/shadow_job.h"
#include "shadow/version.h"
#include "shadow/weave.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"

namespace weir::cli {
namespace {

using shadow::JobVersion;

// A side of the comparison, as the command line names it.
struct Side {
  const char* name;
  JobFlags job;
  std::string submitted;  // of a job of a cluster: shadow::SubmittedVersion, in place of `job`
  std::string packed;
  JobVersion version;
};

// Has another process load the side's job, since none may load both, and pack it. Errors have been
// told by then, and exit_code says how to end. Cancelled: stopped.
Status Pack(Side& side, const std::string& from, const std::function<bool()>& stopped,
            int& exit_code) {
  std::vector<std::string> words = {"pack"};
  if (!from.empty()) words.insert(words.end(), {"--from", from});
  if (side.submitted.empty()) {
    words.push_back(side.job.library);
    for (const std::string& parameter : side.job.parameters) {
      words.push_back("-D");
      words.push_back(parameter);
    }
  }
  WEIR_ASSIGN_OR_RETURN(ChildAnswer answer, AskChild(std::move(words), stopped, side.submitted));
  // The code of a library may end the process as well, and then nobody has told why.
  static constexpr int kOwn[] = {kDone, kUsage, kCheckpointDoesNotFit, kUnreachable,
                                 kConfiguration};
  const bool own = WIFEXITED(answer.wait_status) &&
                   std::ranges::count(kOwn, WEXITSTATUS(answer.wait_status)) > 0;
  if (!own || (WEXITSTATUS(answer.wait_status) == kDone && answer.bytes.empty())) {
    return absl::FailedPreconditionError(
        fmt::format("the process that loads the {} {}: mend the library's builder", side.name,
                    DescribeWaitStatus(answer.wait_status)));
  }
  exit_code = WEXITSTATUS(answer.wait_status);
  if (exit_code != kDone) return absl::OkStatus();
  side.packed = std::move(answer.bytes);
  WEIR_ASSIGN_OR_RETURN(side.version, shadow::ReadVersion(side.packed));
  return absl::OkStatus();
}

// False: one of them cannot be; that has been told, and exit_code says how to end.
bool PackBoth(Side& baseline, Side& candidate, const std::string& from, SignalThread& signals,
              int& exit_code) {
  std::atomic<bool> stopped = false;
  signals.Watch([&stopped](int) { stopped = true; });
  for (Side* side : {&baseline, &candidate}) {
    const Status packed = Pack(
        *side, from, [&stopped] { return stopped.load(); }, exit_code);
    if (!packed.ok()) {
      exit_code = absl::IsCancelled(packed) ? kInterrupted : ExitCodeOf(packed);
      if (exit_code != kInterrupted) PrintError(packed);
    }
    if (exit_code != kDone) break;
  }
  signals.Stop();
  return exit_code == kDone;
}

// A parameter that a version has of its own stands in place of that of both.
std::vector<std::string> Joined(const std::vector<std::string>& common,
                                const std::vector<std::string>& own) {
  const auto name = [](std::string_view parameter) {
    return parameter.substr(0, parameter.find('='));
  };
  std::vector<std::string> all = own;
  std::copy_if(common.begin(), common.end(), std::back_inserter(all), [&](const auto& one) {
    return std::none_of(own.begin(), own.end(),
                        [&](const auto& other) { return name(other) == name(one); });
  });
  return all;
}

// Neither reaches outside; and where the sources are to `end_early`, all versions get their rows
// from the same one, as anything else would not be fair.
Status CheckComparable(const JobGraph& baseline, const JobGraph& candidate, bool end_early) {
  WEIR_RETURN_IF_ERROR(shadow::CheckStaysInside(baseline, shadow::Version::kBaseline));
  WEIR_RETURN_IF_ERROR(shadow::CheckStaysInside(candidate, shadow::Version::kCandidate));
  for (const JobGraph* graph : {&baseline, &candidate}) {
    for (const StageSpec& stage : graph->stages) {
      if (!end_early || stage.role != StageRole::kSource ||
          shadow::SharesSource(baseline, candidate, stage.name)) {
        continue;
      }
      return absl::FailedPreconditionError(fmt::format(
          "--records and --for end the sources where they are, and the versions have not one "
          "source '{}' of the same options but read for themselves: each would end elsewhere; "
          "give both the same source, or an input that ends",
          stage.name));
    }
  }
  return absl::OkStatus();
}

// Given what the baseline has read: whether that is enough for --records, or for --for.
std::function<bool(uint64_t)> EnoughFor(uint64_t records, Duration time) {
  if (records == 0 && time == 0) return nullptr;
  const int64_t until =
      time == 0 ? kMaxTimestamp : RealEnvironment().clock.MonotonicMicros() + time;
  return [records, until](uint64_t read) {
    return (records > 0 && read >= records) || RealEnvironment().clock.MonotonicMicros() >= until;
  };
}

// What a version reads is there, and the checkpoint that it begins with fits. Sinks are never made.
Status CheckReads(const BuiltJob& built, const std::string& from) {
  for (size_t s = 0; s < built.stages.size(); ++s) {
    const StageCode& code = built.stages[s];
    if (!code.source || !code.check) continue;
    WEIR_RETURN_IF_ERROR(Annotate(code.check(RealEnvironment(), ""),
                                  fmt::format("stage '{}'", built.graph.stages[s].name)));
  }
  if (from.empty()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(const NamedCheckpoint named, OpenCheckpointFolder(RealEnvironment(), from));
  WEIR_ASSIGN_OR_RETURN(const CheckpointFit fit, FitCheckpoint(named.manifest, built));
  // What it drops stays where it is: a shadow loses nothing.
  return fit.Check(named.manifest.checkpoint, /*drop_state=*/true);
}

// The baseline is a job of a cluster: the side gets what it was submitted with, and the candidate
// its parameters where it is given no others.
StatusOr<std::unique_ptr<RunningJob>> OpenRunningJob(const ShadowFlags& flags, ObjectStore& folder,
                                                     Side& baseline, Side& candidate) {
  WEIR_ASSIGN_OR_RETURN(RestClient client, OpenCluster(flags.cluster));
  WEIR_ASSIGN_OR_RETURN(auto running,
                        RunningJob::Open(std::move(client), flags.baseline,
                                         shadow_folder::BegunWith(folder, flags.baseline)));
  std::vector<std::string> of_job;
  for (const auto& [name, value] : running->parameters()) of_job.push_back(name + "=" + value);
  for (Side* side : {&baseline, &candidate}) {
    side->job.parameters = Joined(of_job, side->job.parameters);
  }
  WEIR_ASSIGN_OR_RETURN(Parameters::Values values, ParseParameters(baseline.job.parameters));
  WEIR_ASSIGN_OR_RETURN(baseline.submitted, running->Fetch(std::move(values)));
  return running;
}

// What the baseline has read in the comparison.
uint64_t RecordsRead(const JobStatus& status) {
  uint64_t read = 0;
  const std::string prefix = shadow::WovenName(shadow::Version::kBaseline, "");
  for (const OperatorStatus& op : status.operators) {
    if (op.kind != "source" || !op.name.starts_with(prefix)) continue;
    read += std::max(op.live.records_out, op.completed.records_out);
  }
  return read;
}

// What the woven job begins with. Null: nothing.
StatusOr<std::shared_ptr<const LocalJobOptions::Beginning>> BeginningOf(const std::string& from,
                                                                        const Side& baseline,
                                                                        const Side& candidate) {
  if (from.empty()) return nullptr;
  WEIR_ASSIGN_OR_RETURN(NamedCheckpoint named, OpenCheckpointFolder(RealEnvironment(), from));
  auto beginning = std::make_shared<LocalJobOptions::Beginning>();
  beginning->manifest =
      shadow::WeaveCheckpoint(named.manifest, baseline.version.graph, candidate.version.graph);
  beginning->objects = std::move(named.objects);
  return beginning;
}

// As RunOnCluster(), on this machine.
std::optional<uint64_t> RunHere(const LoadedJob& woven, const LocalJobOptions& options,
                                const std::function<bool(uint64_t)>& enough, SignalThread& signals,
                                ProcessLog& process, int& exit_code) {
  const auto watch = [&enough](LocalJob& job, const JobStatus& status) {
    if (enough && enough(RecordsRead(status))) job.RequestDrain();
  };
  const std::optional<LocalJobResult> result =
      RunLocally(woven, options, signals, process, watch, exit_code);
  if (!result || exit_code != kDone) return std::nullopt;
  return RecordsRead(result->status);
}

// The woven job, and how it is to run.
struct Comparison {
  const LoadedJob& woven;
  std::shared_ptr<const LocalJobOptions::Beginning> beginning;  // null: none
  std::string from;                                             // the checkpoint that it is made of
  std::optional<RestClient> cluster;                            // none: on this machine
  uint64_t memory_bytes = 0;
  Duration checkpoint_interval = 0;
  std::function<bool(uint64_t)> enough;
};

// As RunOnCluster(), or RunHere().
std::optional<uint64_t> Run(const Comparison& comparison, const ShadowFlags& flags,
                            LocalObjectStore& folder, SignalThread& signals, ProcessLog& process,
                            int& exit_code) {
  if (comparison.cluster) {
    ClusterShadow there;
    there.woven = &comparison.woven;
    there.parallelism = flags.parallelism;
    there.checkpoint_interval = comparison.checkpoint_interval;
    if (comparison.beginning != nullptr) there.beginning = comparison.beginning->manifest;
    there.from = comparison.from;
    there.folder = &folder;
    there.job = shadow_folder::kJob;
    there.results = shadow_folder::kResults;
    there.enough = comparison.enough;
    return RunOnCluster(*comparison.cluster, there, signals, process, exit_code);
  }
  LocalJobOptions options = LocalOptionsOf(comparison.woven);
  options.beginning = comparison.beginning;
  options.data_dir = folder.Location(shadow_folder::kData);
  options.parallelism = flags.parallelism;
  options.workers = 1;  // of each part
  options.memory_bytes = comparison.memory_bytes;
  options.checkpoint_interval = comparison.checkpoint_interval;
  if (process.json()) options.executors.start.set_log_format(flags.log_format);
  return RunHere(comparison.woven, options, comparison.enough, signals, process, exit_code);
}

// Cancelled: by a signal.
StatusOr<Cost> CostOf(const ShadowFlags& flags, const std::string& from, LocalObjectStore& folder,
                      uint64_t records, SignalThread& signals, ProcessLog& process) {
  if (flags.cost_runs == 0) return Cost{};
  process.log().Write(
      fmt::format("measuring what each version costs: {} runs of each alone", flags.cost_runs));
  std::atomic<bool> stopped = false;
  signals.Watch([&stopped](int) { stopped = true; });
  CostOptions options;
  options.runs = flags.cost_runs;
  options.parallelism = flags.parallelism;
  options.memory = flags.memory;
  options.from = from;
  // An input that ends is read to its end, also what the comparison has not seen of it.
  if (flags.records > 0 || !flags.time.empty()) options.records = records;
  options.folder = &folder;
  options.baseline = shadow_folder::kBaseline;
  options.candidate = shadow_folder::kCandidate;
  options.work = shadow_folder::kCost;
  options.stopped = [&stopped] { return stopped.load(); };
  StatusOr<Cost> cost = MeasureCost(options);
  signals.Stop();
  return cost;
}

// Flags that are numbers with a unit.
struct Settings {
  uint64_t memory_bytes = 0;
  Duration checkpoint_interval = 0;
  Duration time = 0;  // 0: to the end of the input
};

template <class Value>
StatusOr<Value> OfFlag(const char* flag, StatusOr<Value> value) {
  if (!value.ok()) return Annotate(value.status(), flag);
  return value;
}

StatusOr<Settings> SettingsOf(const ShadowFlags& flags) {
  Settings settings;
  WEIR_ASSIGN_OR_RETURN(settings.memory_bytes, OfFlag("--memory", ParseSize(flags.memory)));
  WEIR_ASSIGN_OR_RETURN(settings.checkpoint_interval,
                        OfFlag("--checkpoint-interval", ParseDuration(flags.checkpoint_interval)));
  WEIR_RETURN_IF_ERROR(OfFlag("--patience", ParseDuration(flags.patience)).status());
  if (flags.time.empty()) return settings;
  WEIR_ASSIGN_OR_RETURN(settings.time, OfFlag("--for", ParseDuration(flags.time)));
  if (settings.time == 0) return absl::InvalidArgumentError("--for: expected more than no time");
  return settings;
}

}  // namespace

int RunPack(const PackFlags& flags) {
  int exit_code = kDone;
  const bool submitted = flags.job.library.empty();
  const std::optional<LoadedJob> loaded = submitted ? std::nullopt : LoadJob(flags.job, exit_code);
  if (!submitted && !loaded) return exit_code;
  const auto pack = [&]() -> Status {
    std::string packed;
    if (loaded) {
      WEIR_RETURN_IF_ERROR(CheckReads(loaded->built, flags.from));
      WEIR_ASSIGN_OR_RETURN(
          packed, shadow::PackVersion(loaded->library, loaded->parameters, loaded->built));
    } else {
      WEIR_ASSIGN_OR_RETURN(const std::string submitted, Question());
      WEIR_ASSIGN_OR_RETURN(const BuiltJob built, shadow::BuildVersion(submitted));
      WEIR_RETURN_IF_ERROR(CheckReads(built, flags.from));
      WEIR_ASSIGN_OR_RETURN(packed, shadow::BuiltVersion(submitted, built));
    }
    return Answer(packed);
  };
  const Status status = pack();
  PrintError(status);
  return status.ok() ? kDone : ExitCodeOf(status);
}

int Shadow(const ShadowFlags& flags) {
  InstallCrashHandler();
  SignalThread signals({SIGHUP, SIGINT, SIGTERM});  // before any thread starts
  const StatusOr<Settings> settings = SettingsOf(flags);
  if (!settings.ok()) return PrintError(settings.status()), kUsage;
  Environment& env = RealEnvironment();
  Side baseline{"baseline", {flags.baseline, Joined(flags.parameters, flags.baseline_parameters)}};
  Side candidate{"candidate",
                 {flags.candidate, Joined(flags.parameters, flags.candidate_parameters)}};
  // The executors of a cluster are to find it too.
  std::error_code error;
  const std::string report_folder =
      std::filesystem::absolute(flags.report, error).lexically_normal();
  LocalObjectStore folder(env, report_folder);
  std::unique_ptr<RunningJob> running;
  std::string from = flags.from;
  if (RunningJob::IsJob(flags.baseline)) {
    if (!from.empty()) {
      return PrintError(absl::InvalidArgumentError(
                 "--from: a shadow of a job begins with its last checkpoint; give a library as "
                 "--baseline to begin with another")),
             kUsage;
    }
    auto opened = OpenRunningJob(flags, folder, baseline, candidate);
    if (!opened.ok()) {
      return PrintError(Annotate(opened.status(), "--baseline")), ExitCodeOfAnswer(opened.status());
    }
    running = *std::move(opened);
    from = running->checkpoint();
  }
  int exit_code = kDone;
  if (!PackBoth(baseline, candidate, from, signals, exit_code)) return exit_code;
  const Status comparable = CheckComparable(baseline.version.graph, candidate.version.graph,
                                            flags.records > 0 || settings->time > 0);
  if (!comparable.ok()) return PrintError(comparable), ExitCodeOf(comparable);
  std::string rules;
  if (!flags.rules.empty()) {
    StatusOr<std::string> bytes = ReadFile(env.disk, flags.rules);
    if (!bytes.ok()) return PrintError(Annotate(bytes.status(), "--rules")), kConfiguration;
    rules = *std::move(bytes);
    // Errors are told before an earlier run makes room. They do not depend on the day.
    const auto checked = shadow::RulesOn(shadow_folder::DayOf(env.clock.Now()), rules, flags.rules);
    if (!checked.ok()) return PrintError(checked.status()), kConfiguration;
  }
  std::optional<RestClient> cluster;
  if (flags.on_cluster || (running == nullptr && !flags.cluster.coordinator.empty())) {
    StatusOr<RestClient> client = OpenCluster(flags.cluster);
    if (!client.ok()) return PrintError(client.status()), kUsage;
    cluster.emplace(*std::move(client));
  }
  // Whoever else works there is not to be disturbed.
  const auto lock = LockDataFolder(env, report_folder, "--report");
  if (!lock.ok()) return PrintError(lock.status()), ExitCodeOf(lock.status());
  const StatusOr<std::string> day =
      shadow_folder::Prepare(env, folder,
                             {baseline.packed, candidate.packed, from, rules,
                              cluster ? cluster->coordinator().ToString() : "", flags.patience});
  if (!day.ok()) return PrintError(day.status()), ExitCodeOf(day.status());
  const StatusOr<std::shared_ptr<const shadow::ShadowRules>> parsed =
      shadow::RulesOn(*day, rules, flags.rules);
  if (!parsed.ok()) return PrintError(parsed.status()), kConfiguration;

  JobFlags woven;
  woven.library = shadow::kShadowJob;
  const std::string results = folder.Location(shadow_folder::kResults);
  woven.parameters = {"baseline=" + folder.Location(shadow_folder::kBaseline),
                      "candidate=" + folder.Location(shadow_folder::kCandidate),
                      "rules=" + folder.Location(shadow_folder::kRules),
                      "day=" + *day,
                      "out=" + results,
                      "patience=" + flags.patience};
  const std::optional<LoadedJob> loaded = LoadJob(woven, exit_code);
  if (!loaded) return exit_code;

  auto beginning = BeginningOf(from, baseline, candidate);
  if (!beginning.ok()) return PrintError(beginning.status()), ExitCodeOf(beginning.status());
  const Comparison comparison{*loaded,
                              *std::move(beginning),
                              from,
                              std::move(cluster),
                              settings->memory_bytes,
                              settings->checkpoint_interval,
                              EnoughFor(flags.records, settings->time)};
  const ShadowSubject subject{
      baseline.version, candidate.version, from, CommandText(flags.command), rules, *parsed,
      results};
  ProcessLog process(flags.log_format, LogFormat::kPlain);
  std::optional<uint64_t> read;
  {
    const LiveReports live(subject, folder, process.log());
    read = Run(comparison, flags, folder, signals, process, exit_code);
  }
  if (!read) return exit_code;
  StatusOr<shadow::ShadowReport> report = FinalReport(subject);
  if (!report.ok()) return process.Fail(report.status());
  if (flags.cost_runs > 0) {  // which takes a while, and the verdict does not wait for it
    shadow::ShadowReport so_far = *report;
    so_far.verdict.notes.push_back("what each version costs is not measured yet");
    const Status written = WriteReports(so_far, folder);
    if (!written.ok()) return process.Fail(written);
  }
  StatusOr<Cost> cost = CostOf(flags, from, folder, *read, signals, process);
  if (absl::IsCancelled(cost.status())) return kInterrupted;
  if (!cost.ok()) return process.Fail(cost.status());
  report->cost = std::move(cost->measures);
  std::move(cost->notes.begin(), cost->notes.end(), std::back_inserter(report->verdict.notes));
  const Status written = WriteReports(*report, folder);
  if (!written.ok()) return process.Fail(written);
  const Status ended = folder.Put(shadow_folder::kEnded, report->written_at);
  if (!ended.ok()) return process.Fail(ended);
  std::cout << (flags.cluster.output == "json" ? ReportJson(*report)
                                               : ReportTable(*report, isatty(STDOUT_FILENO) != 0));
  return FinishOutput(static_cast<ExitCode>(shadow::ExitCodeOf(report->verdict.outcome)));
}

}  // namespace weir::cli
