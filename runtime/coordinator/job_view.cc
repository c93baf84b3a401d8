#include "runtime/coordinator/job_view.h"

#include <algorithm>
#include <utility>

namespace weir {
namespace {

constexpr double kMicros = 1e6;

double LagSeconds(Timestamp watermark, Timestamp now) {
  if (watermark == kMinTimestamp || watermark == kMaxTimestamp) return -1;
  return std::max(0.0, static_cast<double>(now - watermark) / kMicros);
}

rest::Subtask ViewOf(const SubtaskStatus& subtask, const ClusterJob& job, Timestamp now) {
  rest::Subtask view;
  view.set_index(subtask.subtask);
  view.set_worker(job.worker_of(subtask.subtask));
  view.set_records_in(static_cast<double>(subtask.counters.records_in));
  view.set_records_out(static_cast<double>(subtask.counters.records_out));
  view.set_records_dropped(static_cast<double>(subtask.counters.dropped));
  view.set_dead_letters(static_cast<double>(subtask.counters.dead_letters));
  view.set_busy_seconds(subtask.busy_micros / kMicros);
  view.set_backpressured_seconds(subtask.backpressured_micros / kMicros);
  view.set_watermark_lag_seconds(LagSeconds(subtask.watermark, now));
  view.set_queue_bytes(static_cast<double>(subtask.queue_bytes));
  view.set_state_bytes(static_cast<double>(subtask.state_bytes));
  view.set_stalls(static_cast<double>(subtask.stalls));
  view.set_stalled_seconds(subtask.stalled_micros / kMicros);
  return view;
}

rest::Operator ViewOf(const OperatorStatus& op, const ClusterJob& job, Timestamp now) {
  const int parallelism = static_cast<int>(job.kept().parallelism());
  rest::Operator view;
  view.set_name(op.name);
  view.set_kind(op.kind);
  view.set_component(op.component);
  view.set_records_in(static_cast<double>(op.completed.records_in));
  view.set_records_out(static_cast<double>(op.completed.records_out));
  view.set_records_dropped(static_cast<double>(op.completed.dropped));
  view.set_dead_letters(static_cast<double>(op.completed.dead_letters));
  view.set_live_records_in(static_cast<double>(op.live.records_in));
  view.set_live_records_out(static_cast<double>(op.live.records_out));
  view.set_records_in_per_second(op.records_in_per_second);
  view.set_records_out_per_second(op.records_out_per_second);
  view.set_busy(std::min(1.0, op.busy / parallelism));
  view.set_backpressured(std::min(1.0, op.backpressured));
  view.set_idle(std::max(0.0, 1.0 - view.busy() - view.backpressured()));
  view.set_watermark_lag_seconds(LagSeconds(op.watermark, now));
  view.set_queue_fill(op.queue_fill);
  view.set_state_bytes(static_cast<double>(op.state_bytes));
  view.set_unusable_times(static_cast<double>(op.completed.unusable_times));
  for (const auto& [name, count] : op.completed.named) {
    (*view.mutable_counters())[name] = static_cast<double>(count);
  }
  double queue_bytes = 0, busy = 0, backpressured = 0, stalls = 0, stalled = 0;
  for (const SubtaskStatus& subtask : op.subtasks) {
    *view.add_subtasks() = ViewOf(subtask, job, now);
    queue_bytes += static_cast<double>(subtask.queue_bytes);
    busy += subtask.busy_micros / kMicros;
    backpressured += subtask.backpressured_micros / kMicros;
    stalls += static_cast<double>(subtask.stalls);
    stalled = std::max(stalled, subtask.stalled_micros / kMicros);
  }
  view.set_queue_bytes(queue_bytes);
  view.set_busy_seconds(busy);
  view.set_backpressured_seconds(backpressured);
  view.set_stalls(stalls);
  view.set_stalled_seconds(stalled);
  return view;
}

}  // namespace

rest::Job ViewOf(const ClusterJob& job, Detail detail, Environment& env) {
  const JobStatus status = job.status();
  const JobRecord& record = job.record();
  const runtime::ClusterJob& kept = job.kept();
  rest::Job view;
  view.set_id(record.job_id);
  view.set_name(record.identity.job_name);
  view.set_state(status.state);
  view.set_ended(job.ended());
  if (!status.failure.ok()) view.set_failure(std::string(status.failure.message()));
  view.set_created_at(static_cast<double>(record.created));
  view.set_updated_at(static_cast<double>(record.updated));
  view.set_parallelism(kept.parallelism());
  view.set_attempt(record.attempt);
  view.set_restarts(status.restarts);
  view.set_library_sha256(record.identity.library_sha256);
  for (const auto& [name, value] : kept.parameters()) (*view.mutable_parameters())[name] = value;
  view.set_memory_bytes(static_cast<double>(status.resident_bytes_max));
  view.set_source_done_bytes(static_cast<double>(status.source_done_bytes));
  view.set_source_total_bytes(static_cast<double>(status.source_total_bytes));
  view.set_checkpoint_interval_seconds(kept.checkpoint_interval_micros() / kMicros);
  for (const std::string& worker : job.workers()) view.add_workers(worker);
  if (job.ended() && kept.savepoints_size() > 0) {
    view.set_savepoint(kept.savepoints(kept.savepoints_size() - 1).path());
  }
  rest::Checkpoints& checkpoints = *view.mutable_checkpoints();
  checkpoints.set_completed(static_cast<double>(status.checkpoints_completed));
  checkpoints.set_failed(static_cast<double>(status.checkpoints_failed));
  checkpoints.set_last_id(
      static_cast<double>(std::max(status.last_checkpoint, record.last_completed)));
  checkpoints.set_last_duration_ms(status.last_checkpoint_micros / 1e3);
  checkpoints.set_last_completed_at(static_cast<double>(job.last_checkpoint_at()));
  checkpoints.set_restored_from(static_cast<double>(status.restored_from.value_or(0)));
  if (detail == Detail::kOperators) {
    const Timestamp now = env.clock.Now();
    for (const OperatorStatus& op : status.operators) {
      *view.add_operators() = ViewOf(op, job, now);
    }
  }
  return view;
}

rest::Submission SubmissionOf(const ClusterJob& job) {
  const runtime::ClusterJob& kept = job.kept();
  rest::Submission submission;
  submission.set_library_sha256(job.record().identity.library_sha256);
  for (const auto& [name, value] : kept.parameters()) {
    (*submission.mutable_parameters())[name] = value;
  }
  for (const runtime::ResourceRef& ref : kept.resources()) {
    rest::Resource& resource = *submission.add_resources();
    resource.set_name(ref.name());
    resource.set_path(ref.path());
    resource.set_sha256(ref.sha256());
  }
  submission.set_parallelism(kept.parallelism());
  return submission;
}

rest::Worker ViewOf(const WorkerInfo& worker, const WorkerTable& table, int64_t now_micros) {
  rest::Worker view;
  view.set_id(worker.id);
  view.set_address(worker.host);
  view.set_http(worker.http);
  view.set_slots(worker.slots);
  view.set_slots_free(table.FreeSlots(worker.id));
  view.set_memory_bytes(static_cast<double>(worker.memory_bytes));
  view.set_state(worker.leaving ? "LEAVING" : "ACTIVE");
  view.set_last_heard_seconds(
      static_cast<double>(std::max<int64_t>(0, now_micros - worker.heard_at)) / kMicros);
  return view;
}

rest::SavepointOperation ViewOf(const runtime::Savepoint& savepoint) {
  rest::SavepointOperation view;
  view.set_id(savepoint.id());
  view.set_state(savepoint.complete()           ? "COMPLETED"
                 : !savepoint.failure().empty() ? "FAILED"
                                                : "IN_PROGRESS");
  view.set_path(savepoint.path());
  view.set_failure(savepoint.failure());
  return view;
}

rest::ExceptionList ExceptionsOf(const ClusterJob& job) {
  rest::ExceptionList list;
  const auto& failures = job.kept().failures();
  for (int i = failures.size(); i-- > 0;) {
    rest::JobException& view = *list.add_exceptions();
    view.set_at(static_cast<double>(failures[i].at()));
    view.set_attempt(failures[i].attempt());
    view.set_worker(failures[i].worker());
    view.set_message(failures[i].message());
    view.set_log_tail(failures[i].log_tail());
  }
  return list;
}

rest::Checkpoint ViewOf(const Manifest& manifest, std::string path) {
  rest::Checkpoint view;
  view.set_id(static_cast<double>(manifest.checkpoint));
  view.set_kind(std::string(ToString(manifest.kind)));
  view.set_path(std::move(path));
  view.set_completed_at(static_cast<double>(manifest.created));
  uint64_t bytes = 0;
  for (const StateFile& file : manifest.Files()) bytes += file.bytes;
  view.set_state_bytes(static_cast<double>(bytes));
  view.set_attempt(manifest.attempt);
  if (!manifest.stages.empty()) view.set_parallelism(manifest.stages[0].parallelism);
  return view;
}

}  // namespace weir
