#include "state/rocks_env.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "core/limits.h"
#include "rocksdb/cache.h"
#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/table.h"
#include "state/rocks_memory.h"

namespace weir {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;

class UnsyncedFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  using FSWritableFileOwnerWrapper::FSWritableFileOwnerWrapper;
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();
  }
};

// RocksDB keeps one per column family, only to sync it: so it need not be open at all.
class UnsyncedDirectory final : public rocksdb::FSDirectory {
 public:
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus FsyncWithDirOptions(const IOOptions&, IODebugContext*,
                               const rocksdb::DirFsyncOptions&) override {
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
};

class UnsyncedFileSystem final : public rocksdb::FileSystemWrapper {
 public:
  using FileSystemWrapper::FileSystemWrapper;
  const char* Name() const override { return "weir.UnsyncedFileSystem"; }

  IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext* debug) override {
    // RocksDB would write all options of all column families, and read them back, whenever a family
    // comes or goes; it takes this error lightly. We never open a database by such a file.
    if (path.find("/OPTIONS-") != std::string::npos) return IOStatus::NotSupported(path);
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = target()->NewWritableFile(path, options, &file, debug);
    if (status.ok()) *result = std::make_unique<UnsyncedFile>(std::move(file));
    return status;
  }
  IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext* debug) override {
    std::unique_ptr<rocksdb::FSWritableFile> file;
    IOStatus status = target()->ReopenWritableFile(path, options, &file, debug);
    if (status.ok()) *result = std::make_unique<UnsyncedFile>(std::move(file));
    return status;
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions& options,
                        std::unique_ptr<rocksdb::FSDirectory>* result,
                        IODebugContext* debug) override {
    IOStatus status = target()->FileExists(path, options, debug);
    if (status.ok()) *result = std::make_unique<UnsyncedDirectory>();
    return status;
  }
};

// RocksDB logs page after page into its folder; what matters of it comes back as a Status.
class NoLog final : public rocksdb::Logger {
 public:
  NoLog() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL) {}
  using Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// Shared by all databases of the process.
struct Shared {
  std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(
      std::make_shared<UnsyncedFileSystem>(rocksdb::FileSystem::Default()));
  std::shared_ptr<rocksdb::Cache> block_cache = rocksdb::NewLRUCache(limits::kBlockCacheBytes);
  std::shared_ptr<rocksdb::Logger> log = std::make_shared<NoLog>();
};

// Never destroyed: databases may still be closing when the process ends.
Shared& GetShared() {
  static Shared* shared = new Shared();
  return *shared;
}

}  // namespace

void SetBlockCacheBytes(size_t bytes) { GetShared().block_cache->SetCapacity(bytes); }

std::shared_ptr<rocksdb::Logger> NoRocksLog() { return GetShared().log; }

rocksdb::Options WorkingCopyOptions() {
  Shared& shared = GetShared();
  rocksdb::Options options;
  options.env = shared.env.get();
  options.info_log = NoRocksLog();
  options.create_if_missing = true;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.max_manifest_file_size = 1 << 20;  // every checkpoint stores the manifest anew
  options.max_background_jobs = 2;
  options.max_open_files = limits::kRocksOpenFilesMax;
  // Mapped pages would count as the process's memory, and no budget would hold them.
  options.allow_mmap_reads = false;
  options.paranoid_checks = true;
  options.compression = rocksdb::kNoCompression;
  // Nothing passes through a memtable: let each be as small as can be.
  options.write_buffer_size = 64 << 10;
  options.arena_block_size = 4 << 10;

  rocksdb::BlockBasedTableOptions table;
  table.block_cache = shared.block_cache;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  table.use_delta_encoding = false;                              // hashes have no prefixes to share
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // bits per key
  // What building a filter takes, eight bytes a key, makes room for itself in the cache.
  table.cache_usage_options.options_overrides[rocksdb::CacheEntryRole::kFilterConstruction] = {
      rocksdb::CacheEntryRoleOptions::Decision::kEnabled};
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

Status FromRocks(const rocksdb::Status& status, std::string_view action) {
  if (status.ok()) return absl::OkStatus();
  std::string message = fmt::format("{}: {}", action, status.ToString());
  // RocksDB keeps of errno no more than its text.
  if (message.ends_with(std::strerror(EMFILE))) return ErrnoStatus(EMFILE, action);
  if (status.IsNoSpace()) return absl::ResourceExhaustedError(message);
  if (status.IsCorruption()) return absl::DataLossError(message);
  return absl::UnavailableError(message);
}

}  // namespace weir
