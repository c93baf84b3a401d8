#include "state/durable_map.h"

#include <utility>

#include "rocksdb/db.h"
#include "state/rocks_env.h"

namespace weir {
namespace {

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }

rocksdb::WriteOptions Synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

}  // namespace

struct DurableMap::Impl {
  const std::string folder;
  std::unique_ptr<rocksdb::DB> db;  // null after a write that failed, until it is opened again

  Status OpenAgain();
  // A database is not written to behind an error: a log that ended in the middle of a record would
  // hide what comes after it.
  Status Write(const rocksdb::Status& done, const std::string& what) {
    if (!done.ok()) db.reset();
    return FromRocks(done, what);
  }
};

DurableMap::DurableMap(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

DurableMap::~DurableMap() = default;

StatusOr<std::unique_ptr<DurableMap>> DurableMap::Open(const std::string& folder) {
  auto impl = std::make_unique<Impl>(Impl{folder, nullptr});
  WEIR_RETURN_IF_ERROR(impl->OpenAgain());
  return std::unique_ptr<DurableMap>(new DurableMap(std::move(impl)));
}

Status DurableMap::Impl::OpenAgain() {
  if (db != nullptr) return absl::OkStatus();
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = 4 << 20;
  options.max_open_files = 64;
  options.info_log = NoRocksLog();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  // A log that ends within a record was cut by a crash before its write had returned.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  rocksdb::DB* found = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(options, folder, &found);
  if (opened.IsIOError() && opened.ToString().find("lock") != std::string::npos) {
    return absl::UnavailableError(folder + " is in use by another process");
  }
  WEIR_RETURN_IF_ERROR(FromRocks(opened, "open " + folder));
  db.reset(found);
  return absl::OkStatus();
}

Status DurableMap::Put(std::string_view key, std::string_view value) {
  WEIR_RETURN_IF_ERROR(impl_->OpenAgain());
  return impl_->Write(impl_->db->Put(Synced(), ToSlice(key), ToSlice(value)),
                      "write " + std::string(key));
}

Status DurableMap::Remove(std::string_view key) {
  WEIR_RETURN_IF_ERROR(impl_->OpenAgain());
  return impl_->Write(impl_->db->Delete(Synced(), ToSlice(key)), "remove " + std::string(key));
}

StatusOr<std::map<std::string, std::string>> DurableMap::Load(std::string_view prefix) {
  WEIR_RETURN_IF_ERROR(impl_->OpenAgain());
  std::map<std::string, std::string> entries;
  std::unique_ptr<rocksdb::Iterator> at(impl_->db->NewIterator({}));
  for (at->Seek(ToSlice(prefix)); at->Valid() && at->key().starts_with(ToSlice(prefix));
       at->Next()) {
    entries[at->key().ToString()] = at->value().ToString();
  }
  WEIR_RETURN_IF_ERROR(FromRocks(at->status(), "read the map"));
  return entries;
}

}  // namespace weir
