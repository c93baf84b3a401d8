// The PostgreSQL sink takes rows to their columns, and finds those that the server does not take.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <optional>

#include "jobs/postgres.h"
#include "operators/sinks/postgres_connection.h"
#include "testing/gtest.h"
#include "tests/operators/postgres_harness.h"

namespace weir {
namespace {

using testing::CuttingProxy;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::Numbered;
using testing::PostgresEvent;
using testing::PostgresInstance;
using testing::PostgresServer;

class PostgresRows : public ::testing::Test {
 protected:
  void MakeTable(const std::string& columns) {
    server_.Sql(
        "DROP TABLE IF EXISTS events; DROP SCHEMA IF EXISTS weir CASCADE;"
        "CREATE TABLE events (" +
        columns + ")");
  }
  std::vector<std::string> Ids() { return server_.Sql("SELECT id FROM events ORDER BY id::text"); }
  // A sink that has taken and committed the events.
  std::unique_ptr<PostgresInstance> Take(const std::vector<PostgresEvent>& events) {
    auto sink = std::make_unique<PostgresInstance>();
    EXPECT_TRUE(IsOk(sink->Recover()));
    StatusOr<std::vector<std::string>> handles = sink->Seal(events, 1);
    EXPECT_TRUE(IsOk(handles));
    if (handles.ok()) {
      EXPECT_TRUE(IsOk((*sink)->CommitAll(*handles)));
    }
    return sink;
  }

  PostgresServer& server_ = PostgresServer::Get();
};

TEST_F(PostgresRows, TextComesThroughByteForByte) {
  MakeTable("id text, payload text");
  std::vector<PostgresEvent> events = {{"1", ""},          {"2", "\\."},      {"3", "\\N"},
                                       {"4", "a\tb\r\nc"}, {"5", "\\\\t\\n"}, {"6", "äöü€😀"},
                                       {"7", "\x01\x1f"},  {"8", "'\"$$;"}};
  auto sink = Take(events);
  EXPECT_TRUE(sink->out().rejected.empty());
  for (const PostgresEvent& event : events) {
    EXPECT_EQ(server_.One(fmt::format("SELECT payload FROM events WHERE id = '{}'", event.id)),
              event.payload);
  }
}

TEST_F(PostgresRows, RowsThatTheServerRefusesGoToTheDeadLettersAndNoOther) {
  MakeTable("id varchar(5), payload jsonb CHECK (payload <> '[]')");
  std::vector<PostgresEvent> events = Numbered(0, 1000);
  events[3].payload = "no json";
  events[500].id = "too long";
  events[501].payload = "[]";
  events[502].payload = std::string("{\0}", 3);
  events[503].payload = "{\"a\":\"\xff\"}";
  events[504].payload = R"({"a":"\u0000"})";
  events[999].payload = "";
  auto sink = Take(events);
  EXPECT_EQ(Ids().size(), 993u);
  std::map<std::string, std::string> why;
  for (const auto& rejected : sink->out().rejected) {
    EXPECT_EQ(rejected.time, 7);
    why[rejected.record] = rejected.error;
  }
  EXPECT_EQ(sink->out().rejected.size(), 7u);
  EXPECT_THAT(why["no json"], HasSubstr("invalid input syntax for type json"));
  EXPECT_THAT(why["{}"], HasSubstr("value too long for type character varying(5)"));
  EXPECT_THAT(why["[]"], HasSubstr("violates check constraint"));
  EXPECT_THAT(why[events[502].payload], HasSubstr("holds a NUL"));
  EXPECT_THAT(why[events[503].payload], HasSubstr("not UTF-8"));
  EXPECT_THAT(why[events[504].payload], HasSubstr("unsupported Unicode escape"));
  EXPECT_THAT(why[""], HasSubstr("invalid input syntax for type json"));
}

TEST_F(PostgresRows, ManyBadRowsAreFoundInFewRoundTrips) {
  MakeTable("id text, payload jsonb");
  std::vector<PostgresEvent> events = Numbered(0, 4096);
  for (size_t i = 0; i < events.size(); i += 2) events[i].payload = "x" + events[i].id;
  CuttingProxy proxy(server_.port(), 0, CuttingProxy::Cut::kBefore, false);
  {
    PostgresInstance sink({}, server_.ConnectionBy(proxy.port()));
    ASSERT_TRUE(IsOk(sink.Recover()));
    ASSERT_TRUE(IsOk(sink.Write(events)));
    ASSERT_TRUE(IsOk(sink.Drain()));
    EXPECT_EQ(sink.out().rejected.size(), 2048u);
    ASSERT_TRUE(IsOk(sink.CheckpointAndCommit(1)));
  }
  EXPECT_EQ(Ids().size(), 2048u);
  // Halved down to 64 rows: 64 + 32 + ... + 1 COPYs, and some statements beside.
  EXPECT_LT(proxy.queries(), 150);
}

TEST_F(PostgresRows, NothingButBadRowsMakesNoPiece) {
  MakeTable("id text, payload jsonb");
  PostgresInstance sink;
  ASSERT_TRUE(IsOk(sink.Recover()));
  StatusOr<std::vector<std::string>> handles = sink.Seal({{"1", "x"}, {"2", "y"}}, 1);
  ASSERT_TRUE(IsOk(handles));
  EXPECT_TRUE(handles->empty());
  EXPECT_EQ(sink.out().rejected.size(), 2u);
  EXPECT_EQ(server_.One("SELECT count(*) FROM pg_tables WHERE schemaname = 'weir'"), "2");
  handles = sink.Seal({{"3", "3"}}, 2);
  ASSERT_TRUE(IsOk(handles));
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  EXPECT_THAT(Ids(), ElementsAre("3"));
}

TEST_F(PostgresRows, DefaultsAndOtherColumnsAreTheTables) {
  MakeTable(
      "number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text UNIQUE, payload text, "
      "arrived timestamptz NOT NULL DEFAULT now(), size int GENERATED ALWAYS AS (length(payload)) "
      "STORED, CHECK (number > 0 AND id <> '')");
  Take({{"1", "abc"}, {"2", ""}});
  EXPECT_EQ(server_.Sql("SELECT number > 0, size FROM events ORDER BY id"),
            (std::vector<std::string>{"t|3", "t|0"}));
}

TEST_F(PostgresRows, APartitionedTableWithADefaultPartitionIsOne) {
  server_.Sql(
      "DROP TABLE IF EXISTS events; DROP SCHEMA IF EXISTS weir CASCADE;"
      "CREATE TABLE events (id text, payload text) PARTITION BY LIST (id);"
      "CREATE TABLE events_1 PARTITION OF events FOR VALUES IN ('1');"
      "CREATE TABLE events_other PARTITION OF events DEFAULT");
  Take(Numbered(0, 3));
  EXPECT_EQ(server_.One("SELECT count(*) FROM events_1"), "1");
  EXPECT_EQ(server_.One("SELECT count(*) FROM events"), "3");
}

TEST_F(PostgresRows, ACopyThatTakesTooLongEndsAtALine) {
  MakeTable("id text, payload text");
  auto connection = PostgresConnection::Open(server_.connection(), "test");
  ASSERT_TRUE(IsOk(connection));
  std::string lines;
  std::vector<size_t> ends;
  for (int i = 0; i < 1000; ++i) {
    lines += fmt::format("{}\t{}\n", i, std::string(1000, 'x'));
    ends.push_back(lines.size());
  }
  size_t at = 0;
  int copies = 0;
  for (; at < lines.size(); ++copies) {
    const std::string_view rest = std::string_view(lines).substr(at);
    StatusOr<size_t> sent = (*connection)->Copy("COPY events FROM STDIN", rest, /*time_max=*/0);
    ASSERT_TRUE(IsOk(sent));
    ASSERT_GT(*sent, 0u);
    at += *sent;
    const size_t rows = std::find(ends.begin(), ends.end(), at) - ends.begin() + 1;
    ASSERT_LE(rows, ends.size()) << "no line ends there";
    EXPECT_EQ(server_.One("SELECT count(*) FROM events"), fmt::format("{}", rows));
  }
  EXPECT_GT(copies, 5);
  // In time, all of it goes in one.
  EXPECT_EQ((*connection)->Copy("COPY events FROM STDIN", lines, Seconds(60)).value(),
            lines.size());
}

TEST_F(PostgresRows, ASinkThatIsClosedDoesNotWaitForAServerThatIsStuck) {
  MakeTable("id text, payload text");
  CuttingProxy proxy(server_.port(), 4, CuttingProxy::Cut::kStall, false);
  const auto started = std::chrono::steady_clock::now();
  {
    PostgresInstance sink({}, server_.ConnectionBy(proxy.port()));
    StatusOr<Progress> progress = sink->Write(testing::PostgresEvents(Numbered(0, 3)), sink.out());
    ASSERT_TRUE(IsOk(progress));
    progress = sink->Drain(DrainReason::kBarrier, sink.out());
    ASSERT_TRUE(IsOk(progress));
    EXPECT_EQ(*progress, Progress::kBlocked);
    while (!proxy.has_cut()) std::this_thread::yield();
    sink->Close();
    while (sink.wakes() == 0) std::this_thread::yield();
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(10));
}

struct Part {
  std::string_view name;
  int64_t count = 0;
  BOOST_DESCRIBE_CLASS(Part, (), (name, count), (), ())
};
struct Reading {
  std::string_view sensor;
  int64_t at = 0;
  double value = 0;
  std::optional<int32_t> level;
  std::optional<std::string_view> note;
  bool good = false;
  std::vector<Part> parts;
  std::string_view raw;
  std::string_view key;
  BOOST_DESCRIBE_CLASS(Reading, (), (sensor, at, value, level, note, good, parts, raw, key), (), ())
};

constexpr const char* kReadings =
    "sensor text, at timestamptz, value float8, level smallint, note text, good bool, parts jsonb, "
    "raw bytea, key uuid";

TEST_F(PostgresRows, MembersOfARowFitColumnsOfTheirTypes) {
  MakeTable(kReadings);
  const SinkSpec<Reading> spec = PostgresSink<Reading>(
      {.connection = server_.connection(), .table = "events"}, {.times = {"at"}, .bytes = {"raw"}});
  ASSERT_TRUE(IsOk(spec.check(RealEnvironment(), "job-1")));
  testing::SinkUnderTest<PostgresTableSink> sink(
      RealEnvironment(), {},
      PostgresSinkOptions{.connection = server_.connection(), .table = "events"},
      std::make_unique<CopyRows<Reading>>(CopyHints{.times = {"at"}, .bytes = {"raw"}}));
  ASSERT_TRUE(IsOk((*sink).Recover({.job_id = "job-1"})));
  auto batch = std::make_unique<Batch<Reading>>();
  const std::string_view key = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
  const std::string_view raw("\0\xff\\", 3);
  batch->Add({"s1", 1'767'225'600'000'001, 0.1, 7, "n", true, {{"p", 1}}, raw, key}, 1);
  batch->Add({"s2", -62'167'219'200'000'000, 1e300, {}, {}, false, {}, "", key}, 2);  // 1 BC
  batch->Add({"s3", 0, 0, 70000, {}, false, {}, "", key}, 3);
  batch->Add({"s4", 0, 0, 1, {}, false, {}, "", "no uuid"}, 4);
  batch->Add({"s5", std::numeric_limits<int64_t>::max(), 0, 1, {}, false, {}, "", key}, 5);
  ASSERT_TRUE(IsOk(sink.Write(std::move(batch))));
  ASSERT_TRUE(IsOk(sink.Drain()));
  ASSERT_TRUE(IsOk(sink.CheckpointAndCommit(1)));
  EXPECT_THAT(
      server_.Sql("SET timezone = 'UTC'; SELECT * FROM events ORDER BY sensor"),
      ElementsAre(
          R"(s1|2026-01-01 00:00:00.000001+00|0.1|7|n|t|[{"name": "p", "count": 1}]|\x00ff5c|)" +
              std::string(key),
          R"(s2|0001-01-01 00:00:00+00 BC|1e+300|||f|[]|\x|)" + std::string(key)));
  ASSERT_EQ(sink.out().rejected.size(), 3u);
  // What the writer finds comes first.
  EXPECT_THAT(sink.out().rejected[0].error, HasSubstr("the time of column 'at' lies"));
  EXPECT_THAT(sink.out().rejected[1].error, HasSubstr("out of range for type smallint"));
  EXPECT_THAT(sink.out().rejected[1].record, HasSubstr(R"("sensor":"s3")"));
  EXPECT_THAT(sink.out().rejected[1].record, HasSubstr(R"("level":70000,"note":null)"));
  EXPECT_EQ(sink.out().rejected[1].time, 3);
  EXPECT_THAT(sink.out().rejected[2].error, HasSubstr("uuid"));
}

TEST_F(PostgresRows, MembersThatDoNotFitAreToldBeforeAnythingIsWritten) {
  MakeTable(kReadings);
  const PostgresSinkOptions options{.connection = server_.connection(), .table = "events"};
  const Status wrong = PostgresSink<Reading>(options).check(RealEnvironment(), "job-1");
  EXPECT_EQ(wrong.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(wrong.message()),
              HasSubstr("column 'at' is timestamp with time zone, and the job writes integers"));
  EXPECT_THAT(std::string(wrong.message()),
              HasSubstr("column 'raw' is bytea, and the job writes text"));
}

}  // namespace
}  // namespace weir
