// CollectingSink: a sink that keeps its rows in memory, in place of a job's own; exactly once, by
// the same protocol as the file sink.
//
// What was written lies open until a checkpoint freezes it, is pending until that checkpoint is
// complete, and is committed then. What is open or pending when an attempt ends is gone, unless the
// checkpoint that is restored has a handle of it. Used by TestJob, on the test's thread and, for
// what a commit does, on the I/O pool.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/row_codec.h"
#include "operators/sink.h"

namespace weir::testing {

// Shared by the test and the sink's instances of all attempts. Thread-safe.
class CollectedRows {
 public:
  explicit CollectedRows(std::shared_ptr<const RowCodec> codec) : codec_(std::move(codec)) {}

  const RowCodec& codec() const { return *codec_; }
  // The rows, in the order in which they were written: all that stand as things are, or the
  // committed ones alone.
  BatchPtr Rows(bool committed_only) const;

 private:
  friend class CollectingSink;
  struct Written {
    uint64_t order;
    BatchPtr batch;
  };
  using Piece = std::vector<Written>;

  const std::shared_ptr<const RowCodec> codec_;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  uint64_t written_ = 0;
  std::map<std::string, Piece> open_;     // by instance
  std::map<std::string, Piece> pending_;  // by handle
  std::map<std::string, Piece> committed_;
};

class CollectingSink final : public Sink {
 public:
  explicit CollectingSink(std::shared_ptr<CollectedRows> rows) : rows_(std::move(rows)) {}

  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  Status Commit(std::string_view handle) override;
  Status Recover(const Recovery& recovery) override;

 private:
  const std::shared_ptr<CollectedRows> rows_;
  std::string instance_;
};

}  // namespace weir::testing
