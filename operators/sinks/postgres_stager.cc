#include "operators/sinks/postgres_stager.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/sinks/postgres_table.h"

namespace weir {

PostgresStager::PostgresStager(PostgresSinkOptions options, std::vector<PostgresColumn> columns,
                               Identity identity, Environment& env, std::function<void()> wake)
    : options_(std::move(options)),
      columns_(std::move(columns)),
      identity_(std::move(identity)),
      env_(env),
      wake_(std::move(wake)),
      // The attempt's number may have been used before, where a data folder was put back.
      prefix_(fmt::format("{}a{}_s{}_{:08x}", StagingPrefix(identity_.job_id, identity_.stage),
                          identity_.attempt, identity_.subtask,
                          static_cast<uint32_t>(env.random.Next()))),
      // Small at first: nobody knows yet how slow the server is.
      block_bytes_(std::min(limits::kPostgresBlockBytesMin, options_.block_bytes)) {}

void PostgresStager::Append(CopyBlock block) {
  {
    std::lock_guard lock(mutex_);
    in_flight_bytes_ += block.memory_bytes();
    queue_.push_back(std::move(block));
    if (at_work_) return;
    at_work_ = true;
  }
  env_.io.Submit([self = shared_from_this()] { self->StageNext(); });
}

bool PostgresStager::BusyElseWake(bool all) {
  // All that the options allow where blocks have their full size.
  const size_t block = block_bytes_;
  const size_t bytes_max =
      block < options_.block_bytes
          ? std::min(options_.in_flight_bytes_max, block * limits::kPostgresInFlightBlocks)
          : options_.in_flight_bytes_max;
  std::lock_guard lock(mutex_);
  waiting_ = status_.ok() && (all ? at_work_ : in_flight_bytes_ > bytes_max);
  wake_at_bytes_ = all ? 0 : bytes_max / 2;
  return waiting_;
}

// Twice or half of what it was at most, since the time that one block took says little; nothing
// where a small one, the last before a barrier, was quick.
void PostgresStager::NoteSpeed(size_t bytes, Duration took) {
  const size_t block = block_bytes_, least = std::min(limits::kPostgresBlockBytesMin, block);
  const size_t fit = bytes * limits::kPostgresBlockTime / std::max<Duration>(1, took);
  if (took > limits::kPostgresBlockTime) {
    block_bytes_ = std::max({least, block / 2, fit});
  } else if (bytes * 2 >= block) {
    block_bytes_ = std::min({options_.block_bytes, block * 2, std::max(block, fit)});
  }
}

Status PostgresStager::status() const {
  std::lock_guard lock(mutex_);
  return status_;
}

std::vector<PostgresStager::Rejected> PostgresStager::TakeRejected() {
  std::lock_guard lock(mutex_);
  return std::exchange(rejected_, {});
}

void PostgresStager::Abandon() { abandoned_ = true; }

// One block, and then another turn of the pool, so that others have theirs.
void PostgresStager::StageNext() {
  CopyBlock block;
  {
    std::lock_guard lock(mutex_);
    block = std::move(queue_.front());
    queue_.pop_front();
  }
  const size_t bytes = block.memory_bytes();
  const Status staged = abandoned_ ? absl::CancelledError("called off") : Stage(block);
  bool more = false, wake = false;
  {
    std::lock_guard lock(mutex_);
    in_flight_bytes_ -= bytes;
    if (!staged.ok()) {
      status_.Update(staged);
      for (const CopyBlock& left : queue_) in_flight_bytes_ -= left.memory_bytes();
      queue_.clear();
    }
    more = !queue_.empty();
    at_work_ = more;
    wake = waiting_ &&
           (!status_.ok() || !more || (wake_at_bytes_ > 0 && in_flight_bytes_ <= wake_at_bytes_));
    if (wake) waiting_ = false;
  }
  if (more) env_.io.Submit([self = shared_from_this()] { self->StageNext(); });
  if (wake) wake_();
}

std::unique_lock<std::mutex> PostgresStager::LockSession() {
  std::lock_guard turn(turn_mutex_);
  return std::unique_lock(session_mutex_);
}

StatusOr<PostgresConnection*> PostgresStager::Session() {
  if (session_ != nullptr && !session_->lost()) return session_.get();
  {
    std::lock_guard lock(mutex_);
    if (piece_ && piece_->rows > 0) {
      return absl::UnavailableError(
          "the session with PostgreSQL was lost while rows of the next checkpoint were staged");
    }
    piece_.reset();
  }
  WEIR_ASSIGN_OR_RETURN(session_, PostgresConnection::Open(options_.connection, prefix_));
  ++sessions_;
  return session_.get();
}

// Anew for each piece, also because the target may have been changed since.
Status PostgresStager::MakeStagingTable() {
  WEIR_ASSIGN_OR_RETURN(const PostgresTable table, ReadPostgresTable(*session_, options_.table));
  OpenPiece piece{.staging = fmt::format("{}_{}", prefix_, tables_++),
                  .target = table.name,
                  .session = sessions_};
  staging_ = PostgresLedger(*session_, options_.schema).QualifiedName(piece.staging);
  WEIR_RETURN_IF_ERROR(
      session_
          ->Run(fmt::format(
              "BEGIN; {}; COMMENT ON TABLE {} IS {}; COMMIT",
              StagingTableSql(*session_, table, columns_, staging_), staging_,
              session_->Literal(fmt::format("rows of stage '{}' of {} for {}, of the "
                                            "next checkpoint",
                                            identity_.stage, identity_.job_id, table.name))))
          .status());
  std::lock_guard lock(mutex_);
  piece_ = std::move(piece);
  return absl::OkStatus();
}

Status PostgresStager::Stage(const CopyBlock& block) {
  const auto session = LockSession();
  WEIR_ASSIGN_OR_RETURN(PostgresConnection * connection, Session());
  connection->CallOffBy(&abandoned_);
  const int64_t began = env_.clock.MonotonicMicros();
  const Status staged = StageOn(block);
  NoteSpeed(block.bytes.size(), env_.clock.MonotonicMicros() - began);
  connection->CallOffBy(nullptr);  // a commit is brought to its end
  return staged;
}

Status PostgresStager::StageOn(const CopyBlock& block) {
  bool open;
  {
    std::lock_guard lock(mutex_);
    open = piece_.has_value();
  }
  if (!open) WEIR_RETURN_IF_ERROR(MakeStagingTable());
  return StageRows(block, 0, block.rows());
}

std::string PostgresStager::ColumnList() {
  std::vector<std::string> names;
  for (const PostgresColumn& column : columns_) names.push_back(session_->Identifier(column.name));
  return fmt::format("{}", fmt::join(names, ", "));
}

void PostgresStager::NoteStaged(size_t rows, std::vector<Rejected> rejected) {
  std::lock_guard lock(mutex_);
  piece_->rows += rows;
  std::move(rejected.begin(), rejected.end(), std::back_inserter(rejected_));
}

uint64_t PostgresStager::RowsOfOpenPiece() const {
  std::lock_guard lock(mutex_);
  return piece_ ? piece_->rows : 0;
}

Status PostgresStager::StageRows(const CopyBlock& block, size_t first, size_t last) {
  const Status copied = CopyLines(block, first, last);
  if (!IsRefusedValue(copied)) return copied;
  if (last - first <= limits::kPostgresSieveRows) return Sieve(block, first, last);
  const size_t middle = first + (last - first) / 2;
  WEIR_RETURN_IF_ERROR(StageRows(block, first, middle));
  return StageRows(block, middle, last);
}

Status PostgresStager::CopyLines(const CopyBlock& block, size_t first, size_t last) {
  WEIR_RETURN_IF_ERROR(session_->Copy(
      fmt::format("COPY {} ({}) FROM STDIN", staging_, ColumnList()), block.Lines(first, last)));
  NoteStaged(last - first, {});
  return absl::OkStatus();
}

// What each of the rows does alone is what counts.
Status PostgresStager::Sieve(const CopyBlock& block, size_t first, size_t last) {
  std::vector<PostgresConnection::Row> rows;
  for (size_t i = first; i < last; ++i) rows.push_back(ParseCopyLine(block.Lines(i, i + 1)));
  std::vector<std::string> places;
  for (size_t i = 1; i <= columns_.size(); ++i) places.push_back(fmt::format("${}", i));
  WEIR_ASSIGN_OR_RETURN(const std::vector<Status> outcomes,
                        session_->RunEach(fmt::format("INSERT INTO {} ({}) VALUES ({})", staging_,
                                                      ColumnList(), fmt::join(places, ", ")),
                                          rows));
  std::vector<Rejected> rejected;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i].ok()) continue;
    rejected.push_back(
        {fmt::format("PostgreSQL refuses it: {}", std::string(outcomes[i].message())),
         RecordOf(columns_, rows[i]), block.times[first + i]});
  }
  const size_t staged = outcomes.size() - rejected.size();
  NoteStaged(staged, std::move(rejected));
  return absl::OkStatus();
}

std::optional<PostgresStager::EndedPiece> PostgresStager::EndPiece(CheckpointId checkpoint) {
  std::lock_guard lock(mutex_);
  WEIR_CHECK(!at_work_ || !status_.ok());
  if (!piece_) return std::nullopt;
  EndedPiece ended{{.job_id = identity_.job_id,
                    .stage = identity_.stage,
                    .checkpoint = checkpoint,
                    .target = std::move(piece_->target),
                    .schema = options_.schema,
                    .staging = std::move(piece_->staging),
                    .rows = piece_->rows},
                   piece_->session};
  piece_.reset();
  return ended;
}

Status PostgresStager::Seal(const EndedPiece& ended) {
  const auto lock = LockSession();
  const PostgresPiece& piece = ended.piece;
  // Through the session that has staged it: a server that has crashed since may have lost rows.
  if (session_ == nullptr || session_->lost() || sessions_ != ended.session) {
    return absl::UnavailableError(
        "the session with PostgreSQL was lost before the rows of the checkpoint were durable");
  }
  PostgresLedger ledger(*session_, piece.schema);
  if (piece.rows > 0) return ledger.Seal(piece);
  return session_->Run(fmt::format("DROP TABLE {}", ledger.QualifiedName(piece.staging))).status();
}

Status PostgresStager::Commit(const PostgresPiece& piece) {
  const auto lock = LockSession();
  // A session that was cut while nobody used it is no reason to begin anew: a repeated commit
  // changes nothing. But rows that are staged hang by their session.
  for (bool again = RowsOfOpenPiece() == 0;; again = false) {
    WEIR_ASSIGN_OR_RETURN(PostgresConnection * session, Session());
    const Status committed =
        PostgresLedger(*session, piece.schema).Commit(piece, options_.skip_conflicts);
    if (committed.ok() || !again || !session->lost()) return committed;
  }
}

Status PostgresStager::RemovePending() {
  const auto lock = LockSession();
  WEIR_ASSIGN_OR_RETURN(PostgresConnection * session, Session());
  PostgresLedger ledger(*session, options_.schema);
  WEIR_RETURN_IF_ERROR(ledger.MakeTables());
  return ledger.RemovePending(identity_.job_id, identity_.stage, identity_.attempt);
}

Status PostgresStager::ClearBefore(const PostgresPiece& of_checkpoint, CheckpointId checkpoint) {
  const auto lock = LockSession();
  WEIR_ASSIGN_OR_RETURN(PostgresConnection * session, Session());
  return PostgresLedger(*session, of_checkpoint.schema).ClearBefore(of_checkpoint, checkpoint);
}

}  // namespace weir
