// What every RocksDB in Weir has in common. Internal to state/: RocksDB's headers are heavy.
//
// The databases are working copies: they live in a folder that ends with the attempt, and what must
// survive is in the checkpoint store. So they write no WAL, and syncing is left out altogether.
#pragma once

#include <memory>
#include <string_view>

#include "core/status.h"
#include "rocksdb/options.h"
#include "rocksdb/status.h"

namespace weir {

// Of databases whose content only ever arrives by the file (SstFileWriter and ingestion).
rocksdb::Options WorkingCopyOptions();

// A log that keeps nothing. RocksDB's own is a file that it writes page after page to, and one that
// a full disk has cut ends the process.
std::shared_ptr<rocksdb::Logger> NoRocksLog();

// "action: message". A full disk is ResourceExhausted, broken data DataLoss.
Status FromRocks(const rocksdb::Status& status, std::string_view action);

}  // namespace weir
