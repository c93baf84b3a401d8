#include "runtime/checkpoint/going_back.h"

#include <fmt/format.h>

#include <vector>

namespace weir {

namespace {

std::optional<MisplacedSink> Find(const std::map<std::string, std::string>& places,
                                  const std::string& job_id, const JobGraph& graph,
                                  bool may_be_gone) {
  for (const auto& [name, where] : places) {
    const int stage = graph.FindStage(name);
    if (stage < 0 && may_be_gone) continue;
    if (stage >= 0 && graph.stages[stage].place == where) continue;
    return MisplacedSink{name,
                         fmt::format("sink '{}' of {} committed to another place ({}), where this "
                                     "job could not take it back",
                                     name, job_id, where)};
  }
  return std::nullopt;
}

}  // namespace

std::optional<MisplacedSink> FindMisplacedSink(const JobRecord& record, const JobGraph& graph,
                                               bool may_be_gone) {
  return Find(record.sinks, record.job_id, graph, may_be_gone);
}

std::optional<MisplacedSink> FindMisplacedSink(const Manifest& manifest, const JobGraph& graph,
                                               bool may_be_gone) {
  std::map<std::string, std::string> places;
  for (const StageState& stage : manifest.stages) {
    if (!stage.place.empty()) places[stage.name] = stage.place;
  }
  return Find(places, manifest.job_id, graph, may_be_gone);
}

std::string SinksThatCannotRevoke(const JobGraph& graph) {
  std::vector<std::string> names;
  for (const StageSpec& stage : graph.stages) {
    if (stage.role != StageRole::kSink || stage.can_revoke) continue;
    names.push_back(fmt::format("'{}'", stage.name));
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace weir
