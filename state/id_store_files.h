// IdFiles: the ids of an id store that lie in RocksDB, one column family per slice of time, its
// keys the fingerprints in big-endian (so ordered by key group). Internal to state/id_store.
//
// Ids arrive by the file only: a write sorts generations of the log, writes one file per slice and
// hands them over; RocksDB merges them in the background. A slice is freed by dropping its family.
// Writing, capturing and opening belong on the I/O pool, one call at a time; Find() is the task's
// and may run beside them, as may a SliceReader.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "core/environment.h"
#include "core/hash.h"
#include "rocksdb/db.h"
#include "state/database_capture.h"
#include "state/id_store_log.h"
#include "state/snapshot.h"

namespace weir {

class IdFiles {
 public:
  struct Options {
    std::string local_dir;  // exists; this object's alone
    Disk* disk = nullptr;
    KeyGroupRange key_groups;
    size_t file_bytes_max = 64 << 20;  // of one that comes of merging others
  };
  struct Query {
    Fingerprint id;
    int64_t slice = 0;
    uint32_t hit = 0;  // the caller's
    bool found = false;
  };

  // What the snapshots hold of the key groups, but for slices below `keep_from`. One snapshot of
  // exactly these key groups is taken over as it is; others are rewritten.
  static StatusOr<std::unique_ptr<IdFiles>> Open(Options options,
                                                 std::span<const RestoredSnapshot> snapshots,
                                                 SnapshotReader* reader, int64_t keep_from);
  ~IdFiles();
  IdFiles(const IdFiles&) = delete;
  IdFiles& operator=(const IdFiles&) = delete;

  // Adds the ids of the generations, all or none, and frees the slices below `keep_from`.
  Status Write(std::span<const IdGeneration> generations, int64_t keep_from);

  // The files as they are now; the object must outlive it.
  StatusOr<std::unique_ptr<DatabaseCapture>> CaptureNow();

  // From the next write on slices that are no longer written to are merged into one or two files
  // each, so that Find() has less to ask. Any thread.
  void MergeQuietSlices() { merge_quiet_.store(true, std::memory_order_relaxed); }

  // Makes Find() see what was written in the meantime. The task's; costs next to nothing.
  void Refresh();
  // Sets `found` where the id lies in exactly that slice. Sorts the queries by slice and id.
  Status Find(std::span<Query> queries);

  // What RocksDB holds in memory to find ids: filters and indexes of all files. Any thread.
  size_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }

  // How many ids each slice has. What a write that failed left behind counts until it is merged
  // with what the next one wrote again. For after opening: it looks into every file.
  StatusOr<std::map<int64_t, uint64_t>> CountIds() const;

  // Reads the ids of a slice as they lie in the files at the first call. Any thread, one at a time;
  // must not outlive the files.
  class SliceReader {
   public:
    // Appends up to `count` ids. False: that was all there is.
    StatusOr<bool> Read(size_t count, std::vector<Fingerprint>& ids);

   private:
    friend class IdFiles;
    rocksdb::DB* db_ = nullptr;
    std::shared_ptr<rocksdb::ColumnFamilyHandle> family_;  // null: there is no such slice
    std::unique_ptr<rocksdb::Iterator> it_;                // goes before the family
  };
  // The task's.
  std::unique_ptr<SliceReader> ReadSlice(int64_t slice) const;

 private:
  using Families = std::map<int64_t, std::shared_ptr<rocksdb::ColumnFamilyHandle>>;

  explicit IdFiles(Options options);
  Status OpenDatabase();
  Status TakeOver(const StateSnapshot& snapshot, SnapshotReader& reader);
  Status Rewrite(const StateSnapshot& snapshot, SnapshotReader& reader, int64_t keep_from);
  Status CreateFamilies(std::span<const int64_t> slices);
  Status FreeSlices(int64_t keep_from);
  Status WriteNow(std::span<const IdGeneration> generations, int64_t keep_from);
  Status Ingest(const std::map<int64_t, std::string>& file_of_slice);
  Status MergeQuietSlices(const std::map<int64_t, std::string>& written);
  void Publish(Families families);
  void MeasureMemory();
  std::shared_ptr<rocksdb::ColumnFamilyHandle> Own(rocksdb::ColumnFamilyHandle* handle);

  const Options options_;
  const rocksdb::Options rocks_options_;
  std::unique_ptr<rocksdb::DB> db_;
  uint64_t files_written_ = 0;              // I/O side
  bool write_failed_ = false;               // I/O side: the last write did
  uint64_t writes_ = 0;                     // I/O side
  std::map<int64_t, uint64_t> last_write_;  // I/O side: of each slice
  std::set<int64_t> merged_;                // I/O side: slices that are to be one or two files
  std::atomic<bool> merge_quiet_ = false;
  std::atomic<size_t> memory_bytes_ = 0;
  // Dropped families that the task may still be reading; destroyed on the I/O side.
  std::vector<std::shared_ptr<rocksdb::ColumnFamilyHandle>> dropped_;

  std::mutex mutex_;
  std::shared_ptr<const Families> families_ = std::make_shared<Families>();  // guarded by mutex_
  std::atomic<uint64_t> families_version_ = 0;

  // The task's own copy.
  std::shared_ptr<const Families> task_families_ = families_;
  uint64_t task_families_version_ = 0;
};

}  // namespace weir
