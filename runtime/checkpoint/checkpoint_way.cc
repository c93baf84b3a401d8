#include "runtime/checkpoint/checkpoint_way.h"

#include <fmt/format.h>

namespace weir {
namespace {

double InSeconds(double micros) { return micros / Seconds(1); }

}  // namespace

void CheckpointWay::Start(CheckpointId checkpoint, int64_t now_micros) {
  *this = {};
  checkpoint_ = checkpoint;
  started_micros_ = now_micros;
}

void CheckpointWay::OnGathered(const runtime::CheckpointAck& last, int64_t now_micros) {
  gathered_micros_ = now_micros;
  last_task_ = last.task();
  last_ = last.way();
}

std::string CheckpointWay::ToText(const JobGraph& graph, const ExecutionPlan& plan) const {
  std::string text = fmt::format("checkpoint {} took {:.2f} s", checkpoint_,
                                 InSeconds(committed_micros_ - started_micros_));
  if (gathered_micros_ == 0) return text;
  const TaskGroup& group = plan.groups.at(last_task_.group());
  text += fmt::format(
      ": {:.2f} s until all tasks had done their share, {:.2f} s for its manifest and the commits. "
      "The last task was subtask {} of {}: {:.2f} s until a barrier came, {:.2f} s until it had "
      "come from all inputs, {:.2f} s to drain, {:.2f} s to write what was frozen; it took {} of "
      "rows in front of it",
      InSeconds(gathered_micros_ - started_micros_),
      InSeconds(committed_micros_ - gathered_micros_), last_task_.subtask(),
      GroupName(graph, group), InSeconds(last_.arrival()), InSeconds(last_.alignment()),
      InSeconds(last_.drain()), InSeconds(last_.write()), FormatSize(last_.bytes()));
  return text;
}

}  // namespace weir
