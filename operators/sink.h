// Sink: where rows leave. One instance is one subtask; called only by the task that owns it, but
// for Commit, which is called on the I/O pool and may run beside the other calls.
//
// Order of calls:
//   Open
//   Commit(handle)   after a restart: every handle of the restored checkpoint, spread over the
//                    subtasks there are now
//   Recover(...)     on subtask 0 alone, after all subtasks have committed, before any row flows
//   Write | Resume   any number
//   Drain, Freeze    at each checkpoint; what was written before becomes durable and gets handles
//   Commit(handle)   once that checkpoint is complete; idempotent, may be repeated, by any subtask
//   Close
#pragma once

#include "operators/operator.h"

namespace weir {

class Sink {
 public:
  virtual ~Sink() = default;
  // As Operator::DescribeState(); handles need no description.
  virtual StatusOr<StateDescription> DescribeState() { return StateDescription{}; }
  virtual Status Open(OperatorContext& context) = 0;
  // Rejects rows it cannot take (out.Reject) at once, in front of their barrier. Emits nothing.
  virtual StatusOr<Progress> Write(BatchPtr batch, Output& out) = 0;
  virtual StatusOr<Progress> Resume(Output& out) { return Progress::kDone; }
  virtual StatusOr<Progress> Drain(DrainReason reason, Output& out) { return Progress::kDone; }

  // What was written since the last Freeze(), to be made durable by Write() of the result, on the
  // I/O pool, which yields one handle for each piece. Null: nothing was written. The runtime keeps
  // handles until their commit, also across a checkpoint that failed.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) { return nullptr; }
  // Makes a piece visible. OK if it is already.
  virtual Status Commit(std::string_view handle) { return absl::OkStatus(); }

  struct Recovery {
    std::string job_id;
    CheckpointId restored = 0;  // 0: none, a fresh start
    bool revoke = false;        // take back what was committed by checkpoints after `restored`
  };
  // Removes what other attempts of the job left pending; if asked to, takes back what they
  // committed after the restored checkpoint. Unimplemented if the sink cannot revoke, and then
  // nothing was done.
  virtual Status Recover(const Recovery& recovery) { return absl::OkStatus(); }
  virtual void Close() {}
};

}  // namespace weir
