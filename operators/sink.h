// Sink: where rows leave. One instance is one subtask; called only by the task that owns it, but
// for Commit, which is called on the I/O pool and may run beside the other calls.
//
// Order of calls:
//   Open
//   Commit(handle)   after a restart: every handle of the restored checkpoint, spread over the
//                    subtasks there are now
//   CheckRecovery    on subtask 0 alone, on the I/O pool
//   Recover          on subtask 0 alone, on the I/O pool, after all subtasks have committed, before
//                    any row flows
//   Write | Resume   any number
//   Drain, Freeze    at each checkpoint; what was written before becomes durable and gets handles
//   Commit(handle)   once that checkpoint is complete; idempotent, may be repeated, by any subtask
//   Committed(...)   on subtask 0 alone, on the I/O pool, after the last Commit() of a checkpoint;
//                    may be repeated
//   Close
//
// A piece need not end at a checkpoint. One that is written on behind it is listed by it all the
// same, as an open handle, with its length there. Open handles are committed by nobody until a
// checkpoint is restored: Recover() then cuts their pieces back to what the checkpoint knows, and
// commits them as the checkpoint's own. So no piece is ever written by two attempts, and none needs
// an owner at another parallelism.
#pragma once

#include <span>
#include <string>
#include <vector>

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

  // Nothing may stay open across the next Freeze(): it belongs to a savepoint, or no row follows.
  virtual void EndPieces() {}
  // What was written since the last Freeze(), to be made durable by Write() of the result, on the
  // I/O pool, which yields one handle for each piece that has ended and lists those that are still
  // open, also where nothing was added to them. Null: nothing was written and nothing is open. The
  // runtime keeps handles until their commit, also across a checkpoint that failed.
  virtual std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) { return nullptr; }
  // Makes a piece visible. OK if it is already.
  virtual Status Commit(std::string_view handle) { return absl::OkStatus(); }
  // The same for many, for sinks to which that makes a difference.
  virtual Status CommitAll(std::span<const std::string> handles) {
    for (const std::string& handle : handles) WEIR_RETURN_IF_ERROR(Commit(handle));
    return absl::OkStatus();
  }

  struct Recovery {
    std::string job_id;
    CheckpointId restored = 0;  // 0: none, a fresh start
    bool revoke = false;        // take back what was committed by checkpoints after `restored`
    // Of the restored checkpoint, of all subtasks there were.
    std::vector<std::string> handles;
    std::vector<std::string> open_handles;
  };
  // Would Recover() find what it needs? Changes nothing: at this point going back can still be
  // called off. `revoke` is not known yet.
  virtual Status CheckRecovery(const Recovery& recovery) { return absl::OkStatus(); }
  // If asked to, takes back what was committed after the restored checkpoint; commits its open
  // pieces; removes what other attempts of the job left pending. Can be interrupted at any step and
  // repeated by another attempt. Unimplemented if the sink cannot revoke, and then nothing was
  // done.
  virtual Status Recover(const Recovery& recovery) { return absl::OkStatus(); }
  // All handles of a completed checkpoint, of all subtasks, are committed.
  virtual Status Committed(CheckpointId checkpoint, std::span<const std::string> handles) {
    return absl::OkStatus();
  }
  virtual void Close() {}
};

}  // namespace weir
