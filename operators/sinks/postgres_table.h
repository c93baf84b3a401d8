// PostgresTable: the table that a PostgreSQL sink writes to, as the server describes it, whether
// rows fit it, and the staging tables that are made in its image. Internal to operators/sinks.
//
// All of it is read from the catalogs, which everybody may read: the sink's user needs the right to
// insert, and no more.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "operators/sinks/postgres_connection.h"

namespace weir {

struct PostgresTable {
  struct Column {
    std::string name;
    std::string type;       // "character varying(3)", as in SQL
    std::string base_type;  // "varchar", "timestamptz"; of a domain what it stands on
    bool not_null = false;
    bool has_default = false;  // or is an identity
    bool always_generated = false;
    bool may_insert = false;
    std::string collation;  // as in SQL; empty: the type's own
  };
  std::string name;  // with its schema, quoted, as in SQL
  std::vector<Column> columns;
  struct Check {
    std::string definition;  // "CHECK ((amount > 0))"
    std::vector<std::string> columns;
  };
  std::vector<Check> checks;

  const Column* Find(std::string_view column) const;
};

// NotFound if there is no such table; FailedPrecondition if it is none that can be written to
// exactly once (a view, a foreign table, one that a crash of the server empties, one whose
// partitions leave out values).
StatusOr<PostgresTable> ReadPostgresTable(PostgresConnection& connection, const std::string& table);

// Whether rows of these columns can be inserted; the error names what is wrong, and all of it.
Status CheckPostgresColumns(const PostgresTable& table, std::span<const PostgresColumn> columns);

// "CREATE TABLE <staging> (...)": the columns that are written, with their types, NOT NULL and
// checks, so that COPY refuses here what the table would refuse. Defaults, unique and foreign keys
// are left to the table.
std::string StagingTableSql(PostgresConnection& connection, const PostgresTable& table,
                            std::span<const PostgresColumn> columns, const std::string& staging);

}  // namespace weir
