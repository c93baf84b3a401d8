#include "operators/sinks/postgres_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace weir {
namespace {

bool IsTrue(const std::optional<std::string>& field) { return field == "t"; }

std::string TextOr(const std::optional<std::string>& field, std::string_view otherwise = "") {
  return field ? *field : std::string(otherwise);
}

// "what" of the table's kind; empty if it can be written to exactly once.
std::string WhyNotWritable(std::string_view kind, std::string_view persistence,
                           bool leaves_values_out) {
  if (kind == "v" || kind == "m") return "is a view";
  if (kind == "f") {
    return "is a foreign table, whose server does not commit together with this one";
  }
  if (kind != "r" && kind != "p") return "is no table";
  if (persistence == "u") return "is UNLOGGED, so a crash of the server empties it";
  if (persistence == "t") return "is temporary";
  if (leaves_values_out) {
    return "has no default partition, so a row might have no place in it when it is committed: "
           "create one, CREATE TABLE ... PARTITION OF ... DEFAULT";
  }
  return "";
}

Status ReadColumns(PostgresConnection& connection, const std::string& oid, PostgresTable& table) {
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result found,
      connection.Run(fmt::format(
          "SELECT a.attname, format_type(a.atttypid, a.atttypmod),"
          " (SELECT typname FROM pg_type"
          "  WHERE oid = CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END),"
          " a.attnotnull OR t.typnotnull, a.atthasdef OR a.attidentity <> '',"
          " a.attgenerated <> '' OR a.attidentity = 'a',"
          " has_column_privilege({0}, a.attnum, 'INSERT'),"
          " (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname)"
          "  FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace"
          "  WHERE c.oid = a.attcollation AND a.attcollation <> t.typcollation)"
          " FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid"
          " WHERE a.attrelid = {0} AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
          oid)));
  for (const PostgresConnection::Row& row : found.rows) {
    table.columns.push_back({.name = TextOr(row[0]),
                             .type = TextOr(row[1]),
                             .base_type = TextOr(row[2]),
                             .not_null = IsTrue(row[3]),
                             .has_default = IsTrue(row[4]),
                             .always_generated = IsTrue(row[5]),
                             .may_insert = IsTrue(row[6]),
                             .collation = TextOr(row[7])});
  }
  return absl::OkStatus();
}

Status ReadChecks(PostgresConnection& connection, const std::string& oid, PostgresTable& table) {
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result found,
      connection.Run(fmt::format(
          "SELECT c.oid, pg_get_constraintdef(c.oid), a.attname FROM pg_constraint c"
          " JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)"
          " WHERE c.conrelid = {} AND c.contype = 'c' ORDER BY c.oid",
          oid)));
  std::string last;
  for (const PostgresConnection::Row& row : found.rows) {
    if (TextOr(row[0]) != last) table.checks.push_back({TextOr(row[1]), {}});
    last = TextOr(row[0]);
    table.checks.back().columns.push_back(TextOr(row[2]));
  }
  return absl::OkStatus();
}

constexpr std::string_view kTextTypes[] = {"text", "varchar", "bpchar"};

bool IsOneOf(std::string_view type, std::initializer_list<std::string_view> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

// Whether the server reads what is written for such a field as such a type. Text may be of any
// type; whether it is, each row tells.
bool Fits(PostgresKind kind, std::string_view type) {
  const bool text =
      std::find(std::begin(kTextTypes), std::end(kTextTypes), type) != std::end(kTextTypes);
  switch (kind) {
    case PostgresKind::kBool:
      return text || type == "bool";
    case PostgresKind::kInteger:
      return text || IsOneOf(type, {"int2", "int4", "int8", "numeric", "float4", "float8"});
    case PostgresKind::kNumber:
      return text || IsOneOf(type, {"numeric", "float4", "float8"});
    case PostgresKind::kText:
      return type != "bytea";
    case PostgresKind::kTime:
      return text || IsOneOf(type, {"timestamptz", "timestamp", "date"});
    case PostgresKind::kBytes:
      return type == "bytea";
    case PostgresKind::kJson:
      return text || IsOneOf(type, {"json", "jsonb"});
  }
  return false;
}

std::string_view Name(PostgresKind kind) {
  switch (kind) {
    case PostgresKind::kBool:
      return "true or false";
    case PostgresKind::kInteger:
      return "integers";
    case PostgresKind::kNumber:
      return "numbers";
    case PostgresKind::kText:
      return "text";
    case PostgresKind::kTime:
      return "times";
    case PostgresKind::kBytes:
      return "bytes";
    case PostgresKind::kJson:
      return "JSON";
  }
  return "";
}

}  // namespace

const PostgresTable::Column* PostgresTable::Find(std::string_view column) const {
  auto found = std::find_if(columns.begin(), columns.end(),
                            [&](const Column& c) { return c.name == column; });
  return found == columns.end() ? nullptr : &*found;
}

StatusOr<PostgresTable> ReadPostgresTable(PostgresConnection& connection,
                                          const std::string& table) {
  WEIR_ASSIGN_OR_RETURN(
      PostgresConnection::Result found,
      connection.Run(fmt::format(
          "SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind,"
          " c.relpersistence,"
          " p.partdefid = 0 AND p.partstrat <> 'h'"
          " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
          " LEFT JOIN pg_partitioned_table p ON p.partrelid = c.oid"
          " WHERE c.oid = to_regclass({})",
          connection.Literal(table))));
  if (found.rows.empty()) {
    return absl::NotFoundError(fmt::format("there is no table '{}' in the database", table));
  }
  const PostgresConnection::Row& row = found.rows[0];
  const std::string why = WhyNotWritable(TextOr(row[2]), TextOr(row[3]), IsTrue(row[4]));
  if (!why.empty()) return absl::FailedPreconditionError(fmt::format("'{}' {}", table, why));
  PostgresTable read;
  read.name = TextOr(row[1]);
  WEIR_RETURN_IF_ERROR(ReadColumns(connection, TextOr(row[0]), read));
  WEIR_RETURN_IF_ERROR(ReadChecks(connection, TextOr(row[0]), read));
  return read;
}

Status CheckPostgresColumns(const PostgresTable& table, std::span<const PostgresColumn> columns) {
  std::vector<std::string> wrong;
  std::set<std::string_view> written;
  std::vector<std::string> forbidden;
  for (const PostgresColumn& column : columns) {
    const PostgresTable::Column* found = table.Find(column.name);
    if (!written.insert(column.name).second) {
      wrong.push_back(fmt::format("column '{}' is named twice", column.name));
    } else if (found == nullptr) {
      wrong.push_back(fmt::format("it has no column '{}'", column.name));
    } else if (found->always_generated) {
      wrong.push_back(fmt::format("column '{}' is generated by the server", column.name));
    } else if (!Fits(column.kind, found->base_type)) {
      wrong.push_back(fmt::format("column '{}' is {}, and the job writes {} there", column.name,
                                  found->type, Name(column.kind)));
    } else if (!found->may_insert) {
      forbidden.push_back(column.name);
    }
  }
  for (const PostgresTable::Column& column : table.columns) {
    if (!column.not_null || column.has_default || written.count(column.name) > 0) continue;
    wrong.push_back(fmt::format(
        "column '{}' must not be null and has no default, and the job does not write it",
        column.name));
  }
  if (!wrong.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("table {}: {}", table.name, fmt::join(wrong, "; ")));
  }
  if (forbidden.empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      fmt::format("table {}: the user may not insert into {}: GRANT INSERT ON {} TO the user",
                  table.name, fmt::join(forbidden, ", "), table.name));
}

std::string StagingTableSql(PostgresConnection& connection, const PostgresTable& table,
                            std::span<const PostgresColumn> columns, const std::string& staging) {
  std::vector<std::string> parts;
  std::set<std::string_view> written;
  for (const PostgresColumn& written_column : columns) {
    const PostgresTable::Column* column = table.Find(written_column.name);
    if (column == nullptr) continue;  // it was dropped meanwhile, and COPY says so
    written.insert(column->name);
    parts.push_back(fmt::format("{} {}{}{}", connection.Identifier(column->name), column->type,
                                column->collation.empty() ? "" : " COLLATE " + column->collation,
                                column->not_null ? " NOT NULL" : ""));
  }
  for (const PostgresTable::Check& check : table.checks) {
    const bool whole = std::all_of(check.columns.begin(), check.columns.end(),
                                   [&](const std::string& name) { return written.count(name); });
    if (whole) parts.push_back(check.definition);
  }
  return fmt::format("CREATE TABLE {} ({})", staging, fmt::join(parts, ", "));
}

}  // namespace weir
