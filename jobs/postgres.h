// PostgreSQL for job definitions: rows in a table of a server, each exactly once.
//
//   orders.To("orders", PostgresSink<Order>(
//                           {.connection = "host=db dbname=shop user=weir", .table = "orders"},
//                           {.times = {"placed"}}));
//
// The table exists; each described member of the row is a column of it, by its name. That the
// server can be reached and rows fit the table is checked before the job reads anything.
// docs/postgres-sink.md has the rest.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "jobs/job_builder.h"
#include "operators/sinks/copy_rows.h"
#include "operators/sinks/postgres_options.h"

namespace weir {

namespace internal {

// What does not depend on the type of the rows.
struct PostgresSinkCode {
  std::string options;
  std::string place;
  std::function<std::unique_ptr<Sink>()> make;
  std::function<Status(Environment&, std::string_view job_id)> check;
  std::function<StatusOr<CheckpointId>(Environment&, std::string_view job_id,
                                       std::string_view stage)>
      last_committed;
};
PostgresSinkCode MakePostgresSinkCode(PostgresSinkOptions options,
                                      std::function<std::unique_ptr<CopyFormatter>()> formatter);

template <class T>
SinkSpec<T> PostgresSpec(PostgresSinkCode code) {
  return {.kind = "postgres",
          .options = std::move(code.options),
          .exactly_once = true,
          .can_revoke = false,
          .make = std::move(code.make),
          .check = std::move(code.check),
          .last_committed = std::move(code.last_committed),
          .place = std::move(code.place)};
}

}  // namespace internal

// Rows of a described type.
template <class T>
SinkSpec<T> PostgresSink(PostgresSinkOptions options, CopyHints hints = {}) {
  return internal::PostgresSpec<T>(internal::MakePostgresSinkCode(
      std::move(options), [hints] { return std::make_unique<CopyRows<T>>(hints); }));
}

// Events: these members of them, each in its column.
SinkSpec<Event> EventPostgresSink(PostgresSinkOptions options, std::vector<EventColumn> columns);

// id, tenant, type, route, time, payload, in columns of these names.
std::vector<EventColumn> DefaultEventColumns();

// Where events go that a job has parameters for: `postgres`, a connection string, `postgres_table`,
// `postgres_columns`, `postgres_routes`.
struct PostgresParameters {
  PostgresSinkOptions options;  // the connection is empty: not asked for
  std::vector<EventColumn> columns;
  std::vector<std::string> routes;  // that go there; empty: all
};
PostgresParameters ReadPostgresParameters(Parameters& params);

}  // namespace weir
