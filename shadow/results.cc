#include "shadow/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "core/json.h"
#include "shadow/comparator.h"

namespace weir::shadow {
namespace {

Status ReadLine(std::string_view line, JsonParser& parser, ShadowResult& result) {
  WEIR_ASSIGN_OR_RETURN(const JsonValue json, parser.ParseUnpadded(line));
  PartialResult part;
  SlabArena arena;
  WEIR_RETURN_IF_ERROR(Codec<PartialResult>::ReadJson(json, part, arena));
  if (part.statistics) result.Add(*part.statistics);
  if (part.leftover) result.Add(*part.leftover);
  return absl::OkStatus();
}

Status ReadFile(Environment& env, const std::string& path, ShadowResult& result) {
  WEIR_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(env.disk, path));
  JsonParser parser;
  std::string_view rest = bytes;
  for (int number = 1; !rest.empty(); ++number) {
    const size_t end = rest.find('\n');
    const Status read = ReadLine(rest.substr(0, end), parser, result);
    if (!read.ok()) {
      return absl::DataLossError(
          fmt::format("{}:{}: {}", path, number, std::string(read.message())));
    }
    if (end == rest.npos) break;
    rest.remove_prefix(end + 1);
  }
  return absl::OkStatus();
}

// The schema of what a sink gets; of several edges the first counts, as for the tap.
const Schema* SchemaOf(const JobGraph& graph, int stage) {
  for (const EdgeSpec& edge : graph.edges) {
    if (edge.to == stage) return &edge.schema;
  }
  return nullptr;
}

}  // namespace

Status ReadResults(Environment& env, const std::string& folder, std::set<std::string>& read,
                   ShadowResult& result) {
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> names, env.disk.List(folder));
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name.starts_with('.') || !read.insert(name).second) continue;
    WEIR_RETURN_IF_ERROR(ReadFile(env, folder + "/" + name, result));
  }
  return absl::OkStatus();
}

void DeclareOutputs(const JobVersion& baseline_version, const JobVersion& candidate_version,
                    ShadowResult& result) {
  const JobGraph& baseline = baseline_version.graph;
  const JobGraph& candidate = candidate_version.graph;
  for (size_t s = 0; s < baseline.stages.size(); ++s) {
    const StageSpec& stage = baseline.stages[s];
    if (stage.role != StageRole::kSink) continue;
    const int other = candidate.FindStage(stage.name);
    const bool both = other >= 0 && candidate.stages[other].role == StageRole::kSink;
    DeclaredOutput output{stage.name, true, both, ""};
    output.routed = both && baseline_version.routed_sinks.contains(stage.name) &&
                    candidate_version.routed_sinks.contains(stage.name);
    if (both) {
      const Schema* before = SchemaOf(baseline, static_cast<int>(s));
      const Schema* after = SchemaOf(candidate, other);
      if (before != nullptr && after != nullptr && before->Serialize() != after->Serialize()) {
        output.schema_change = fmt::format("{} became {}", before->ToText(), after->ToText());
      }
    }
    result.Declare(std::move(output));
  }
  for (const StageSpec& stage : candidate.stages) {
    if (stage.role != StageRole::kSink) continue;
    const int other = baseline.FindStage(stage.name);
    if (other >= 0 && baseline.stages[other].role == StageRole::kSink) continue;
    result.Declare({stage.name, false, true, ""});
  }
}

}  // namespace weir::shadow
