// KeyedFiles: what of a keyed store lies in RocksDB: composed keys (state_table.h) and the bytes
// stored for them.
//
// Entries arrive by the file only: a write sorts generations of the log (keyed_log.h), writes one
// file, deletions included, and hands it over; RocksDB merges the files in the background, and
// leaves out what has expired by then. Writing, capturing and opening belong on the I/O pool, one
// call at a time; Find() and Scan() are the task's and may run beside them. Internal to state/.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "rocksdb/compaction_filter.h"
#include "rocksdb/db.h"
#include "state/database_capture.h"
#include "state/keyed_log.h"
#include "state/snapshot.h"
#include "state/state_table.h"

namespace weir {

// The bytes stored for a key: the schema that the value was written with, when it expires, and the
// value.
struct StoredValue {
  int schema = 0;
  Timestamp expires = kMaxTimestamp;
  std::string_view value;

  static void Encode(int schema, Timestamp expires, std::string_view value, std::string& out);
  static bool Decode(std::string_view stored, StoredValue& value);
};

class KeyedFiles {
 public:
  struct Options {
    std::string directory;  // does not exist yet; this object's alone
    Environment* env = nullptr;
    KeyGroupRange key_groups;
  };
  struct Query {
    std::string_view key;
    uint32_t index = 0;  // the caller's
  };

  // What the snapshots hold of the key groups; their states are added to `states`, which is empty.
  // One snapshot of exactly these key groups is taken over as it is; others are rewritten.
  static StatusOr<std::unique_ptr<KeyedFiles>> Open(Options options,
                                                    std::span<const RestoredSnapshot> snapshots,
                                                    SnapshotReader* reader, StateTable& states);
  ~KeyedFiles();
  KeyedFiles(const KeyedFiles&) = delete;
  KeyedFiles& operator=(const KeyedFiles&) = delete;

  // Adds the records of the generations, all or none; of a key the newest counts.
  Status Write(std::span<const KeyedGeneration> generations);
  // The files as they are now; the object must outlive it.
  StatusOr<std::unique_ptr<DatabaseCapture>> CaptureNow();

  // Calls found(index, stored bytes) for the queries that there is an entry for. Sorts them.
  using Found = std::function<void(uint32_t index, std::string_view stored)>;
  Status Find(std::span<Query> queries, const Found& found);

  // A walk in the order of the keys over those that begin with the prefix.
  class Cursor {
   public:
    bool valid() const { return it_->Valid(); }
    std::string_view key() const { return it_->key().ToStringView(); }
    std::string_view stored() const { return it_->value().ToStringView(); }
    void Next() { it_->Next(); }
    Status status() const;

   private:
    friend class KeyedFiles;
    std::string end_;
    rocksdb::Slice end_slice_;
    std::unique_ptr<rocksdb::Iterator> it_;
  };
  // The entries that begin with `prefix`, from `prefix` + `from` on.
  std::unique_ptr<Cursor> Scan(std::string_view prefix, std::string_view from);

  uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }  // on disk

 private:
  explicit KeyedFiles(Options options);
  Status OpenDatabase();
  Status Rewrite(const StateSnapshot& snapshot, SnapshotReader& reader,
                 const std::vector<StateTable::Mapping>& mapping);
  Status WriteNow(std::span<const KeyedGeneration> generations);
  Status Ingest(const std::string& path);
  std::string NextFile();

  const Options options_;
  const std::unique_ptr<rocksdb::CompactionFilter> drop_expired_;
  std::unique_ptr<rocksdb::DB> db_;
  uint64_t files_written_ = 0;  // I/O side
  bool write_failed_ = false;   // I/O side: the last write did
  std::atomic<uint64_t> bytes_ = 0;
};

}  // namespace weir
