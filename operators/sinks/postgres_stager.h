// PostgresStager: takes the rows of one sink instance to the server and into staging tables, on the
// I/O pool, and runs the rest of the protocol (postgres_ledger.h) on the same session. Internal to
// operators/sinks.
//
// Shared by the task, the pool, and checkpoints on their way. Blocks go out in order, one at a
// time, each in a transaction of its own, so that no transaction is open between them. A COPY that
// the server refuses is halved until what is refused is found; of the last few rows each is sent
// alone, all in one go. How large a block should be follows from how long the last ones took: a
// slow server gets small ones, since a checkpoint waits for what is on its way, a few blocks, and a
// commit for the block that is under way. A COPY that takes too long, of a block that was made
// while the server was faster, is ended with what it has, and the rest goes in another. A session
// that breaks while a piece is open costs the attempt: what it had staged may be gone. Between
// pieces another one is opened.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/environment.h"
#include "operators/sinks/copy_rows.h"
#include "operators/sinks/postgres_ledger.h"

namespace weir {

class PostgresStager : public std::enable_shared_from_this<PostgresStager> {
 public:
  struct Rejected {
    std::string error;
    std::string record;
    Timestamp time = 0;
  };
  struct Identity {
    std::string job_id;
    std::string stage;
    uint32_t attempt = 0;
    int subtask = 0;
  };

  struct EndedPiece {
    PostgresPiece piece;
    uint64_t session = 0;  // that has staged it
  };

  PostgresStager(PostgresSinkOptions options, std::vector<PostgresColumn> columns,
                 Identity identity, Environment& env, std::function<void()> wake);

  // Of the task.

  void Append(CopyBlock block);
  // Of a block that is to be appended next, at most the option's.
  size_t block_bytes() const { return block_bytes_; }
  // True if as much is on its way as may be, or with `all` anything; then a wake-up follows when
  // that is not so any more, or when something failed.
  bool BusyElseWake(bool all);
  // The first error. Sticky: the instance is lost.
  Status status() const;
  // What the server has refused since the last call.
  std::vector<Rejected> TakeRejected();
  // Ends the piece; rows that follow belong to the next one. None if nothing was sent since the
  // last; it may have no rows, where all were refused. REQUIRES: all has been staged.
  std::optional<EndedPiece> EndPiece(CheckpointId checkpoint);
  // Nobody needs what is on its way any more.
  void Abandon();

  // On the I/O pool.

  // Makes the piece durable; one without rows goes.
  Status Seal(const EndedPiece& ended);
  Status Commit(const PostgresPiece& piece);
  Status RemovePending();
  Status ClearBefore(const PostgresPiece& of_checkpoint, CheckpointId checkpoint);

 private:
  struct OpenPiece {
    std::string staging;  // the table's name
    std::string target;
    uint64_t session = 0;
    uint64_t rows = 0;
  };

  bool Full() const;  // REQUIRES: mutex_ is held
  void StageNext();
  void NoteSpeed(size_t bytes, Duration took);
  // All below: rows [first, last) of the block, or where the server is slow only the first of them,
  // at least one; the row behind those.
  StatusOr<size_t> Stage(const CopyBlock& block, size_t first, size_t last);
  StatusOr<size_t> StageOn(const CopyBlock& block, size_t first, size_t last);
  StatusOr<size_t> StageRows(const CopyBlock& block, size_t first, size_t last);
  StatusOr<size_t> CopyLines(const CopyBlock& block, size_t first, size_t last);
  StatusOr<size_t> Sieve(const CopyBlock& block, size_t first, size_t last);
  Status MakeStagingTable();
  void NoteStaged(size_t rows, std::vector<Rejected> rejected);
  uint64_t RowsOfOpenPiece() const;
  // In turn: a commit waits for the block that is under way, not for all that follow it.
  std::unique_lock<std::mutex> LockSession();
  StatusOr<PostgresConnection*> Session();
  std::string ColumnList();

  const PostgresSinkOptions options_;
  const std::vector<PostgresColumn> columns_;
  const Identity identity_;
  Environment& env_;
  const std::function<void()> wake_;
  const std::string prefix_;  // of names of staging tables; the session's name
  std::atomic<bool> abandoned_ = false;
  std::atomic<size_t> block_bytes_;

  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  std::deque<CopyBlock> queue_;  // the first is under way
  size_t staged_rows_ = 0;       // of the first of them
  bool at_work_ = false;         // some thread of the pool
  size_t in_flight_bytes_ = 0;
  bool waiting_ = false;
  bool waiting_for_all_ = false;
  Status status_;
  std::vector<Rejected> rejected_;
  std::optional<OpenPiece> piece_;  // made by whoever holds session_mutex_

  // Held by whoever is the next to have session_mutex_. Without it, the thread that stages block
  // after block takes session_mutex_ again before one that waits for it has woken up.
  std::mutex turn_mutex_;
  // Held for as long as the server takes, so never by the task; never taken inside mutex_.
  std::mutex session_mutex_;
  // All below: guarded by session_mutex_.
  std::unique_ptr<PostgresConnection> session_;
  uint64_t sessions_ = 0;  // how many there were
  uint64_t tables_ = 0;    // staging tables, likewise
  std::string staging_;    // the open piece's table, as in SQL
};

}  // namespace weir
