// DatabaseCapture: the files of a RocksDB that changes only by ingestion and compaction, as they
// are at one moment, for a checkpoint; and how they become a database again.
//
// Table files are immutable and are stored under their content, so a checkpoint uploads only new
// ones. RocksDB's own manifest and CURRENT are copied: they say which tables belong together.
//
// Internal to state/. On the I/O pool.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/environment.h"
#include "rocksdb/db.h"
#include "state/snapshot.h"

namespace weir {

class DatabaseCapture {
 public:
  // The files stay as long as the capture lives, which must not outlive the database; what is
  // written meanwhile does not show in it.
  static StatusOr<std::unique_ptr<DatabaseCapture>> Take(rocksdb::DB& db, Disk& disk);
  ~DatabaseCapture();
  DatabaseCapture(const DatabaseCapture&) = delete;
  DatabaseCapture& operator=(const DatabaseCapture&) = delete;

  StatusOr<std::vector<StateFile>> Store(SnapshotWriter& writer) const;

 private:
  struct File {
    std::string name;
    std::string path;     // an immutable file, or else ...
    std::string content;  // ... its bytes
  };
  explicit DatabaseCapture(rocksdb::DB& db) : db_(db) {}

  rocksdb::DB& db_;
  std::vector<File> files_;
};

// Lays a captured database out in a folder, which is made. Its tables may be links, as RocksDB
// never changes them; the others are private copies. DataLoss for a name that no capture has.
Status FetchDatabase(const StateSnapshot& snapshot, SnapshotReader& reader, Disk& disk,
                     const std::string& directory);

}  // namespace weir
