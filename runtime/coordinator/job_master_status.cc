// JobMaster: what it tells of the job.
#include <algorithm>

#include "runtime/coordinator/job_master.h"

namespace weir {

void JobMaster::OnProgress(const runtime::TaskProgress& progress, int64_t now_micros) {
  task_progress_[ToTaskId(progress.task())].Add(progress, record_.attempt, now_micros);
}

JobStatus JobMaster::status(int64_t now_micros) const {
  JobStatus status = status_;
  switch (phase_) {
    case Phase::kEnded:
      status.state = std::string(ToString(record_.state));
      break;
    case Phase::kPlacing:
      status.state = "WAITING_FOR_SLOTS";
      break;
    case Phase::kStarting:
      status.state = "STARTING";
      break;
    case Phase::kRunning:
      status.state = stop_requested_ ? "STOPPING" : "RUNNING";
      break;
    case Phase::kCanceling:
    case Phase::kWaiting:
      status.state = after_cancel_ ? "ENDING" : "RESTARTING";
      break;
    default:
      status.state = "DEPLOYING";
  }
  status.restarts = restarts_;
  FillOperators(status);
  return status;
}

void JobMaster::FillOperators(JobStatus& status) const {
  for (OperatorStatus& op : status.operators) {
    if (auto c = completed_counters_.find(op.name); c != completed_counters_.end()) {
      op.completed = c->second;
    }
    if (auto c = base_counters_.find(op.name); c != base_counters_.end()) op.live = c->second;
    op.watermark = kMaxTimestamp;
  }
  // Between two attempts and behind the last one nothing flows: of what was told last only counts
  // and state are still true.
  const bool runs = has_attempt() && phase_ != Phase::kWaiting;
  for (const auto& [task, report] : task_progress_) {
    if (report.attempt != record_.attempt) continue;
    for (const runtime::StageProgress& stage : report.last.stages()) {
      OperatorStatus& op = status.operators.at(stage.stage());
      SubtaskStatus& subtask = op.subtasks.emplace_back();
      subtask.subtask = task.subtask;
      subtask.counters = StageCounters::Read(stage.counters());
      subtask.busy_micros = stage.busy_micros();
      subtask.backpressured_micros = report.last.backpressured_micros();
      subtask.state_bytes = stage.state_bytes();
      subtask.stalls = stage.stalls();
      op.live += subtask.counters;
      op.state_bytes += stage.state_bytes();
      status.source_done_bytes += stage.source_done_bytes();
      status.source_total_bytes += stage.source_total_bytes();
      if (!runs) continue;
      subtask.watermark = stage.watermark();
      subtask.queue_bytes = report.last.queued_bytes();
      subtask.stalled_micros = stage.stalled_micros();
      op.watermark = std::min<Timestamp>(op.watermark, stage.watermark());
      op.backpressured = std::max(op.backpressured, report.backpressured);
      if (report.last.queue_capacity_bytes() > 0) {
        const double fill =
            static_cast<double>(report.last.queued_bytes()) / report.last.queue_capacity_bytes();
        op.queue_fill = std::max(op.queue_fill, std::min(1.0, fill));
      }
    }
    if (!runs) continue;
    for (const auto& [stage, busy] : report.busy) status.operators.at(stage).busy += busy;
    for (const auto& [stage, rates] : report.rates) {
      status.operators.at(stage).records_in_per_second += rates.records_in;
      status.operators.at(stage).records_out_per_second += rates.records_out;
    }
  }
}

}  // namespace weir
