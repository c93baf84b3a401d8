#include "runtime/worker/executor_messages.h"

#include <string>

namespace weir {

runtime::ToCoordinator MessageOf(uint32_t attempt) {
  runtime::ToCoordinator message;
  message.set_attempt(attempt);
  return message;
}

runtime::ToCoordinator TaskFailedMessage(uint32_t attempt, const Status& status) {
  runtime::ToCoordinator message = MessageOf(attempt);
  message.mutable_task_failed()->set_code(static_cast<int>(status.code()));
  message.mutable_task_failed()->set_message(std::string(status.message()));
  return message;
}

runtime::ToCoordinator CanceledMessage(uint32_t attempt) {
  runtime::ToCoordinator message = MessageOf(attempt);
  message.mutable_canceled();
  return message;
}

runtime::ToCoordinator TaskProgressMessage(uint32_t attempt, TaskId id,
                                           const TaskProgressReport& report) {
  runtime::ToCoordinator message = MessageOf(attempt);
  runtime::TaskProgress& progress = *message.mutable_task_progress();
  progress.mutable_task()->set_group(id.group);
  progress.mutable_task()->set_subtask(id.subtask);
  for (const auto& stage : report.stages) {
    runtime::StageProgress& to = *progress.add_stages();
    to.set_stage(stage.stage);
    stage.counters.Write(*to.mutable_counters());
    to.set_watermark(stage.watermark);
    to.set_busy_micros(stage.busy_micros);
    to.set_state_bytes(stage.state_bytes);
    to.set_source_done_bytes(stage.source.done_bytes);
    to.set_source_total_bytes(stage.source.total_bytes);
  }
  progress.set_busy_micros(report.busy_micros);
  progress.set_backpressured_micros(report.backpressured_micros);
  progress.set_queued_bytes(report.queued_bytes);
  progress.set_queue_capacity_bytes(report.queue_capacity_bytes);
  return message;
}

}  // namespace weir
