// PostgresTableSink: rows in a table of a PostgreSQL server, each row exactly once.
//
// Rows are COPYed into staging tables that survive the session, the process and a crash of the
// server; a checkpoint makes them durable, and its commit moves them into the table in one
// transaction with a row in a ledger (operators/sinks/postgres_ledger.h), so that repeating it
// changes nothing. Rows that the server does not take go to the dead letters in front of their
// barrier. What is committed carries no mark, so it cannot be taken back.
// docs/postgres-sink.md is for users.
#pragma once

#include <memory>
#include <string>

#include "operators/pace.h"
#include "operators/sink.h"
#include "operators/sinks/copy_rows.h"
#include "operators/sinks/postgres_options.h"

namespace weir {

class PostgresStager;

// Calls as operators/sink.h has them. Errors of the server as postgres_connection.h has them.
class PostgresTableSink final : public Sink, public Pace {
 public:
  PostgresTableSink(PostgresSinkOptions options, std::unique_ptr<CopyFormatter> formatter);
  ~PostgresTableSink() override;

  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  // OutOfRange if the rows are nowhere; FailedPrecondition if the table refuses them.
  Status Commit(std::string_view handle) override;
  // Unimplemented if it is to revoke.
  Status Recover(const Recovery& recovery) override;
  Status Committed(CheckpointId checkpoint, std::span<const std::string> handles) override;
  size_t batch_bytes() const override;
  void Close() override;

 private:
  class Sealing;

  void SendBlock();
  StatusOr<Progress> GoOn(Output& out);

  PostgresSinkOptions options_;  // Open() adapts them to the memory there is
  const std::unique_ptr<CopyFormatter> formatter_;
  CopyWriter writer_;
  std::shared_ptr<PostgresStager> stager_;
  bool draining_ = false;
};

// "table=events connection='host=db ...'": for plans and fingerprints. There is no password in it.
std::string ToText(const PostgresSinkOptions& options);

// What must hold before a job starts: the server can be reached (else Unavailable), the user may
// log in, there is such a table, rows of these columns can go into it, and Weir's own tables can be
// kept.
Status CheckPostgresSink(const PostgresSinkOptions& options,
                         std::span<const PostgresColumn> columns);

// The highest checkpoint that has committed rows of the job's stage; 0: none.
StatusOr<CheckpointId> LastCommittedCheckpoint(const PostgresSinkOptions& options,
                                               std::string_view job_id, std::string_view stage);

}  // namespace weir
