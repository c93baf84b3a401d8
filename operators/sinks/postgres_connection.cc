#include "operators/sinks/postgres_connection.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

namespace weir {
namespace {

constexpr size_t kSendBytes = 64 << 10;

int64_t NowMicros() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

absl::StatusCode CodeOf(std::string_view state) {
  const std::string_view group = state.substr(0, 2);
  if (state == "53100" || state == "53200") return absl::StatusCode::kResourceExhausted;
  if (state == "42501" || group == "28") return absl::StatusCode::kPermissionDenied;
  if (state == "42P01" || state == "42703" || state == "3F000" || state == "3D000") {
    return absl::StatusCode::kNotFound;
  }
  if (state == "25006" || state == "55P03" || state == "58030") {  // read-only, locked, I/O error
    return absl::StatusCode::kUnavailable;
  }
  if (group == "08" || group == "53" || group == "57") return absl::StatusCode::kUnavailable;
  if (group == "40") return absl::StatusCode::kAborted;
  // P0: raised by a function, as of a domain or a check. 54: too large or too deep.
  if (group == "22" || group == "23" || group == "54" || group == "P0") {
    return absl::StatusCode::kInvalidArgument;
  }
  if (group == "42" || group == "0A" || group == "55" || group == "44") {
    return absl::StatusCode::kFailedPrecondition;
  }
  return absl::StatusCode::kInternal;
}

// libpq's text without what comes behind its first line.
std::string FirstLine(const char* text) {
  std::string_view line(text);
  line = line.substr(0, line.find('\n'));
  return std::string(line.substr(0, limits::kPostgresErrorBytesMax));
}

Status ServerError(const PGresult* result) {
  auto field = [&](int code) {
    const char* text = PQresultErrorField(result, code);
    return std::string_view(text == nullptr ? "" : text).substr(0, limits::kPostgresErrorBytesMax);
  };
  const std::string_view state = field(PG_DIAG_SQLSTATE);
  // libpq's own errors have no state: the connection broke.
  if (state.empty()) return absl::UnavailableError(FirstLine(PQresultErrorMessage(result)));
  std::string message(field(PG_DIAG_MESSAGE_PRIMARY));
  if (const std::string_view detail = field(PG_DIAG_MESSAGE_DETAIL); !detail.empty()) {
    message += fmt::format(": {}", detail);
  }
  return Status(CodeOf(state), fmt::format("{} (SQLSTATE {})", message, state));
}

// "FATAL:  28P01: password authentication failed": only the text tells why a session was refused.
absl::StatusCode CodeOfRefusal(std::string_view message) {
  for (size_t at = message.find(":  "); at != message.npos; at = message.find(":  ", at + 1)) {
    const std::string_view state = message.substr(at + 3, 5);
    const bool is_state = state.size() == 5 && message.substr(at + 8, 2) == ": " &&
                          std::all_of(state.begin(), state.end(), [](char c) {
                            return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
                          });
    if (is_state) return CodeOf(state);
  }
  return absl::StatusCode::kUnavailable;
}

struct FreeOptions {
  void operator()(PQconninfoOption* options) const { PQconninfoFree(options); }
};

}  // namespace

Status CheckPostgresConnectionString(const std::string& connection) {
  char* error = nullptr;
  std::unique_ptr<PQconninfoOption, FreeOptions> options(
      PQconninfoParse(connection.c_str(), &error));
  if (options == nullptr) {
    // Not libpq's own words: they may quote what was meant to be a password.
    PQfreemem(error);
    return absl::FailedPreconditionError(
        "it is no connection string: write it as host=db dbname=events user=weir, or as "
        "postgresql://weir@db/events");
  }
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    const std::string_view keyword = option->keyword;
    if (option->val == nullptr || (keyword != "password" && keyword != "sslpassword")) continue;
    return absl::FailedPreconditionError(fmt::format(
        "it has a {0} in it, and is kept in the job's record and its checkpoints: leave the {0} "
        "out, and give it by PGPASSFILE, ~/.pgpass, PGPASSWORD or a service file",
        keyword));
  }
  return absl::OkStatus();
}

PostgresConnection::~PostgresConnection() = default;

StatusOr<std::unique_ptr<PostgresConnection>> PostgresConnection::Open(
    const std::string& connection, const std::string& application) {
  WEIR_RETURN_IF_ERROR(CheckPostgresConnectionString(connection));
  const std::string keep_alive_ms = std::to_string(limits::kPostgresKeepAlive / Milliseconds(1));
  const std::string idle_s = std::to_string(limits::kPostgresKeepAlive / Seconds(3));
  // What stands in front of dbname the user may set otherwise, what stands behind it not.
  const std::vector<std::pair<const char*, const char*>> settings = {
      {"target_session_attrs", "read-write"},
      {"tcp_user_timeout", keep_alive_ms.c_str()},
      {"keepalives_idle", idle_s.c_str()},
      {"keepalives_interval", idle_s.c_str()},
      {"keepalives_count", "2"},
      {"dbname", connection.c_str()},
      {"client_encoding", "UTF8"},
      {"application_name", application.c_str()},
  };
  std::vector<const char*> keywords, values;
  for (const auto& [keyword, value] : settings) {
    keywords.push_back(keyword);
    values.push_back(value);
  }
  keywords.push_back(nullptr);
  values.push_back(nullptr);
  std::unique_ptr<PostgresConnection> opened(new PostgresConnection);
  opened->connection_.reset(PQconnectStartParams(keywords.data(), values.data(), 1));
  PGconn* pg = opened->connection_.get();
  if (pg == nullptr) return absl::ResourceExhaustedError("no memory for a connection");
  if (PQstatus(pg) == CONNECTION_BAD) {  // before anything was tried
    return absl::FailedPreconditionError(FirstLine(PQerrorMessage(pg)));
  }
  PQsetErrorVerbosity(pg, PQERRORS_VERBOSE);  // with the SQLSTATE
  PQsetNoticeProcessor(
      pg, [](void*, const char*) {}, nullptr);
  WEIR_RETURN_IF_ERROR(opened->WaitToConnect(NowMicros() + limits::kPostgresConnectMax));
  PQsetErrorVerbosity(pg, PQERRORS_DEFAULT);
  // What the kernel holds, and the other side has no room for, would be sent in front of anything
  // else: megabytes, by default. A socket that is none of TCP has no such option.
  const int unsent_max = static_cast<int>(limits::kPostgresUnsentBytesMax);
  setsockopt(PQsocket(pg), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_max, sizeof(unsent_max));
  if (PQsetnonblocking(pg, 1) != 0) return opened->Lost("cannot be made non-blocking");
  WEIR_ASSIGN_OR_RETURN(Result shown, opened->Run("SHOW synchronous_commit"));
  const bool applied = !shown.rows.empty() && shown.rows[0][0] == "remote_apply";
  opened->durable_ =
      fmt::format("SET LOCAL synchronous_commit = {}", applied ? "remote_apply" : "on");
  WEIR_RETURN_IF_ERROR(
      opened
          ->Run(fmt::format(
              "SET synchronous_commit = off; SET statement_timeout = {}; SET lock_timeout = {}; "
              "SET idle_in_transaction_session_timeout = {}; SET datestyle = 'ISO, YMD'; "
              "SET timezone = 'UTC'; SET standard_conforming_strings = on; "
              "SET default_transaction_isolation = 'read committed'",
              limits::kPostgresAnswerMax / Milliseconds(1),
              limits::kPostgresLockMax / Milliseconds(1),
              limits::kPostgresAnswerMax / Milliseconds(1)))
          .status());
  return opened;
}

Status PostgresConnection::WaitToConnect(int64_t deadline) {
  PGconn* pg = connection_.get();
  PostgresPollingStatusType state = PGRES_POLLING_WRITING;
  while (state != PGRES_POLLING_OK) {
    if (state == PGRES_POLLING_FAILED) {
      const std::string message = FirstLine(PQerrorMessage(pg));
      const bool wants_password = PQconnectionNeedsPassword(pg) == 1;
      lost_ = true;
      return Status(wants_password ? absl::StatusCode::kPermissionDenied : CodeOfRefusal(message),
                    message);
    }
    pollfd socket{PQsocket(pg),
                  static_cast<short>(state == PGRES_POLLING_READING ? POLLIN : POLLOUT), 0};
    const int64_t left = deadline - NowMicros();
    if (left <= 0) {
      lost_ = true;
      return absl::UnavailableError(
          fmt::format("no connection within {}", FormatDuration(limits::kPostgresConnectMax)));
    }
    if (poll(&socket, 1, static_cast<int>(left / 1000 + 1)) < 0 && errno != EINTR) {
      lost_ = true;
      return ErrnoStatus(errno, "poll");
    }
    if (socket.revents != 0) state = PQconnectPoll(pg);
  }
  return absl::OkStatus();
}

Status PostgresConnection::Lost(std::string_view what) {
  lost_ = true;
  return absl::UnavailableError(std::string(what));
}

Status PostgresConnection::Wait(bool to_write, Duration answer_max) {
  const int64_t deadline = NowMicros() + answer_max;
  for (;;) {
    if (called_off_ != nullptr && *called_off_) return Lost("called off");
    const int64_t left = deadline - NowMicros();
    if (left <= 0) {
      return Lost(fmt::format("no answer within {}", FormatDuration(answer_max)));
    }
    pollfd socket{PQsocket(connection_.get()),
                  static_cast<short>(to_write ? POLLIN | POLLOUT : POLLIN), 0};
    const int64_t slice = std::min<int64_t>(left, limits::kPostgresPollMax);
    const int ready = poll(&socket, 1, static_cast<int>(slice / 1000 + 1));
    if (ready < 0 && errno != EINTR) return Lost("poll failed");
    if (ready <= 0) continue;
    if ((socket.revents & ~POLLOUT) != 0 && PQconsumeInput(connection_.get()) == 0) {
      return Lost(FirstLine(PQerrorMessage(connection_.get())));
    }
    return absl::OkStatus();
  }
}

Status PostgresConnection::Flush(Duration answer_max) {
  for (;;) {
    const int left = PQflush(connection_.get());
    if (left == 0) return absl::OkStatus();
    if (left < 0) return Lost(FirstLine(PQerrorMessage(connection_.get())));
    WEIR_RETURN_IF_ERROR(Wait(true, answer_max));
  }
}

StatusOr<PostgresConnection::ResultPtr> PostgresConnection::Next(Duration answer_max) {
  WEIR_RETURN_IF_ERROR(Flush(answer_max));
  while (PQisBusy(connection_.get())) WEIR_RETURN_IF_ERROR(Wait(false, answer_max));
  ResultPtr result(PQgetResult(connection_.get()));
  if (PQstatus(connection_.get()) == CONNECTION_BAD) {
    const Status why = result == nullptr ? absl::UnavailableError("the connection broke")
                                         : ServerError(result.get());
    lost_ = true;
    // Whatever the server said last (it may be shutting down): nobody knows what it did.
    return absl::UnavailableError(why.message());
  }
  return result;
}

StatusOr<PostgresConnection::ResultPtr> PostgresConnection::Last(Duration answer_max) {
  ResultPtr last;
  Status failed;
  for (;;) {
    WEIR_ASSIGN_OR_RETURN(ResultPtr result, Next(answer_max));
    if (result == nullptr) break;
    const ExecStatusType kind = PQresultStatus(result.get());
    if (kind == PGRES_FATAL_ERROR || kind == PGRES_BAD_RESPONSE) {
      if (failed.ok()) failed = ServerError(result.get());
    }
    last = std::move(result);
    if (kind == PGRES_COPY_IN) break;
  }
  WEIR_RETURN_IF_ERROR(failed);
  return last;
}

Status PostgresConnection::RollBack(const Status& why) {
  if (lost_ || PQtransactionStatus(connection_.get()) == PQTRANS_IDLE) return why;
  if (PQsendQuery(connection_.get(), "ROLLBACK") == 0 || !Last(limits::kPostgresAnswerMax).ok())
    lost_ = true;
  return why;
}

StatusOr<PostgresConnection::Result> PostgresConnection::Run(const std::string& statements,
                                                             Duration answer_max) {
  if (lost_) return absl::UnavailableError("the connection is lost");
  if (PQsendQuery(connection_.get(), statements.c_str()) == 0) {
    return Lost(FirstLine(PQerrorMessage(connection_.get())));
  }
  StatusOr<ResultPtr> last = Last(answer_max);
  if (!last.ok()) return RollBack(last.status());
  Result result;
  if (*last == nullptr) return result;
  const PGresult* pg = last->get();
  for (int r = 0; r < PQntuples(pg); ++r) {
    Row& row = result.rows.emplace_back();
    for (int c = 0; c < PQnfields(pg); ++c) {
      if (PQgetisnull(pg, r, c)) {
        row.emplace_back(std::nullopt);
      } else {
        row.emplace_back(std::string(PQgetvalue(pg, r, c), PQgetlength(pg, r, c)));
      }
    }
  }
  result.affected = std::strtoull(PQcmdTuples(const_cast<PGresult*>(pg)), nullptr, 10);
  return result;
}

// Lines may be cut anywhere but at the end.
StatusOr<size_t> PostgresConnection::SendData(std::string_view data, Duration answer_max,
                                              Duration time_max) {
  const std::string_view all = data;
  const int64_t until = NowMicros() + time_max;
  while (!data.empty()) {
    std::string_view piece = data.substr(0, kSendBytes);
    if (data.size() < all.size() && NowMicros() >= until) {
      if (all[all.size() - data.size() - 1] == '\n') break;
      piece = piece.substr(0, std::min(piece.find('\n'), piece.size() - 1) + 1);
    }
    const int sent = PQputCopyData(connection_.get(), piece.data(), static_cast<int>(piece.size()));
    if (sent < 0) return Lost(FirstLine(PQerrorMessage(connection_.get())));
    if (sent == 1) data.remove_prefix(piece.size());
    WEIR_RETURN_IF_ERROR(Flush(answer_max));
  }
  for (;;) {
    const int ended = PQputCopyEnd(connection_.get(), nullptr);
    if (ended < 0) return Lost(FirstLine(PQerrorMessage(connection_.get())));
    if (ended == 1) return all.size() - data.size();
    WEIR_RETURN_IF_ERROR(Wait(true, answer_max));
  }
}

StatusOr<size_t> PostgresConnection::Copy(const std::string& statements, std::string_view data,
                                          Duration time_max) {
  if (lost_) return absl::UnavailableError("the connection is lost");
  const int64_t began = NowMicros();
  if (PQsendQuery(connection_.get(), statements.c_str()) == 0) {
    return Lost(FirstLine(PQerrorMessage(connection_.get())));
  }
  StatusOr<ResultPtr> ready = Last(limits::kPostgresAnswerMax);
  if (!ready.ok()) return RollBack(ready.status());
  if (*ready == nullptr || PQresultStatus(ready->get()) != PGRES_COPY_IN) {
    return Lost("the server began no COPY");
  }
  const Duration answered = NowMicros() - began;
  round_trip_ = round_trip_ == 0 ? answered : std::min(round_trip_, answered);
  WEIR_ASSIGN_OR_RETURN(const size_t sent, SendData(data, limits::kPostgresAnswerMax, time_max));
  const Status done = Last(limits::kPostgresAnswerMax).status();
  if (!done.ok()) return RollBack(done);
  return sent;
}

StatusOr<std::vector<Status>> PostgresConnection::RunEach(const std::string& statement,
                                                          const std::vector<Row>& rows) {
  if (lost_) return absl::UnavailableError("the connection is lost");
  PGconn* pg = connection_.get();
  const int columns = rows.empty() ? 0 : static_cast<int>(rows[0].size());
  std::vector<Status> outcomes;
  if (PQenterPipelineMode(pg) == 0) return Lost(FirstLine(PQerrorMessage(pg)));
  // The first outcome is that of making the statement ready.
  bool sent =
      PQsendPrepare(pg, "", statement.c_str(), columns, nullptr) == 1 && PQpipelineSync(pg) == 1;
  std::vector<const char*> values(static_cast<size_t>(columns));
  for (const Row& row : rows) {
    for (size_t c = 0; c < row.size(); ++c) values[c] = row[c] ? row[c]->c_str() : nullptr;
    sent = sent && PQsendQueryPrepared(pg, "", columns, values.data(), nullptr, nullptr, 0) == 1 &&
           PQpipelineSync(pg) == 1;
  }
  if (!sent) return Lost(FirstLine(PQerrorMessage(pg)));
  WEIR_RETURN_IF_ERROR(ReadEach(rows.size() + 1, limits::kPostgresAnswerMax, outcomes));
  if (PQexitPipelineMode(pg) == 0) return Lost(FirstLine(PQerrorMessage(pg)));
  for (const Status& outcome : outcomes) {
    if (!outcome.ok() && (!IsRefusedValue(outcome) || &outcome == &outcomes[0])) return outcome;
  }
  outcomes.erase(outcomes.begin());
  return outcomes;
}

// Each has its result, a null, and the end of its transaction.
Status PostgresConnection::ReadEach(size_t rows, Duration answer_max,
                                    std::vector<Status>& outcomes) {
  Status outcome;
  while (outcomes.size() < rows) {
    WEIR_ASSIGN_OR_RETURN(ResultPtr result, Next(answer_max));
    if (result == nullptr) continue;
    const ExecStatusType kind = PQresultStatus(result.get());
    if (kind == PGRES_FATAL_ERROR) outcome = ServerError(result.get());
    if (kind == PGRES_PIPELINE_SYNC) outcomes.push_back(std::exchange(outcome, absl::OkStatus()));
  }
  return absl::OkStatus();
}

std::string PostgresConnection::Literal(std::string_view text) {
  char* quoted = PQescapeLiteral(connection_.get(), text.data(), text.size());
  if (quoted == nullptr) return "NULL";  // no memory, or not UTF-8
  std::string literal(quoted);
  PQfreemem(quoted);
  return literal;
}

std::string PostgresConnection::Identifier(std::string_view name) {
  char* quoted = PQescapeIdentifier(connection_.get(), name.data(), name.size());
  if (quoted == nullptr) return "\"\"";
  std::string identifier(quoted);
  PQfreemem(quoted);
  return identifier;
}

}  // namespace weir
