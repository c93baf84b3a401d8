#include "jobs/postgres.h"

#include <fmt/format.h>

#include <array>

#include "operators/sinks/postgres_connection.h"
#include "operators/sinks/postgres_sink.h"

namespace weir {
namespace {

constexpr std::array<std::pair<std::string_view, EventMember>, 7> kMembers{{
    {"id", EventMember::kId},
    {"tenant", EventMember::kTenant},
    {"type", EventMember::kType},
    {"route", EventMember::kRoute},
    {"time", EventMember::kTime},
    {"priority", EventMember::kPriority},
    {"payload", EventMember::kPayload},
}};

// "time" or "event_time=time": a column and the event's member that is written to it.
std::optional<EventColumn> ParseEventColumn(std::string_view text) {
  const size_t equals = text.find('=');
  const std::string_view member = equals == text.npos ? text : text.substr(equals + 1);
  for (const auto& [name, known] : kMembers) {
    if (name == member) return EventColumn{known, std::string(text.substr(0, equals))};
  }
  return std::nullopt;
}

}  // namespace

internal::PostgresSinkCode internal::MakePostgresSinkCode(
    PostgresSinkOptions options, std::function<std::unique_ptr<CopyFormatter>()> formatter) {
  std::vector<std::string> names;
  const std::vector<PostgresColumn> columns = formatter()->columns();
  for (const PostgresColumn& column : columns) names.push_back(column.name);
  return {
      .options = fmt::format("{} columns={}", ToText(options), fmt::join(names, ",")),
      .place = fmt::format("table={} connection='{}'", options.table, options.connection),
      .make = [options, formatter]() -> std::unique_ptr<Sink> {
        return std::make_unique<PostgresTableSink>(options, formatter());
      },
      .check = [options, columns](Environment&,
                                  std::string_view) { return CheckPostgresSink(options, columns); },
      .last_committed =
          [options](Environment&, std::string_view job_id, std::string_view stage) {
            return LastCommittedCheckpoint(options, job_id, stage);
          }};
}

SinkSpec<Event> EventPostgresSink(PostgresSinkOptions options, std::vector<EventColumn> columns) {
  return internal::PostgresSpec<Event>(internal::MakePostgresSinkCode(
      std::move(options), [columns] { return std::make_unique<EventCopyRows>(columns); }));
}

std::vector<EventColumn> DefaultEventColumns() {
  std::vector<EventColumn> columns;
  for (const auto& [name, member] : kMembers) {
    if (member != EventMember::kPriority) columns.push_back({member, std::string(name)});
  }
  return columns;
}

PostgresParameters ReadPostgresParameters(Parameters& params) {
  PostgresParameters read;
  read.options.connection = params.Text(
      "postgres", "a connection string without a password: events go to a table there", "");
  read.options.table = params.Text("postgres_table", "that they go to", "events");
  read.options.skip_conflicts = params.Flag(
      "postgres_skip_conflicts", "leave out events that a unique constraint refuses", false);
  for (const std::string& column :
       params.List("postgres_columns",
                   "COLUMN or COLUMN=FIELD of id, tenant, type, route, time, priority, "
                   "payload; by default all but priority")) {
    std::optional<EventColumn> parsed = ParseEventColumn(column);
    if (parsed) {
      read.columns.push_back(*std::move(parsed));
    } else {
      params.AddError("postgres_columns", fmt::format("'{}' names no field of an event", column));
    }
  }
  if (read.columns.empty()) read.columns = DefaultEventColumns();
  read.routes = params.List("postgres_routes",
                            "that go to the table, the others to files; without it all go there");
  if (read.options.connection.empty()) {
    if (!read.routes.empty()) params.AddError("postgres_routes", "needs 'postgres'");
    return read;
  }
  const Status sound = CheckPostgresConnectionString(read.options.connection);
  if (!sound.ok()) params.AddErrorOfSecret("postgres", std::string(sound.message()));
  return read;
}

}  // namespace weir
