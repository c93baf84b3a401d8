#include "cli/shadow_cost.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <utility>

#include "cli/answering_child.h"
#include "cli/run_cost.h"
#include "core/child_process.h"
#include "core/codec.h"

namespace weir::cli {
namespace {

// The first run says how many records all others read: those that take so long.
constexpr Duration kFirstRunTime = Seconds(2);
// All others, so that a version that is much slower, or stands still, holds nobody up.
constexpr Duration kOtherRunTime = 3 * kFirstRunTime;

struct Side {
  const char* name;
  std::string version;  // its file
  std::vector<RunCost> runs;
};

StatusOr<RunCost> MeasureRun(const CostOptions& options, const Side& side, uint64_t records,
                             Duration time) {
  WEIR_RETURN_IF_ERROR(options.folder->DeletePrefix(options.work));
  std::vector<std::string> words = {
      "measure",       side.version,
      "--data",        options.folder->Location(options.work + "data"),
      "--memory",      options.memory,
      "--parallelism", std::to_string(options.parallelism),
      "--records",     std::to_string(records),
      "--for",         FormatDuration(time)};
  if (!options.from.empty()) words.insert(words.end(), {"--from", options.from});
  WEIR_ASSIGN_OR_RETURN(const ChildAnswer answer, AskChild(std::move(words), options.stopped));
  WEIR_RETURN_IF_ERROR(options.folder->DeletePrefix(options.work));
  RunCost cost;
  ByteReader bytes(answer.bytes);
  if (answer.bytes.empty() || !Codec<RunCost>::Decode(bytes, cost)) {
    cost.failure = "its process " + DescribeWaitStatus(answer.wait_status);
  }
  return cost;
}

// One value for each run.
shadow::CostMeasure Measure(std::string name, std::string unit, bool higher_is_better,
                            const Side& baseline, const Side& candidate,
                            const std::function<double(const RunCost&)>& value) {
  shadow::CostMeasure measure{std::move(name), std::move(unit), higher_is_better, {}, {}};
  for (const RunCost& run : baseline.runs) measure.baseline.push_back(value(run));
  for (const RunCost& run : candidate.runs) measure.candidate.push_back(value(run));
  return measure;
}

std::vector<shadow::CostMeasure> MeasuresOf(const Side& baseline, const Side& candidate,
                                            Cost& cost) {
  std::vector<shadow::CostMeasure> all;
  const auto add = [&](const char* name, const char* unit, bool higher_is_better, auto value) {
    all.push_back(Measure(name, unit, higher_is_better, baseline, candidate, value));
  };
  add("records_per_second", "records/s", true, [](const RunCost& run) {
    return run.elapsed_s > 0 ? static_cast<double>(run.records) / run.elapsed_s : 0;
  });
  add("cpu_seconds_per_million_records", "CPU s", false,
      [](const RunCost& run) { return run.cpu_s * 1e6 / static_cast<double>(run.records); });
  const auto any = [&](auto holds) {
    return std::any_of(baseline.runs.begin(), baseline.runs.end(), holds) ||
           std::any_of(candidate.runs.begin(), candidate.runs.end(), holds);
  };
  if (!any([](const RunCost& run) { return run.latency_p99_ms < 0; })) {
    add("latency_p50_ms", "ms", false, [](const RunCost& run) { return run.latency_p50_ms; });
    add("latency_p99_ms", "ms", false, [](const RunCost& run) { return run.latency_p99_ms; });
  }
  // They grow with what was read.
  const uint64_t records = baseline.runs.back().records;
  if (any([&](const RunCost& run) { return run.records != records; })) {
    cost.notes.push_back(
        fmt::format("cost: not every run has read as many records as the baseline's, {}, before "
                    "its input or its time was over, so state and output are not compared",
                    shadow::Grouped(records)));
  } else {
    add("state_bytes", "bytes", false,
        [](const RunCost& run) { return static_cast<double>(run.state_bytes); });
    add("output_bytes", "bytes", false,
        [](const RunCost& run) { return static_cast<double>(run.output_bytes); });
  }
  return all;
}

}  // namespace

StatusOr<Cost> MeasureCost(const CostOptions& options) {
  Side baseline{"baseline", options.folder->Location(options.baseline), {}};
  Side candidate{"candidate", options.folder->Location(options.candidate), {}};
  Cost cost;
  uint64_t records = options.records;
  for (int run = 0; run < options.runs; ++run) {
    for (Side* side : {&baseline, &candidate}) {
      const bool first = run == 0 && side == &baseline;
      WEIR_ASSIGN_OR_RETURN(RunCost of_run, MeasureRun(options, *side, records,
                                                       first ? kFirstRunTime : kOtherRunTime));
      if (of_run.failure.empty() && of_run.records == 0) of_run.failure = "it read no record";
      if (!of_run.failure.empty()) {
        cost.notes.push_back(
            fmt::format("cost is not known: the {} was run alone to measure it, "
                        "and {}",
                        side->name, of_run.failure));
        return cost;
      }
      if (first) records = of_run.records;
      side->runs.push_back(std::move(of_run));
    }
  }
  if (options.runs > 0) cost.measures = MeasuresOf(baseline, candidate, cost);
  return cost;
}

}  // namespace weir::cli
