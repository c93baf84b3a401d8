// CheckpointWay: where one checkpoint has spent its time, for the line in the log about one that
// took long (limits::kCheckpointSlow).
//
// Of the tasks it names the one whose share came last, and how long that one had the barrier in
// each of its steps (BarrierWay in messages.proto): the one that is to be looked at. Owned by the
// JobMaster. All times by its clock.
#pragma once

#include <cstdint>
#include <string>

#include "core/time.h"
#include "jobs/graph.h"
#include "runtime/execution_plan.h"
#include "state/snapshot.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

namespace limits {

inline constexpr Duration kCheckpointSlow = Seconds(2);  // that a checkpoint should not take

}  // namespace limits

class CheckpointWay {
 public:
  void Start(CheckpointId checkpoint, int64_t now_micros);
  // The last share has come, in this message.
  void OnGathered(const runtime::CheckpointAck& last, int64_t now_micros);
  // Its handles have been committed.
  void OnCommitted(int64_t now_micros) { committed_micros_ = now_micros; }

  // REQUIRES: OnCommitted().
  bool slow() const { return committed_micros_ - started_micros_ > limits::kCheckpointSlow; }
  std::string ToText(const JobGraph& graph, const ExecutionPlan& plan) const;

 private:
  CheckpointId checkpoint_ = 0;
  int64_t started_micros_ = 0;
  int64_t gathered_micros_ = 0;  // 0: by a coordinator that was here before
  int64_t committed_micros_ = 0;
  runtime::TaskRef last_task_;
  runtime::BarrierWay last_;
};

}  // namespace weir
