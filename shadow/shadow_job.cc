#include "shadow/shadow_job.h"

#include <utility>

#include "jobs/connectors.h"
#include "shadow/version.h"
#include "shadow/weave.h"

namespace weir::shadow {
namespace {

StatusOr<BuiltJob> Build(Parameters& params, const Resource& baseline, const Resource& candidate,
                         const Resource& rules, const std::string& day, const std::string& out,
                         Duration patience) {
  WEIR_ASSIGN_OR_RETURN(const JobVersion of_baseline, ReadVersion(baseline.bytes));
  WEIR_ASSIGN_OR_RETURN(const JobVersion of_candidate, ReadVersion(candidate.bytes));
  WeaveOptions options;
  options.job = kShadowJob;
  options.baseline = of_baseline.graph;
  options.candidate = of_candidate.graph;
  for (const JobVersion* version : {&of_baseline, &of_candidate}) {
    options.routed_sinks.insert(version->routed_sinks.begin(), version->routed_sinks.end());
  }
  options.part = params.part();
  options.patience = patience;
  options.rules_sha256 = rules.sha256;
  WEIR_ASSIGN_OR_RETURN(options.rules, RulesOn(day, rules.bytes, rules.path));
  FileSinkOptions sink;
  sink.directory = out;
  sink.by_partition = false;
  sink.encoding.compression = PartCompression::kNone;
  options.results = JsonFileSink<PartialResult>(std::move(sink));
  std::optional<BuiltJob> code;
  if (options.part == PartOf(Version::kBaseline) || options.part == PartOf(Version::kAgain)) {
    WEIR_ASSIGN_OR_RETURN(code.emplace(), BuildVersion(baseline.bytes));
  } else if (options.part == PartOf(Version::kCandidate)) {
    WEIR_ASSIGN_OR_RETURN(code.emplace(), BuildVersion(candidate.bytes));
  }
  if (code) options.code = &*code;
  return Weave(std::move(options));
}

}  // namespace

StatusOr<std::shared_ptr<const ShadowRules>> RulesOn(std::string_view day, std::string_view yaml,
                                                     std::string_view file_name) {
  const std::optional<Timestamp> now = ParseRfc3339(std::string(day) + "T00:00:00Z");
  if (!now) return absl::InvalidArgumentError("'" + std::string(day) + "' is no day");
  if (yaml.empty()) return std::make_shared<const ShadowRules>();
  return ParseShadowRules(yaml, file_name, *now);
}

void BuildShadow(JobBuilder& job, Parameters& params) {
  const Resource baseline = params.File("baseline", "the version that is trusted, packed");
  const Resource candidate = params.File("candidate", "the version that is looked at, packed");
  const Resource rules = params.File("rules", "what counts as a difference, in YAML");
  const std::string day = params.Text("day", "of the run, by which known differences expire");
  const std::string out = params.Path("out", "the folder of the results");
  const Duration patience = params.Time(
      "patience", "how long a record waits for its counterparts, in event time", kPatienceDefault);
  if (!baseline.given()) params.AddError("baseline", "is missing");
  if (!candidate.given()) params.AddError("candidate", "is missing");
  if (!params.Errors().empty()) return;
  StatusOr<BuiltJob> woven = Build(params, baseline, candidate, rules, day, out, patience);
  if (!woven.ok()) {
    params.AddError("candidate", std::string(woven.status().message()));
  } else {
    job.Use(*std::move(woven));
  }
}

}  // namespace weir::shadow
