#include "runtime/worker/executor_messages.h"

#include <string>
#include <utility>

#include "state/manifest.h"

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

runtime::ToCoordinator CheckpointAckMessage(uint32_t attempt, TaskId id, CheckpointId checkpoint,
                                            TaskSnapshot snapshot) {
  runtime::ToCoordinator message = MessageOf(attempt);
  runtime::CheckpointAck& ack = *message.mutable_checkpoint_ack();
  ack.set_checkpoint(checkpoint);
  ack.mutable_task()->set_group(id.group);
  ack.mutable_task()->set_subtask(id.subtask);
  for (StageSnapshot& stage : snapshot.stages) {
    runtime::StageState& state = *ack.add_stages();
    state.set_stage(stage.stage);
    state.set_snapshot(SubtaskState{std::move(stage.op), std::move(stage.keyed)}.Serialize());
    stage.counters.Write(*state.mutable_counters());
  }
  runtime::BarrierWay& way = *ack.mutable_way();
  way.set_arrival(snapshot.way.arrival);
  way.set_alignment(snapshot.way.alignment);
  way.set_drain(snapshot.way.drain);
  way.set_write(snapshot.way.write);
  way.set_bytes(snapshot.way.bytes);
  return message;
}

runtime::ToCoordinator NoticeMessage(uint32_t attempt, const runtime::Notice& notice) {
  runtime::ToCoordinator message = MessageOf(attempt);
  *message.mutable_notice() = notice;
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
    to.set_stalls(stage.stalls);
    to.set_stalled_micros(stage.stalled);
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
