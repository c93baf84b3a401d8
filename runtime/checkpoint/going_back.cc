#include "runtime/checkpoint/going_back.h"

#include <fmt/format.h>

#include <vector>

namespace weir {

std::string MisplacedSink(const JobRecord& record, const JobGraph& graph, bool may_be_gone) {
  for (const auto& [name, where] : record.sinks) {
    const int stage = graph.FindStage(name);
    if (stage < 0 && may_be_gone) continue;
    if (stage >= 0 && graph.stages[stage].place == where) continue;
    return fmt::format(
        "sink '{}' of {} committed to another place ({}), where this job could not take it back",
        name, record.job_id, where);
  }
  return "";
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
