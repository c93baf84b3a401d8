#include "shadow/weave.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"
#include "jobs/stream.h"
#include "shadow/relay.h"
#include "shadow/tap.h"

namespace weir::shadow {
namespace {

constexpr std::string_view kComparator = "compare";
constexpr std::string_view kResults = "results";

std::string PortSuffix(const StageSpec& stage, int port) {
  if (port == 0) return "";
  if (port == kDeadLetterPort) return "-dead-letters";
  return "-" + stage.outputs[port - 1];
}

// The stages of one version as they are woven in.
class Weaver {
 public:
  explicit Weaver(const WeaveOptions& options) : options_(options) {
    woven_.graph.job = options.job;
    names_.routed = options.routed_sinks;
    for (const JobGraph* graph : {&options.baseline, &options.candidate}) {
      for (const StageSpec& stage : graph->stages) {
        if (stage.role == StageRole::kSink) names_.sinks.insert(stage.name);
      }
    }
  }

  StatusOr<BuiltJob> Run() {
    for (int v = 0; v < kVersions; ++v) WEIR_RETURN_IF_ERROR(AddVersion(static_cast<Version>(v)));
    AddComparison();
    return std::move(woven_);
  }

 private:
  const JobGraph& GraphOf(Version version) const {
    return version == Version::kCandidate ? options_.candidate : options_.baseline;
  }
  // Null: this process does not run the version.
  const BuiltJob* CodeOf(Version version) const {
    return options_.part == PartOf(version) ? options_.code : nullptr;
  }

  int AddStage(StageSpec spec, StageCode code) {
    woven_.graph.stages.push_back(std::move(spec));
    woven_.stages.push_back(std::move(code));
    return static_cast<int>(woven_.graph.stages.size()) - 1;
  }
  void AddEdge(EdgeSpec spec, EdgeCode code) {
    woven_.graph.edges.push_back(std::move(spec));
    woven_.edges.push_back(std::move(code));
  }

  Status AddVersion(Version version);
  // Where rows of the version's stage `from` come out, at a port of it, in the woven job.
  struct End {
    int stage = 0;
    int port = 0;
  };
  End EndOf(Version version, const JobGraph& graph, int edge);
  void AddComparison();

  const WeaveOptions& options_;
  OutputNames names_;
  BuiltJob woven_;
  std::map<std::pair<Version, int>, int> stages_;  // woven, by version and its own index
  std::map<std::pair<Version, std::pair<int, int>>, int> relays_;  // woven, by source and port
  std::vector<int> taps_;
};

// The codec of what the stage puts out at a port that somebody reads.
std::shared_ptr<const RowCodec> CodecOfPort(const BuiltJob& job, int stage, int port) {
  for (size_t e = 0; e < job.edges.size(); ++e) {
    const EdgeSpec& edge = job.graph.edges[e];
    if (edge.from == stage && edge.port == port) return job.edges[e].codec;
  }
  WEIR_CHECK(false);  // SharesSource() has seen one
  return nullptr;
}

Status Weaver::AddVersion(Version version) {
  const JobGraph& graph = GraphOf(version);
  WEIR_RETURN_IF_ERROR(CheckStaysInside(graph, version));
  const BuiltJob* code = CodeOf(version);
  if (code != nullptr && code->graph.Fingerprint() != graph.Fingerprint()) {
    return absl::FailedPreconditionError(fmt::format(
        "the library of the {} builds another graph here than the one that was woven; a job's "
        "builder must depend on nothing but its parameters and resources",
        PartOf(version)));
  }
  for (size_t s = 0; s < graph.stages.size(); ++s) {
    const int stage = static_cast<int>(s);
    StageSpec spec = graph.stages[s];
    if (version != Version::kBaseline && spec.role == StageRole::kSource &&
        SharesSource(options_.baseline, options_.candidate, spec.name)) {
      continue;  // its rows come through relays
    }
    StageCode stage_code;
    if (spec.role == StageRole::kSink) {
      spec = TapSpec(spec);
    }
    if (code != nullptr) {
      stage_code = graph.stages[s].role == StageRole::kSink
                       ? TapCode(version, *code, stage, names_, options_.rules)
                       : code->stages[s];
      stage_code.reloadable.reset();  // what the builder has read is what is compared
    }
    spec.alias = spec.name;
    spec.name = WovenName(version, spec.name);
    spec.part = PartOf(version);
    // Relays first: edges go from lower stages to higher ones.
    std::map<int, End> ends;  // by edge
    for (int e = 0; e < static_cast<int>(graph.edges.size()); ++e) {
      if (graph.edges[e].to == stage) ends[e] = EndOf(version, graph, e);
    }
    const int woven = AddStage(std::move(spec), std::move(stage_code));
    stages_[{version, stage}] = woven;
    if (graph.stages[s].role == StageRole::kSink) taps_.push_back(woven);
    for (const auto& [e, from] : ends) {
      EdgeSpec edge = graph.edges[e];
      edge.from = from.stage;
      edge.port = from.port;
      edge.to = woven;
      AddEdge(std::move(edge), code == nullptr ? EdgeCode{} : code->edges[e]);
    }
  }
  return absl::OkStatus();
}

Weaver::End Weaver::EndOf(Version version, const JobGraph& graph, int e) {
  const EdgeSpec& edge = graph.edges[e];
  const auto own = stages_.find({version, edge.from});
  if (own != stages_.end()) return {own->second, edge.port};
  // A shared source: the version's own edges begin at a relay, so that they are hashed by its code.
  const StageSpec& source = graph.stages[edge.from];
  const auto at = std::pair{version, std::pair{edge.from, edge.port}};
  const auto relay = relays_.find(at);
  if (relay != relays_.end()) return {relay->second, 0};
  StageSpec spec;
  spec.name = WovenName(version, source.name + PortSuffix(source, edge.port));
  spec.kind = "relay";
  spec.part = PartOf(version);
  StageCode stage_code;
  const BuiltJob* code = CodeOf(version);
  if (code != nullptr) stage_code.op = [] { return std::make_unique<Relay>(); };
  const int stage = AddStage(std::move(spec), std::move(stage_code));
  relays_[at] = stage;
  EdgeSpec from_source;
  from_source.from = stages_.at({Version::kBaseline, options_.baseline.FindStage(source.name)});
  from_source.port = edge.port;
  from_source.to = stage;
  from_source.schema = edge.schema;
  EdgeCode edge_code;
  if (code != nullptr) edge_code.codec = code->edges[e].codec;
  if (const BuiltJob* baseline = CodeOf(Version::kBaseline)) {
    edge_code.codec = CodecOfPort(*baseline, options_.baseline.FindStage(source.name), edge.port);
  }
  AddEdge(std::move(from_source), std::move(edge_code));
  return {stage, 0};
}

void Weaver::AddComparison() {
  const bool here = options_.part == kComparisonPart;
  const int comparator = [&] {
    StageSpec spec;
    spec.name = kComparator;
    spec.kind = "comparator";
    spec.keyed_state = true;
    spec.key = DescribeKey<std::string_view>();
    spec.on_failure = FailurePolicy::kFail;
    spec.options = fmt::format("rules={} patience={}", options_.rules_sha256,
                               FormatDuration(options_.patience));
    spec.part = kComparisonPart;
    StageCode code;
    if (here) {
      code.op = [rules = options_.rules, patience = options_.patience] {
        return MakeComparator({rules, patience});
      };
    }
    return AddStage(std::move(spec), std::move(code));
  }();
  for (const int tap : taps_) {
    EdgeSpec edge;
    edge.from = tap;
    edge.to = comparator;
    edge.partitioning = Partitioning::kKeyed;
    const std::shared_ptr<const RowCodec> codec = MakeRowCodec<TappedRecord>();
    edge.schema = codec->schema();
    AddEdge(std::move(edge), {codec, internal::HashByStateKey<TappedRecord>(&MeetingOf)});
  }
  StageSpec spec;
  spec.name = kResults;
  spec.kind = options_.results.kind;
  spec.role = StageRole::kSink;
  spec.on_failure = FailurePolicy::kFail;
  spec.options = options_.results.options;
  spec.exactly_once = options_.results.exactly_once;
  spec.can_revoke = options_.results.can_revoke;
  spec.place = options_.results.place;
  spec.part = kComparisonPart;
  StageCode code;
  code.sink = options_.results.make;
  code.check = options_.results.check;
  code.writes = options_.results.writes;
  code.last_committed = options_.results.last_committed;
  EdgeSpec edge;
  edge.from = comparator;
  edge.to = AddStage(std::move(spec), std::move(code));
  const std::shared_ptr<const RowCodec> codec = MakeRowCodec<PartialResult>();
  edge.schema = codec->schema();
  AddEdge(std::move(edge), {codec, nullptr});
}

}  // namespace

std::string_view PartOf(Version version) {
  switch (version) {
    case Version::kBaseline:
      return "baseline";
    case Version::kAgain:
      return "again";
    default:
      return "candidate";
  }
}

Status CheckStaysInside(const JobGraph& graph, Version version) {
  for (const StageSpec& stage : graph.stages) {
    if (!stage.outside) continue;
    return absl::FailedPreconditionError(fmt::format(
        "stage '{}' of the {} calls something outside ({}), and would do so in a shadow as well; "
        "if that does no harm, say so where the job is built (safe_in_shadow)",
        stage.name, version == Version::kCandidate ? "candidate" : "baseline", stage.kind));
  }
  return absl::OkStatus();
}

StatusOr<BuiltJob> Weave(WeaveOptions options) { return Weaver(options).Run(); }

Manifest WeaveCheckpoint(const Manifest& manifest, const JobGraph& baseline,
                         const JobGraph& candidate) {
  Manifest woven = manifest;
  woven.stages.clear();
  woven.resources = {};
  for (int v = 0; v < kVersions; ++v) {
    const auto version = static_cast<Version>(v);
    const JobGraph& graph = version == Version::kCandidate ? candidate : baseline;
    for (const StageSpec& stage : graph.stages) {
      const StageState* state = manifest.FindStage(stage.name);
      if (state == nullptr || stage.role == StageRole::kSink) continue;
      if (version != Version::kBaseline && stage.role == StageRole::kSource &&
          SharesSource(baseline, candidate, stage.name)) {
        continue;
      }
      woven.stages.push_back(*state);
      woven.stages.back().name = WovenName(version, stage.name);
      woven.stages.back().counters = {};  // of what the job has done, not the shadow
    }
  }
  return woven;
}

std::string WovenName(Version version, std::string_view stage) {
  return fmt::format("{}-{}", PartOf(version), stage);
}

bool SharesSource(const JobGraph& baseline, const JobGraph& candidate, std::string_view name) {
  const int a = baseline.FindStage(name);
  const int c = candidate.FindStage(name);
  if (a < 0 || c < 0) return false;
  const StageSpec& one = baseline.stages[a];
  const StageSpec& other = candidate.stages[c];
  if (one.role != StageRole::kSource || other.role != StageRole::kSource ||
      one.kind != other.kind || one.options != other.options) {
    return false;
  }
  // Each port that the candidate reads must be one that the baseline reads, of the same type.
  return std::all_of(candidate.edges.begin(), candidate.edges.end(), [&](const EdgeSpec& edge) {
    if (edge.from != c) return true;
    return std::any_of(baseline.edges.begin(), baseline.edges.end(), [&](const EdgeSpec& of) {
      return of.from == a && of.port == edge.port &&
             of.schema.Serialize() == edge.schema.Serialize();
    });
  });
}

}  // namespace weir::shadow
