#include "operators/sinks/postgres_ledger.h"

#include <fmt/format.h>

#include "core/codec.h"
#include "core/hash.h"

namespace weir {
namespace {

constexpr std::string_view kHandleFormat = "postgres-sink/1";
// Of pg_advisory_xact_lock: two jobs may begin at once, and IF NOT EXISTS is no protection.
constexpr int64_t kMakeTablesLock = 0x77656972'6c656467;
constexpr int kTerminateMs = 5000;

// The server gives up first.
constexpr Duration kLong = limits::kPostgresCommitMax + limits::kPostgresAnswerMax;

bool IsTrue(const PostgresConnection::Result& result, size_t column) {
  return !result.rows.empty() && result.rows[0][column] == "t";
}

}  // namespace

std::string EncodeHandle(const PostgresPiece& piece) {
  std::string handle;
  PutBytes(kHandleFormat, handle);
  Codec<PostgresPiece>::Encode(piece, handle);
  return handle;
}

StatusOr<PostgresPiece> DecodePostgresHandle(std::string_view handle) {
  ByteReader in(handle);
  std::string_view format;
  PostgresPiece piece;
  if (!in.Bytes(format) || format != kHandleFormat || !Codec<PostgresPiece>::Decode(in, piece) ||
      !in.done()) {
    return absl::DataLossError("a handle is not of the PostgreSQL sink, or of a newer one");
  }
  return piece;
}

std::string StagingPrefix(std::string_view job_id, std::string_view stage) {
  return fmt::format("stage_{:016x}_", Hash64(fmt::format("{}/{}", job_id, stage)));
}

std::string PostgresLedger::QualifiedName(std::string_view table) {
  return fmt::format("{}.{}", connection_.Identifier(schema_), connection_.Identifier(table));
}

std::string PostgresLedger::Begin() {
  return fmt::format("BEGIN; {}; SET LOCAL statement_timeout = {}; ", connection_.durable(),
                     limits::kPostgresCommitMax / Milliseconds(1));
}

Status PostgresLedger::CheckRights() {
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result found,
      connection_.Run(fmt::format(
          "SELECT current_user, n.oid IS NOT NULL,"
          " has_database_privilege(current_database(), 'CREATE'),"
          " has_schema_privilege(n.oid, 'CREATE') AND has_schema_privilege(n.oid, 'USAGE'),"
          " coalesce(has_table_privilege(l.oid, 'SELECT') AND has_table_privilege(l.oid, 'INSERT')"
          "  AND has_table_privilege(l.oid, 'DELETE'), true)"
          " AND coalesce(has_table_privilege(s.oid, 'SELECT')"
          "  AND has_table_privilege(s.oid, 'INSERT')"
          "  AND has_table_privilege(s.oid, 'UPDATE'), true)"
          " FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = {}"
          " LEFT JOIN pg_class l ON l.relnamespace = n.oid AND l.relname = 'ledger'"
          " LEFT JOIN pg_class s ON s.relnamespace = n.oid AND s.relname = 'sinks'",
          connection_.Literal(schema_))));
  if (found.rows.empty()) return absl::InternalError("the catalogs say nothing");
  const std::string user = connection_.Identifier(found.rows[0][0].value_or(""));
  const std::string schema = connection_.Identifier(schema_);
  if (!IsTrue(found, 1) && !IsTrue(found, 2)) {
    return absl::PermissionDeniedError(fmt::format(
        "there is no schema {0} for Weir's own tables, and the user may not make it. Let somebody "
        "who may type: CREATE SCHEMA {0} AUTHORIZATION {1}",
        schema, user));
  }
  if (IsTrue(found, 1) && !IsTrue(found, 3)) {
    return absl::PermissionDeniedError(fmt::format(
        "the user may not make tables in the schema {0}, where Weir keeps its own. Let somebody "
        "who may type: GRANT CREATE, USAGE ON SCHEMA {0} TO {1}",
        schema, user));
  }
  if (!IsTrue(found, 4)) {
    return absl::PermissionDeniedError(fmt::format(
        "the user may not write to {0}.ledger and {0}.sinks, which are another user's. Let that "
        "user type: GRANT SELECT, INSERT, UPDATE, DELETE ON {0}.ledger, {0}.sinks TO {1}",
        schema, user));
  }
  return absl::OkStatus();
}

Status PostgresLedger::MakeTables() {
  const std::string ledger = QualifiedName("ledger"), sinks = QualifiedName("sinks");
  const std::string schema = connection_.Identifier(schema_);
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result found,
      connection_.Run(fmt::format("SELECT to_regclass({}) IS NOT NULL AND to_regclass({}) IS NOT "
                                  "NULL, to_regnamespace({}) IS NOT NULL",
                                  connection_.Literal(ledger), connection_.Literal(sinks),
                                  connection_.Literal(schema))));
  if (IsTrue(found, 0)) return absl::OkStatus();
  // Where there is a schema, the user may not be allowed to ask for one.
  const std::string make_schema =
      IsTrue(found, 1) ? "" : fmt::format("CREATE SCHEMA IF NOT EXISTS {};", schema);
  return connection_
      .Run(fmt::format(
          "{}SELECT pg_advisory_xact_lock({}); {}"
          "CREATE TABLE IF NOT EXISTS {} (job text, stage text, checkpoint bigint, piece text,"
          " rows bigint NOT NULL, committed timestamptz NOT NULL DEFAULT clock_timestamp(),"
          " PRIMARY KEY (job, stage, checkpoint, piece));"
          "CREATE TABLE IF NOT EXISTS {} (job text, stage text, target text NOT NULL,"
          " cleared_to bigint NOT NULL, PRIMARY KEY (job, stage));"
          "COMMIT",
          Begin(), kMakeTablesLock, make_schema, ledger, sinks))
      .status();
}

Status PostgresLedger::Seal(const PostgresPiece& piece) {
  const std::string staging = QualifiedName(piece.staging);
  // The comment is for people; that it is written makes the commit wait for the disk, and with it
  // for all that was written before.
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result counted,
      connection_.Run(
          fmt::format("{}COMMENT ON TABLE {} IS {}; SELECT count(*) FROM {}", Begin(), staging,
                      connection_.Literal(fmt::format("{} rows of stage '{}' of {} for {}, to be "
                                                      "committed with checkpoint {}",
                                                      piece.rows, piece.stage, piece.job_id,
                                                      piece.target, piece.checkpoint)),
                      staging),
          kLong));
  if (counted.rows.empty() || counted.rows[0][0] != std::to_string(piece.rows)) {
    (void)connection_.Run("ROLLBACK");
    return absl::InternalError(
        fmt::format("{} rows were staged in {}, and it holds {}", piece.rows, staging,
                    counted.rows.empty() ? "none" : counted.rows[0][0].value_or("none")));
  }
  return connection_.Run("COMMIT", kLong).status();
}

Status PostgresLedger::Commit(const PostgresPiece& piece, bool skip_conflicts) {
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result booked,
      connection_.Run(
          fmt::format("{}INSERT INTO {} (job, stage, checkpoint, piece, rows) VALUES ({}, {}, {}, "
                      "{}, {}) ON CONFLICT DO NOTHING",
                      Begin(), QualifiedName("ledger"), connection_.Literal(piece.job_id),
                      connection_.Literal(piece.stage), piece.checkpoint,
                      connection_.Literal(piece.staging), piece.rows),
          kLong));
  // A transaction of somebody else that was about to commit it has been waited for.
  if (booked.affected == 0) return connection_.Run("ROLLBACK").status();
  return Move(piece, skip_conflicts);
}

Status PostgresLedger::Move(const PostgresPiece& piece, bool skip_conflicts) {
  const std::string staging = QualifiedName(piece.staging);
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result columns,
      connection_.Run(fmt::format(
          "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute"
          " WHERE attrelid = to_regclass({}) AND attnum > 0 AND NOT attisdropped",
          connection_.Literal(staging))));
  if (columns.rows.empty() || !columns.rows[0][0]) {
    WEIR_RETURN_IF_ERROR(connection_.Run("ROLLBACK").status());
    return CheckGone(piece);
  }
  const Status moved =
      connection_
          .Run(fmt::format("INSERT INTO {0} ({1}) SELECT {1} FROM {2}{3}; DROP TABLE {2}; COMMIT",
                           piece.target, *columns.rows[0][0], staging,
                           skip_conflicts ? " ON CONFLICT DO NOTHING" : ""),
               kLong)
          .status();
  if (!IsRefusedValue(moved)) return moved;
  // No row can be pinned down here any more, so the job stops, and can go on once that is mended.
  return absl::FailedPreconditionError(
      fmt::format("{} refuses what checkpoint {} is to commit: {}. The rows are safe in {}; mend "
                  "the table, and "
                  "run the job again",
                  piece.target, piece.checkpoint, std::string(moved.message()), staging));
}

Status PostgresLedger::CheckGone(const PostgresPiece& piece) {
  WEIR_ASSIGN_OR_RETURN(PostgresConnection::Result cleared,
                        connection_.Run(fmt::format(
                            "SELECT cleared_to >= {} FROM {} WHERE job = {} AND stage = {}",
                            piece.checkpoint, QualifiedName("sinks"),
                            connection_.Literal(piece.job_id), connection_.Literal(piece.stage))));
  if (IsTrue(cleared, 0)) return absl::OkStatus();
  return absl::OutOfRangeError(
      fmt::format("the rows that checkpoint {} is to commit are gone: neither is there a table {} "
                  "nor a line in {}",
                  piece.checkpoint, QualifiedName(piece.staging), QualifiedName("ledger")));
}

Status PostgresLedger::ClearBefore(const PostgresPiece& of_checkpoint, CheckpointId checkpoint) {
  const std::string job = connection_.Literal(of_checkpoint.job_id);
  const std::string stage = connection_.Literal(of_checkpoint.stage);
  return connection_
      .Run(fmt::format("BEGIN; INSERT INTO {0} AS known VALUES ({1}, {2}, {3}, {4})"
                       " ON CONFLICT (job, stage) DO UPDATE SET target = excluded.target,"
                       " cleared_to = greatest(known.cleared_to, excluded.cleared_to);"
                       " DELETE FROM {5} WHERE job = {1} AND stage = {2} AND checkpoint < {4};"
                       " COMMIT",
                       QualifiedName("sinks"), job, stage,
                       connection_.Literal(of_checkpoint.target), checkpoint,
                       QualifiedName("ledger")))
      .status();
}

Status PostgresLedger::RemovePending(std::string_view job_id, std::string_view stage,
                                     uint32_t attempt) {
  const std::string prefix = StagingPrefix(job_id, stage);
  // A session of an attempt that nobody knows to be dead could go on staging, and hold its tables.
  WEIR_RETURN_IF_ERROR(
      connection_
          .Run(fmt::format("SELECT pg_terminate_backend(pid, {}) FROM pg_stat_activity"
                           " WHERE datname = current_database() AND usename = current_user"
                           " AND pid <> pg_backend_pid() AND starts_with(application_name, {})"
                           " AND NOT starts_with(application_name, {})",
                           kTerminateMs, connection_.Literal(prefix),
                           connection_.Literal(fmt::format("{}a{}_", prefix, attempt))))
          .status());
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result tables,
      connection_.Run(fmt::format("SELECT c.relname FROM pg_class c JOIN pg_namespace n"
                                  " ON n.oid = c.relnamespace WHERE n.nspname = {}"
                                  " AND c.relkind = 'r' AND starts_with(c.relname, {})",
                                  connection_.Literal(schema_), connection_.Literal(prefix))));
  for (const PostgresConnection::Row& row : tables.rows) {
    WEIR_RETURN_IF_ERROR(
        connection_.Run(fmt::format("DROP TABLE IF EXISTS {}", QualifiedName(row[0].value_or(""))))
            .status());
  }
  return absl::OkStatus();
}

StatusOr<CheckpointId> PostgresLedger::LastCommitted(std::string_view job_id,
                                                     std::string_view stage) {
  const std::string ledger = QualifiedName("ledger"), sinks = QualifiedName("sinks");
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result there,
      connection_.Run(fmt::format("SELECT to_regclass({}) IS NOT NULL AND to_regclass({}) IS NOT "
                                  "NULL",
                                  connection_.Literal(ledger), connection_.Literal(sinks))));
  if (!IsTrue(there, 0)) return CheckpointId{0};
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result last,
      connection_.Run(fmt::format(
          "SELECT greatest((SELECT max(checkpoint) FROM {0} WHERE job = {2} AND stage = {3}),"
          " (SELECT cleared_to FROM {1} WHERE job = {2} AND stage = {3}), 0)",
          ledger, sinks, connection_.Literal(job_id), connection_.Literal(stage))));
  return std::stoull(last.rows.at(0).at(0).value_or("0"));
}

}  // namespace weir
