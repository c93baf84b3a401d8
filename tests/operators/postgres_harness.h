// A PostgreSQL server for the tests of a process, and a proxy in front of it that cuts connections
// where a test says so.
#pragma once

#include <libpq-fe.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/event.h"
#include "operators/sinks/postgres_sink.h"
#include "tests/operators/sink_under_test.h"

namespace weir::testing {

// Started by the first test that asks, in a process of its own (tests/system/postgres.py) that ends
// with this one.
class PostgresServer {
 public:
  static PostgresServer& Get();

  const std::string& connection() const { return connection_; }
  int port() const;
  // The same with another port, which is a proxy's.
  std::string ConnectionBy(int port) const;
  void Kill() { Tell("kill"); }
  void Start() { Tell("start"); }

  // Rows as texts with '|' between the columns; aborts the process where the statements are wrong.
  std::vector<std::string> Sql(const std::string& statements);
  std::string One(const std::string& statement) { return Sql(statement).at(0); }

 private:
  PostgresServer();
  void Tell(const std::string& word);
  std::string ReadLine();

  int to_ = -1, from_ = -1;
  std::string connection_;
};

// Takes connections for the server, one at a time, and counts what clients say: messages of the
// protocol.
class CuttingProxy {
 public:
  enum class Cut {
    kBefore,       // the server does not get the message
    kBeforeReply,  // it gets it and answers, and nobody hears
    kStall,        // nothing passes any more, and the connection stays
  };
  // At the message with this number, from 1 (0: never); then connections are taken again, or
  // refused.
  CuttingProxy(int server_port, int cut_at, Cut cut, bool refuses_then);
  ~CuttingProxy();

  int port() const { return port_; }
  bool has_cut() const { return has_cut_; }
  // Messages that the client has to wait for: statements of their own, and COPYs.
  int queries() const { return queries_; }

 private:
  void Run();
  void Serve(int client, int server);
  // The next message of the client, with its type; nullopt: it is gone.
  std::optional<std::string> ReadMessage(int client, bool first);

  const int server_port_;
  const int cut_at_;
  const Cut cut_;
  const bool refuses_then_;
  int listener_ = -1;
  int port_ = 0;
  int messages_ = 0;
  std::atomic<int> queries_ = 0;
  std::atomic<bool> has_cut_ = false;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

struct PostgresEvent {
  std::string id;
  std::string payload = "{}";
};
BatchPtr PostgresEvents(const std::vector<PostgresEvent>& events, Timestamp time = 7);
std::vector<PostgresEvent> Numbered(int first, int last);

// One instance of the sink for events, into the columns id and payload of the table.
class PostgresInstance : public SinkUnderTest<PostgresTableSink> {
 public:
  explicit PostgresInstance(SinkPlace place = {}, std::string connection = {},
                            Environment& env = RealEnvironment(), PostgresSinkOptions options = {});

  Status Write(const std::vector<PostgresEvent>& events) {
    return SinkUnderTest::Write(PostgresEvents(events));
  }
  Status Recover(CheckpointId restored = 0) {
    return (**this).Recover({.job_id = "job-1", .restored = restored});
  }
  // Everything up to a sealed checkpoint.
  StatusOr<std::vector<std::string>> Seal(const std::vector<PostgresEvent>& events,
                                          CheckpointId checkpoint) {
    WEIR_RETURN_IF_ERROR(Write(events));
    WEIR_RETURN_IF_ERROR(Drain());
    return Checkpoint(checkpoint);
  }
};

}  // namespace weir::testing
