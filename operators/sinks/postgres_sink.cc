#include "operators/sinks/postgres_sink.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/sinks/postgres_stager.h"
#include "operators/sinks/postgres_table.h"

namespace weir {

// A piece on its way to be durable.
class PostgresTableSink::Sealing final : public Frozen {
 public:
  Sealing(std::shared_ptr<PostgresStager> stager, PostgresStager::EndedPiece ended)
      : stager_(std::move(stager)), ended_(std::move(ended)) {}

  StatusOr<StateSnapshot> Write(SnapshotWriter&) override {
    WEIR_RETURN_IF_ERROR(stager_->Seal(ended_));
    StateSnapshot snapshot;
    if (ended_.piece.rows > 0) snapshot.handles.push_back(EncodeHandle(ended_.piece));
    return snapshot;
  }

 private:
  const std::shared_ptr<PostgresStager> stager_;
  const PostgresStager::EndedPiece ended_;
};

PostgresTableSink::PostgresTableSink(PostgresSinkOptions options,
                                     std::unique_ptr<CopyFormatter> formatter)
    : options_(std::move(options)),
      formatter_(std::move(formatter)),
      writer_(formatter_->columns()) {}

PostgresTableSink::~PostgresTableSink() { Close(); }

Status PostgresTableSink::Open(OperatorContext& context) {
  // A quarter of the memory for rows on their way, which libpq holds a second time in part.
  options_.in_flight_bytes_max =
      std::max<size_t>(1, std::min(options_.in_flight_bytes_max, context.memory_bytes / 4));
  options_.block_bytes = std::min(options_.block_bytes, options_.in_flight_bytes_max);
  stager_ = std::make_shared<PostgresStager>(
      options_, formatter_->columns(),
      PostgresStager::Identity{context.job_id, context.stage, context.attempt, context.subtask},
      *context.env, context.wake);
  return absl::OkStatus();
}

void PostgresTableSink::SendBlock() {
  CopyBlock block = writer_.TakeBlock();
  if (block.rows() > 0) stager_->Append(std::move(block));
}

StatusOr<Progress> PostgresTableSink::Write(BatchPtr batch, Output& out) {
  WEIR_RETURN_IF_ERROR(stager_->status());
  draining_ = false;
  writer_.set_rejects(out);
  formatter_->Format(*batch, writer_);
  if (writer_.block_bytes() >= stager_->block_bytes()) SendBlock();
  return GoOn(out);
}

StatusOr<Progress> PostgresTableSink::Resume(Output& out) { return GoOn(out); }

// All rows are with the server before the barrier, so that those that it refuses are known.
StatusOr<Progress> PostgresTableSink::Drain(DrainReason, Output& out) {
  draining_ = true;
  SendBlock();
  return GoOn(out);
}

StatusOr<Progress> PostgresTableSink::GoOn(Output& out) {
  const bool busy = stager_->BusyElseWake(draining_);
  WEIR_RETURN_IF_ERROR(stager_->status());
  for (const PostgresStager::Rejected& rejected : stager_->TakeRejected()) {
    out.Reject(rejected.error, rejected.record, rejected.time);
  }
  return busy ? Progress::kBlocked : Progress::kDone;
}

std::unique_ptr<Frozen> PostgresTableSink::Freeze(CheckpointId checkpoint) {
  WEIR_CHECK(checkpoint != 0);
  std::optional<PostgresStager::EndedPiece> ended = stager_->EndPiece(checkpoint);
  if (!ended) return nullptr;
  return std::make_unique<Sealing>(stager_, *std::move(ended));
}

Status PostgresTableSink::Commit(std::string_view handle) {
  WEIR_ASSIGN_OR_RETURN(const PostgresPiece piece, DecodePostgresHandle(handle));
  return stager_->Commit(piece);
}

Status PostgresTableSink::Recover(const Recovery& recovery) {
  if (recovery.revoke) {
    return absl::UnimplementedError("rows in a PostgreSQL table cannot be taken back");
  }
  return stager_->RemovePending();
}

Status PostgresTableSink::Committed(CheckpointId checkpoint, std::span<const std::string> handles) {
  if (handles.empty()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(const PostgresPiece piece, DecodePostgresHandle(handles[0]));
  return stager_->ClearBefore(piece, checkpoint);
}

// A row takes less as a line of a COPY than in a batch.
size_t PostgresTableSink::batch_bytes() const { return stager_->block_bytes(); }

void PostgresTableSink::Close() {
  if (stager_ != nullptr) stager_->Abandon();
}

std::string ToText(const PostgresSinkOptions& options) {
  std::string text = fmt::format("table={} schema={} connection='{}'", options.table,
                                 options.schema, options.connection);
  if (options.skip_conflicts) text += " conflicts=skip";
  return text;
}

Status CheckPostgresSink(const PostgresSinkOptions& options,
                         std::span<const PostgresColumn> columns) {
  WEIR_ASSIGN_OR_RETURN(auto connection, PostgresConnection::Open(options.connection, "weir"));
  WEIR_ASSIGN_OR_RETURN(const PostgresTable table, ReadPostgresTable(*connection, options.table));
  WEIR_RETURN_IF_ERROR(CheckPostgresColumns(table, columns));
  return PostgresLedger(*connection, options.schema).CheckRights();
}

StatusOr<CheckpointId> LastCommittedCheckpoint(const PostgresSinkOptions& options,
                                               std::string_view job_id, std::string_view stage) {
  WEIR_ASSIGN_OR_RETURN(auto connection, PostgresConnection::Open(options.connection, "weir"));
  return PostgresLedger(*connection, options.schema).LastCommitted(job_id, stage);
}

}  // namespace weir
