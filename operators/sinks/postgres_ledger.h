// PostgresLedger: the protocol by which a PostgreSQL sink commits exactly once, in SQL. Internal to
// operators/sinks.
//
// The rows of one subtask between two checkpoints are a *piece*. They lie in a staging table of its
// own, "stage_<sink>_a<attempt>_s<subtask>_<random>_<n>" in Weir's schema, until the piece is
// committed: in one transaction a row goes into the ledger, the rows move into the target, and the
// staging table is dropped. So a piece has been committed exactly when its staging table is gone,
// and the row in the ledger tells that from a piece that was lost.
//
//   <schema>.ledger   a row for each committed piece of the newest checkpoints
//   <schema>.sinks    for each sink the checkpoint up to which the ledger has been cleared
//
// Nothing is kept between calls. Everything may be interrupted at any step and repeated by anybody.
#pragma once

#include <boost/describe/class.hpp>
#include <string>
#include <string_view>

#include "operators/sinks/postgres_connection.h"
#include "state/snapshot.h"

namespace weir {

// A sealed piece, as its handle names it.
struct PostgresPiece {
  std::string job_id;
  std::string stage;
  uint64_t checkpoint = 0;
  std::string target;   // with its schema, quoted, as in SQL
  std::string schema;   // of Weir's tables
  std::string staging;  // the table's name in that schema
  uint64_t rows = 0;

  BOOST_DESCRIBE_CLASS(PostgresPiece, (),
                       (job_id, stage, checkpoint, target, schema, staging, rows), (), ())
};

std::string EncodeHandle(const PostgresPiece& piece);
StatusOr<PostgresPiece> DecodePostgresHandle(std::string_view handle);

// What names of staging tables and sessions of one sink begin with: "stage_<16 hex digits>_".
std::string StagingPrefix(std::string_view job_id, std::string_view stage);

class PostgresLedger {
 public:
  // The connection must outlive it.
  PostgresLedger(PostgresConnection& connection, std::string schema)
      : connection_(connection), schema_(std::move(schema)) {}

  // Whether MakeTables() could, and the user may do what the protocol needs. The error says what to
  // type.
  Status CheckRights();
  Status MakeTables();

  // "weir"."stage_...", as in SQL.
  std::string QualifiedName(std::string_view table);

  // Makes what is in the staging table durable. Internal if it is not what the piece says.
  Status Seal(const PostgresPiece& piece);
  // Moves the piece into its target, unless that has been done. OutOfRange if it is nowhere.
  Status Commit(const PostgresPiece& piece, bool skip_conflicts);
  // All pieces of a completed checkpoint have been committed: those of earlier ones are forgotten.
  Status ClearBefore(const PostgresPiece& of_checkpoint, CheckpointId checkpoint);

  // Ends the sessions that other attempts of the sink have left, and drops all its staging tables.
  // REQUIRES: the sink has not staged anything in this attempt, and what the restored checkpoint
  // has staged is committed.
  Status RemovePending(std::string_view job_id, std::string_view stage, uint32_t attempt);

  // The highest checkpoint of which a piece was committed; 0: none.
  StatusOr<CheckpointId> LastCommitted(std::string_view job_id, std::string_view stage);

 private:
  Status Move(const PostgresPiece& piece, bool skip_conflicts);
  Status CheckGone(const PostgresPiece& piece);
  // Begins a transaction, durable when it commits, in which statements may take their time.
  std::string Begin();

  PostgresConnection& connection_;
  const std::string schema_;
};

}  // namespace weir
