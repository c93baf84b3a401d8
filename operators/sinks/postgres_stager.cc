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
  std::lock_guard lock(mutex_);
  waiting_ = status_.ok() && (all ? at_work_ : Full());
  waiting_for_all_ = all;
  return waiting_;
}

bool PostgresStager::Full() const {
  return queue_.size() >= limits::kPostgresInFlightBlocks ||
         in_flight_bytes_ > options_.in_flight_bytes_max;
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

// One block, or a part of it, and then another turn of the pool, so that others have theirs.
void PostgresStager::StageNext() {
  const CopyBlock* block;  // stays where it is, since nobody else takes one away
  {
    std::lock_guard lock(mutex_);
    block = &queue_.front();
  }
  const size_t first = staged_rows_;
  const StatusOr<size_t> staged =
      abandoned_ ? absl::CancelledError("called off") : Stage(*block, first, block->rows());
  bool more = false, wake = false;
  {
    std::lock_guard lock(mutex_);
    if (!staged.ok()) {
      status_.Update(staged.status());
      queue_.clear();
      in_flight_bytes_ = staged_rows_ = 0;
    } else if (*staged < block->rows()) {
      staged_rows_ = *staged;
    } else {
      in_flight_bytes_ -= block->memory_bytes();
      queue_.pop_front();
      staged_rows_ = 0;
    }
    more = !queue_.empty();
    at_work_ = more;
    wake = waiting_ && (!status_.ok() || !more || (!waiting_for_all_ && !Full()));
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

StatusOr<size_t> PostgresStager::Stage(const CopyBlock& block, size_t first, size_t last) {
  const auto session = LockSession();
  WEIR_ASSIGN_OR_RETURN(PostgresConnection * connection, Session());
  connection->CallOffBy(&abandoned_);
  const int64_t began = env_.clock.MonotonicMicros();
  const StatusOr<size_t> staged = StageOn(block, first, last);
  if (staged.ok()) {
    // However far away the server is, no block is so small that it would be nearer.
    NoteSpeed(block.Lines(first, *staged).size(),
              env_.clock.MonotonicMicros() - began - 2 * connection->round_trip());
  }
  connection->CallOffBy(nullptr);  // a commit is brought to its end
  return staged;
}

StatusOr<size_t> PostgresStager::StageOn(const CopyBlock& block, size_t first, size_t last) {
  bool open;
  {
    std::lock_guard lock(mutex_);
    open = piece_.has_value();
  }
  if (!open) WEIR_RETURN_IF_ERROR(MakeStagingTable());
  return StageRows(block, first, last);
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

StatusOr<size_t> PostgresStager::StageRows(const CopyBlock& block, size_t first, size_t last) {
  const StatusOr<size_t> copied = CopyLines(block, first, last);
  if (!IsRefusedValue(copied.status())) return copied;
  if (last - first <= limits::kPostgresSieveRows) return Sieve(block, first, last);
  const size_t middle = first + (last - first) / 2;
  WEIR_ASSIGN_OR_RETURN(const size_t staged, StageRows(block, first, middle));
  return staged < middle ? staged : StageRows(block, middle, last);
}

StatusOr<size_t> PostgresStager::CopyLines(const CopyBlock& block, size_t first, size_t last) {
  WEIR_ASSIGN_OR_RETURN(
      const size_t bytes,
      session_->Copy(fmt::format("COPY {} ({}) FROM STDIN", staging_, ColumnList()),
                     block.Lines(first, last), limits::kPostgresBlockTime));
  const size_t begin = first == 0 ? 0 : block.ends[first - 1];
  const auto end =
      std::upper_bound(block.ends.begin() + first, block.ends.begin() + last, begin + bytes);
  const size_t staged = end - block.ends.begin();
  NoteStaged(staged - first, {});
  return staged;
}

// What each of the rows does alone is what counts.
StatusOr<size_t> PostgresStager::Sieve(const CopyBlock& block, size_t first, size_t last) {
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
  return last;
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
