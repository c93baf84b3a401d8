// The PostgreSQL sink through the conformance kit, against a server.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include "jobs/job.h"
#include "jobs/postgres.h"
#include "testing/conformance.h"
#include "testing/gtest.h"
#include "tests/operators/conformance_harness.h"
#include "tests/operators/postgres_harness.h"

namespace weir {
namespace {

using testing::ExpectConforms;
using testing::InputScript;
using testing::PostgresServer;
using testing::StageCase;

constexpr Timestamp kStart = 1'767'225'600'000'000;

struct Order {
  std::string_view customer;
  std::optional<int64_t> amount;
  BOOST_DESCRIBE_CLASS(Order, (), (customer, amount), (), ())
};

std::pair<Event, Timestamp> Row(std::string_view id, std::string_view payload) {
  Event event;
  event.id = id;
  event.type = "order";
  event.payload = payload;
  event.time = kStart;
  return {event, kStart + static_cast<Timestamp>(id.size())};
}

class ConformanceOfPostgres : public ::testing::Test {
 protected:
  ConformanceOfPostgres() {
    PostgresSinkOptions options{.connection = server_.connection(), .table = "events"};
    options.block_bytes = 48;  // so that many are on their way at once
    options.in_flight_bytes_max = 200;
    JobBuilder job("job");
    job.From("events", EventFiles({.input = "in"}, {}))
        .To("EventPostgresSink", EventPostgresSink(options, DefaultEventColumns()));
    options.table = "orders";
    job.From("orders", JsonFiles<Order>({.input = "in"}))
        .To("PostgresSink", PostgresSink<Order>(options));
    job.DeadLetters("nowhere", Blackhole<DeadLetter>());
    auto built = job.Build();
    EXPECT_TRUE(testing::IsOk(built));
    job_ = *std::move(built);
  }

  StageCase Stage(std::string_view name, InputScript input, const std::string& columns,
                  const std::string& table) {
    StageCase stage = testing::CaseOf(job_, name);
    stage.input = std::move(input);
    stage.reset = [this, columns, table] {
      server_.Sql(
          fmt::format("DROP TABLE IF EXISTS {0}; DROP SCHEMA IF EXISTS weir CASCADE; "
                      "CREATE TABLE {0} ({1})",
                      table, columns));
    };
    stage.read = [this, table]() -> StatusOr<std::vector<std::string>> {
      return server_.Sql(fmt::format("SELECT row_to_json(r)::text FROM {} r", table));
    };
    return stage;
  }

  PostgresServer& server_ = PostgresServer::Get();
  BuiltJob job_;
};

TEST_F(ConformanceOfPostgres, Events) {
  InputScript input;
  input.Rows<Event>({Row("a", "{}"), Row("b", R"({"x":1})"), Row("c", "no json"), Row("d", "[1]")})
      .Rows<Event>({Row("e", "2"), Row("\xff", "{}")})
      .Watermark(kStart + Seconds(1))
      .Advance(Seconds(2))
      .Rows<Event>({Row("f", "")})
      .Rows<Event>({Row("g", R"("text")"), Row("h", "{}"), Row("i", "{}")});
  ExpectConforms(Stage("EventPostgresSink", std::move(input),
                       "id text, tenant text, type text, route text, time timestamptz, "
                       "payload jsonb",
                       "events"),
                 7);
}

TEST_F(ConformanceOfPostgres, Rows) {
  InputScript input;
  input
      .Rows<Order>({{{"ada", 1}, kStart + 1}, {{"bob", 200'000}, kStart + 2}, {{"cy", {}}, kStart}})
      .Rows<Order>({{{"dan", 40'000}, kStart + 5}})
      .Watermark(kStart + Seconds(2))
      .Rows<Order>({{{"eve", 8}, kStart + Seconds(3)}, {{"", -9}, kStart + Seconds(4)}});
  ExpectConforms(
      Stage("PostgresSink", std::move(input), "customer text, amount smallint", "orders"), 4);
}

}  // namespace
}  // namespace weir
