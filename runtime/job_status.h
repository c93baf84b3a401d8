// JobStatus: a picture of a job for people and for the final report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "state/manifest.h"

namespace weir {

// A stage's share of one slot, in the attempt that runs.
struct SubtaskStatus {
  int subtask = 0;
  StageCounters counters;  // of this attempt
  Timestamp watermark = kMinTimestamp;
  uint64_t busy_micros = 0;
  uint64_t backpressured_micros = 0;  // of its task
  uint64_t queue_bytes = 0;           // that wait for its task
  uint64_t state_bytes = 0;
  uint64_t stalls = 0;          // calls that held their slot too long
  uint64_t stalled_micros = 0;  // by such a call that still does; 0: there is none
};

struct OperatorStatus {
  std::string name;
  std::string kind;
  std::string component;  // what runs inside the stage, such as "unruly 2.1.0"; empty: nothing of
                          // its own name
  // The job's totals, up to the last completed checkpoint and up to now.
  StageCounters completed;
  StageCounters live;
  Timestamp watermark = kMinTimestamp;
  // What follows, but for state_bytes, is of an attempt that runs: else zero.
  double busy = 0;           // share of one core, over the last reports
  double backpressured = 0;  // share of the time that its task waited for room downstream
  double queue_fill = 0;     // of its task's input, 0 to 1
  uint64_t state_bytes = 0;
  double records_in_per_second = 0;  // between the last two reports
  double records_out_per_second = 0;
  std::vector<SubtaskStatus> subtasks;
};

struct JobStatus {
  std::string job_id;
  std::string job_name;
  std::string state;  // DEPLOYING, RUNNING, RESTARTING, ...; at the end FINISHED, FAILED, SUSPENDED
  Status failure;     // why the last attempt ended, if it failed
  std::vector<OperatorStatus> operators;
  uint64_t source_done_bytes = 0;
  uint64_t source_total_bytes = 0;  // 0: unbounded or not known yet

  uint64_t checkpoints_completed = 0;  // of this run
  uint64_t checkpoints_failed = 0;
  CheckpointId last_checkpoint = 0;
  int64_t last_checkpoint_micros = 0;  // how long it took
  std::optional<CheckpointId> restored_from;
  int restarts = 0;

  // Of the executor's process: what Weir may hold, and what there is, user code included.
  uint64_t memory_budget_bytes = 0;
  uint64_t resident_bytes_max = 0;
};

}  // namespace weir
