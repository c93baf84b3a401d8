// What a PostgreSQL sink is told, and its limits. docs/postgres-sink.md is for users.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "core/time.h"

namespace weir {

namespace limits {

inline constexpr size_t kPostgresBlockBytes = 1 << 20;  // of rows, as COPY takes them, in one COPY
inline constexpr size_t kPostgresBlockBytesMin = 16 << 10;         // where the server is slow
inline constexpr Duration kPostgresBlockTime = Milliseconds(100);  // that a block should take
inline constexpr size_t kPostgresInFlightBytesMax =
    8 << 20;  // of one sink subtask, on their way to the server, however fast that is
inline constexpr size_t kPostgresUnsentBytesMax =
    64 << 10;  // that the kernel takes of a session before the server has room for them
inline constexpr size_t kPostgresInFlightBlocks = 2;  // one under way, and the one behind it
inline constexpr size_t kPostgresSieveRows =
    64;  // rows of a refused COPY that are then sent one by one, all in one go
inline constexpr size_t kPostgresErrorBytesMax = 1000;  // of the server's message for one row
inline constexpr size_t kPostgresColumnsMax = 1600;     // PostgreSQL's own limit
inline constexpr Duration kPostgresConnectMax = Seconds(10);
inline constexpr Duration kPostgresAnswerMax = Seconds(60);  // for a statement; a COPY: no progress
inline constexpr Duration kPostgresLockMax = Seconds(30);    // for a lock of somebody else
inline constexpr Duration kPostgresCommitMax =
    Minutes(10);  // for moving or counting the rows of one checkpoint
inline constexpr Duration kPostgresPollMax =
    Milliseconds(50);                                        // until a wait that is called off ends
inline constexpr Duration kPostgresKeepAlive = Seconds(30);  // a silent peer is given up after this

}  // namespace limits

// How a column's values are written.
enum class PostgresKind {
  kBool,
  kInteger,
  kNumber,  // float or double
  kText,    // any type that the server reads from text: text, uuid, numeric, inet, an enum, ...
  kTime,    // Timestamp
  kBytes,   // any bytes, for bytea
  kJson,    // what has parts: lists, maps, structs
};

struct PostgresColumn {
  std::string name;  // in the table
  PostgresKind kind = PostgresKind::kText;
  bool is_record = false;  // its text alone is what goes to the dead letters for a row
};

struct PostgresSinkOptions {
  // As libpq takes it, "host=db dbname=events user=weir" or "postgresql://weir@db/events", without
  // a password: that comes from the environment (PGPASSFILE, PGPASSWORD, a service file).
  std::string connection;
  // "events", "public.events"; quoted as in SQL where its name needs it.
  std::string table;
  // Where Weir keeps its own tables, in the same database.
  std::string schema = "weir";
  // True: a row that a unique constraint of the table refuses is left out. False: the job stops
  // there, with nothing lost.
  bool skip_conflicts = false;
  size_t block_bytes = limits::kPostgresBlockBytes;
  size_t in_flight_bytes_max = limits::kPostgresInFlightBytesMax;
};

}  // namespace weir
