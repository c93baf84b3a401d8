// PostgresConnection: a session with a PostgreSQL server in which no wait is for ever. Internal to
// operators/sinks.
//
// Calls block, so they belong on the I/O pool; one thread at a time. What the server says comes
// back as a Status whose code tells who can mend it (core/status.h):
//   Unavailable        it cannot be reached, went away, restarts, is slow, out of connections, or
//                      can only be read now
//   ResourceExhausted  its disk or memory is full
//   Aborted            a deadlock or a serialization failure: trying again helps
//   PermissionDenied, NotFound, FailedPrecondition   the password, a right, the database, a table,
//                      a column: the user's to mend
//   InvalidArgument    it refuses a value (IsRefusedValue)
// No message has a password in it.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "operators/sinks/postgres_options.h"

namespace weir {

// FailedPrecondition if libpq cannot read it, or if it has a password.
Status CheckPostgresConnectionString(const std::string& connection);

// Whether the server refused a value, not the statement: it would refuse it again.
inline bool IsRefusedValue(const Status& status) { return absl::IsInvalidArgument(status); }

class PostgresConnection {
 public:
  using Row = std::vector<std::optional<std::string>>;
  struct Result {
    std::vector<Row> rows;
    uint64_t affected = 0;
  };
  // application: how pg_stat_activity shows the session.
  static StatusOr<std::unique_ptr<PostgresConnection>> Open(const std::string& connection,
                                                            const std::string& application);
  ~PostgresConnection();
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  // While it is set and true, waits end at once, and the session is lost: nobody needs the answers
  // any more. It must outlive the connection, or be taken away by null.
  void CallOffBy(const std::atomic<bool>* called_off) { called_off_ = called_off; }

  // Runs statements that are separated by semicolons; the result of the last one. After an error
  // the transaction that was open is rolled back.
  StatusOr<Result> Run(const std::string& statements,
                       Duration answer_max = limits::kPostgresAnswerMax);
  // Statements among which there is one COPY ... FROM STDIN, which gets `data`, lines of its text
  // format; where they do not go out within time_max, only the first of them. How many bytes went.
  StatusOr<size_t> Copy(const std::string& statements, std::string_view data, Duration time_max);
  // One statement with parameters, run once for each of the `rows`, each in a transaction of its
  // own; all are sent in one go. What became of each: OK or IsRefusedValue(). Any other error is
  // the call's, and then nobody knows which have run.
  StatusOr<std::vector<Status>> RunEach(const std::string& statement, const std::vector<Row>& rows);

  // As SQL, quotes included.
  std::string Literal(std::string_view text);
  std::string Identifier(std::string_view name);
  // "SET LOCAL synchronous_commit = ...": what the transaction commits is durable, whatever the
  // session's default. Sessions begin with it off.
  const std::string& durable() const { return durable_; }
  // The quickest answer to a COPY's beginning so far, which has no work in it; 0: there was none.
  Duration round_trip() const { return round_trip_; }
  // An error broke the session; every further call fails.
  bool lost() const { return lost_; }

 private:
  struct Finish {
    void operator()(PGconn* connection) const { PQfinish(connection); }
  };
  struct Clear {
    void operator()(PGresult* result) const { PQclear(result); }
  };
  using ResultPtr = std::unique_ptr<PGresult, Clear>;

  PostgresConnection() = default;
  Status WaitToConnect(int64_t deadline);
  // Waits until the socket can be read, or written to if `to_write`.
  Status Wait(bool to_write, Duration answer_max);
  Status Flush(Duration answer_max);
  // The next result; null behind the last.
  StatusOr<ResultPtr> Next(Duration answer_max);
  // Reads results to the end; the last one, or the first error.
  StatusOr<ResultPtr> Last(Duration answer_max);
  StatusOr<size_t> SendData(std::string_view data, Duration answer_max, Duration time_max);
  Status ReadEach(size_t rows, Duration answer_max, std::vector<Status>& outcomes);
  Status Lost(std::string_view what);
  Status RollBack(const Status& why);

  std::unique_ptr<PGconn, Finish> connection_;
  std::string durable_;
  const std::atomic<bool>* called_off_ = nullptr;
  bool lost_ = false;
  Duration round_trip_ = 0;
};

}  // namespace weir
