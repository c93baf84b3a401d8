// weir shadow: two versions of a job on the same input, compared, and a verdict.
//
//   DIR/report.json, report.html    what there is to read
//   DIR/work/                       both versions, packed; the woven job's data and its results
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <charconv>
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

// Names in the report's folder.
constexpr const char* kWork = "work/";
constexpr const char* kBaseline = "work/baseline.version";
constexpr const char* kCandidate = "work/candidate.version";
constexpr const char* kFrom = "work/from";
constexpr const char* kRules = "work/rules.yaml";
constexpr const char* kWhere = "work/where";  // a coordinator's address; empty: this machine
constexpr const char* kJob = "work/job";      // of that cluster
constexpr const char* kResults = "work/results";
constexpr const char* kPatience = "work/patience";
constexpr const char* kDay = "work/day";
constexpr const char* kCost = "work/cost/";
constexpr const char* kEnded = "work/done";
constexpr const char* kRemoving = "removing-work";  // there while work/ is removed

std::string DayOf(Timestamp time) { return FormatTimestamp(time).substr(0, 10); }

// A run of the same versions and rules that has not ended goes on; any other makes room. Known
// differences expire by the day on which it began, which comes back.
StatusOr<std::string> PrepareFolder(Environment& env, ObjectStore& folder, const Side& baseline,
                                    const Side& candidate, std::string_view from,
                                    std::string_view rules, std::string_view where,
                                    std::string_view patience) {
  const std::pair<const char*, std::string_view> wanted[] = {{kBaseline, baseline.packed},
                                                             {kCandidate, candidate.packed},
                                                             {kFrom, from},
                                                             {kRules, rules},
                                                             {kWhere, where},
                                                             {kPatience, patience}};
  WEIR_ASSIGN_OR_RETURN(const bool ended, folder.Exists(kEnded));
  WEIR_ASSIGN_OR_RETURN(const bool removing, folder.Exists(kRemoving));
  WEIR_ASSIGN_OR_RETURN(const bool ours, folder.Exists(kBaseline));
  if (!ours && !removing) {
    // What a shadow writes first is not there.
    const StatusOr<std::vector<ObjectInfo>> there = folder.List(kWork);
    if (there.ok() && !there->empty()) {
      return absl::FailedPreconditionError(
          fmt::format("{} holds files of something else than a shadow; name another folder with "
                      "--report",
                      folder.Location(kWork)));
    }
  }
  bool other = ended || removing;
  for (const auto& [name, bytes] : wanted) {
    const StatusOr<std::string> there = folder.Get(name);
    other |= there.ok() && *there != bytes;
  }
  if (other) {
    // Whoever is killed in between would leave a part, and the next one would go on with it.
    WEIR_RETURN_IF_ERROR(folder.Put(kRemoving, ""));
    WEIR_RETURN_IF_ERROR(folder.DeletePrefix(kWork));
  }
  if (other || !ours) {
    // A verdict of an earlier run is none of this one, which may end without any.
    const std::string names[] = {kRemoving, "report.json", "report.html"};
    WEIR_RETURN_IF_ERROR(folder.Delete(names));
  }
  for (const auto& [name, bytes] : wanted) WEIR_RETURN_IF_ERROR(folder.Put(name, bytes));
  if (StatusOr<std::string> day = folder.Get(kDay); day.ok()) return day;
  std::string today = DayOf(env.clock.Now());
  WEIR_RETURN_IF_ERROR(folder.Put(kDay, today));
  return today;
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

// To end the sources early is only fair where all versions get their rows from the same one.
Status CheckSharesSources(const JobGraph& baseline, const JobGraph& candidate) {
  for (const JobGraph* graph : {&baseline, &candidate}) {
    for (const StageSpec& stage : graph->stages) {
      if (stage.role != StageRole::kSource ||
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

// The number of the checkpoint of `job` with which a run that has not ended began; 0: none.
CheckpointId BegunWith(ObjectStore& folder, const std::string& job) {
  const StatusOr<bool> ended = folder.Exists(kEnded);
  const StatusOr<std::string> from = folder.Get(kFrom);
  if (!from.ok() || ended.value_or(true)) return 0;
  const std::filesystem::path path(*from);
  const std::string name = path.filename();
  CheckpointId checkpoint = 0;
  if (path.parent_path().filename() != job || !name.starts_with("chk-")) return 0;
  std::from_chars(name.data() + 4, name.data() + name.size(), checkpoint);
  return checkpoint;
}

// The baseline is a job of a cluster: the side gets what it was submitted with, and the candidate
// its parameters where it is given no others.
StatusOr<std::unique_ptr<RunningJob>> OpenRunningJob(const ShadowFlags& flags, ObjectStore& folder,
                                                     Side& baseline, Side& candidate) {
  WEIR_ASSIGN_OR_RETURN(RestClient client, OpenCluster(flags.cluster));
  WEIR_ASSIGN_OR_RETURN(auto running, RunningJob::Open(std::move(client), flags.baseline,
                                                       BegunWith(folder, flags.baseline)));
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
    there.job = kJob;
    there.results = kResults;
    there.enough = comparison.enough;
    return RunOnCluster(*comparison.cluster, there, signals, process, exit_code);
  }
  LocalJobOptions options = LocalOptionsOf(comparison.woven);
  options.beginning = comparison.beginning;
  options.data_dir = folder.Location("work/data");
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
  options.baseline = kBaseline;
  options.candidate = kCandidate;
  options.work = kCost;
  options.stopped = [&stopped] { return stopped.load(); };
  StatusOr<Cost> cost = MeasureCost(options);
  signals.Stop();
  return cost;
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
  const StatusOr<uint64_t> memory = ParseSize(flags.memory);
  if (!memory.ok()) return PrintError(Annotate(memory.status(), "--memory")), kUsage;
  const StatusOr<Duration> interval = ParseDuration(flags.checkpoint_interval);
  if (!interval.ok()) {
    return PrintError(Annotate(interval.status(), "--checkpoint-interval")), kUsage;
  }
  Duration time = 0;
  if (!flags.time.empty()) {
    const StatusOr<Duration> given = ParseDuration(flags.time);
    if (!given.ok()) return PrintError(Annotate(given.status(), "--for")), kUsage;
    if (*given == 0) {
      return PrintError(absl::InvalidArgumentError("--for: expected more than no time")), kUsage;
    }
    time = *given;
  }
  const StatusOr<Duration> patience = ParseDuration(flags.patience);
  if (!patience.ok()) return PrintError(Annotate(patience.status(), "--patience")), kUsage;
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
  std::atomic<bool> stopped = false;
  signals.Watch([&stopped](int) { stopped = true; });
  for (Side* side : {&baseline, &candidate}) {
    const Status packed = Pack(
        *side, from, [&stopped] { return stopped.load(); }, exit_code);
    if (absl::IsCancelled(packed)) return kInterrupted;
    if (!packed.ok()) return PrintError(packed), ExitCodeOf(packed);
    if (exit_code != kDone) return exit_code;
  }
  signals.Stop();
  for (const Status& inside :
       {shadow::CheckStaysInside(baseline.version.graph, shadow::Version::kBaseline),
        shadow::CheckStaysInside(candidate.version.graph, shadow::Version::kCandidate)}) {
    if (!inside.ok()) return PrintError(inside), ExitCodeOf(inside);
  }
  if (flags.records > 0 || time > 0) {
    const Status shares = CheckSharesSources(baseline.version.graph, candidate.version.graph);
    if (!shares.ok()) return PrintError(shares), ExitCodeOf(shares);
  }
  std::string rules;
  if (!flags.rules.empty()) {
    StatusOr<std::string> bytes = ReadFile(env.disk, flags.rules);
    if (!bytes.ok()) return PrintError(Annotate(bytes.status(), "--rules")), kConfiguration;
    rules = *std::move(bytes);
    // Errors are told before an earlier run makes room. They do not depend on the day.
    const auto checked = shadow::RulesOn(DayOf(env.clock.Now()), rules, flags.rules);
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
      PrepareFolder(env, folder, baseline, candidate, from, rules,
                    cluster ? cluster->coordinator().ToString() : "", flags.patience);
  if (!day.ok()) return PrintError(day.status()), ExitCodeOf(day.status());
  const StatusOr<std::shared_ptr<const shadow::ShadowRules>> parsed =
      shadow::RulesOn(*day, rules, flags.rules);
  if (!parsed.ok()) return PrintError(parsed.status()), kConfiguration;

  JobFlags woven;
  woven.library = shadow::kShadowJob;
  const std::string results = folder.Location(kResults);
  woven.parameters = {"baseline=" + folder.Location(kBaseline),
                      "candidate=" + folder.Location(kCandidate),
                      "rules=" + folder.Location(kRules),
                      "day=" + *day,
                      "out=" + results,
                      "patience=" + flags.patience};
  const std::optional<LoadedJob> loaded = LoadJob(woven, exit_code);
  if (!loaded) return exit_code;

  auto beginning = BeginningOf(from, baseline, candidate);
  if (!beginning.ok()) return PrintError(beginning.status()), ExitCodeOf(beginning.status());
  const Comparison comparison{
      *loaded,   *std::move(beginning),         from, std::move(cluster), *memory,
      *interval, EnoughFor(flags.records, time)};
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
  const Status ended = folder.Put(kEnded, report->written_at);
  if (!ended.ok()) return process.Fail(ended);
  std::cout << (flags.cluster.output == "json" ? ReportJson(*report)
                                               : ReportTable(*report, isatty(STDOUT_FILENO) != 0));
  return FinishOutput(static_cast<ExitCode>(shadow::ExitCodeOf(report->verdict.outcome)));
}

}  // namespace weir::cli
