#include "state/keyed_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "core/codec.h"
#include "rocksdb/cache.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/sst_file_writer.h"
#include "rocksdb/table.h"
#include "state/rocks_env.h"

namespace weir {
namespace {

rocksdb::Options KeyedOptions() {
  rocksdb::Options options = WorkingCopyOptions();
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  options.num_levels = 1;
  options.level0_file_num_compaction_trigger = 8;
  options.level0_slowdown_writes_trigger = 1 << 20;
  options.level0_stop_writes_trigger = 1 << 20;
  options.compaction_readahead_size = 256 << 10;  // of each file that is merged
  auto* table = options.table_factory->GetOptions<rocksdb::BlockBasedTableOptions>();
  table->use_delta_encoding = true;
  // Filters and indexes are read and evicted by the piece, like everything else.
  table->index_type = rocksdb::BlockBasedTableOptions::kTwoLevelIndexSearch;
  table->partition_filters = true;
  table->cache_index_and_filter_blocks = true;
  table->cache_index_and_filter_blocks_with_high_priority = true;
  table->pin_top_level_index_and_filter = true;
  return options;
}

// Composed keys are added in ascending order.
class SortedFile {
 public:
  Status Create(std::string path) {
    path_ = std::move(path);
    writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options_,
                                                       /*column_family=*/nullptr,
                                                       /*invalidate_page_cache=*/false);
    return FromRocks(writer_->Open(path_), "creating " + path_);
  }
  Status Put(std::string_view key, std::string_view stored) {
    return Check(writer_->Put(rocksdb::Slice(key), rocksdb::Slice(stored)));
  }
  Status Delete(std::string_view key) { return Check(writer_->Delete(rocksdb::Slice(key))); }
  Status Finish() { return Check(writer_->Finish()); }
  bool is_open() const { return writer_ != nullptr; }
  const std::string& path() const { return path_; }

 private:
  Status Check(const rocksdb::Status& status) const {
    return status.ok() ? absl::OkStatus() : FromRocks(status, "writing " + path_);
  }

  std::string path_;
  const rocksdb::Options options_ = KeyedOptions();
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
};

// The first bytes that are greater than all that begin with the prefix, whose last byte is not 255
// alone.
std::string EndOf(std::string_view prefix) {
  std::string end(prefix);
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (!end.empty()) end.back() = static_cast<char>(end.back() + 1);
  return end;
}

// Entries whose time has come become deletions, or nothing where no older file can hold the key.
// Any thread.
class DropExpired final : public rocksdb::CompactionFilter {
 public:
  explicit DropExpired(Clock& clock) : clock_(clock) {}
  const char* Name() const override { return "weir.DropExpired"; }
  bool Filter(int, const rocksdb::Slice&, const rocksdb::Slice& stored, std::string*,
              bool*) const override {
    StoredValue value;
    if (!StoredValue::Decode(stored.ToStringView(), value)) return false;
    return value.expires != kMaxTimestamp && value.expires <= clock_.Now();
  }

 private:
  Clock& clock_;
};

Status BrokenEntry(std::string_view where) {
  return absl::DataLossError(fmt::format("{} holds an entry that is no keyed state", where));
}

// The table of states of a snapshot, added to `states`.
StatusOr<std::vector<StateTable::Mapping>> MergeStates(const StateSnapshot& snapshot,
                                                       StateTable& states) {
  ByteReader in(snapshot.inline_bytes);
  WEIR_ASSIGN_OR_RETURN(std::vector<StateTable::Mapping> mapping, states.Merge(in));
  if (!in.done()) return absl::DataLossError("not keyed state: bytes behind the table of states");
  // Which schemas have entries left is not known, so all count.
  for (size_t i = 0; i < states.size(); ++i) {
    std::vector<bool>& in_use = states[static_cast<StateId>(i)].in_use;
    in_use.assign(in_use.size(), true);
  }
  return mapping;
}

}  // namespace

void StoredValue::Encode(int schema, Timestamp expires, std::string_view value, std::string& out) {
  const bool has_expiry = expires != kMaxTimestamp;
  PutVarint(static_cast<uint64_t>(schema) << 1 | (has_expiry ? 1 : 0), out);
  if (has_expiry) PutFixed64(static_cast<uint64_t>(expires), out);
  out.append(value);
}

bool StoredValue::Decode(std::string_view stored, StoredValue& value) {
  ByteReader in(stored);
  uint64_t tag;
  if (!in.Varint(tag)) return false;
  value.schema = static_cast<int>(tag >> 1);
  value.expires = kMaxTimestamp;
  if (tag & 1) {
    uint64_t expires;
    if (!in.Fixed64(expires)) return false;
    value.expires = static_cast<Timestamp>(expires);
  }
  value.value = stored.substr(stored.size() - in.remaining());
  return true;
}

StatusOr<std::unique_ptr<KeyedFiles>> KeyedFiles::Open(Options options,
                                                       std::span<const RestoredSnapshot> snapshots,
                                                       SnapshotReader* reader, StateTable& states) {
  auto files = std::unique_ptr<KeyedFiles>(new KeyedFiles(std::move(options)));
  Disk& disk = files->options_.env->disk;
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(files->options_.directory + "/new"));
  std::vector<std::vector<StateTable::Mapping>> mappings;
  for (const RestoredSnapshot& restored : snapshots) {
    WEIR_ASSIGN_OR_RETURN(mappings.emplace_back(), MergeStates(restored.snapshot, states));
  }
  const bool as_it_is =
      snapshots.size() == 1 && snapshots[0].key_groups() == files->options_.key_groups;
  if (as_it_is) {
    for (size_t i = 0; i < mappings[0].size(); ++i) {
      // The files' keys hold the numbers of the states as they were written.
      if (mappings[0][i].state != static_cast<StateId>(i)) {
        return absl::DataLossError("not keyed state: a state stands twice in the table of states");
      }
    }
    WEIR_RETURN_IF_ERROR(
        FetchDatabase(snapshots[0].snapshot, *reader, disk, files->options_.directory + "/db"));
  }
  WEIR_RETURN_IF_ERROR(files->OpenDatabase());
  for (size_t i = 0; !as_it_is && i < snapshots.size(); ++i) {
    WEIR_RETURN_IF_ERROR(files->Rewrite(snapshots[i].snapshot, *reader, mappings[i]));
  }
  return files;
}

KeyedFiles::KeyedFiles(Options options)
    : options_(std::move(options)),
      drop_expired_(std::make_unique<DropExpired>(options_.env->clock)) {}

KeyedFiles::~KeyedFiles() {
  // Nothing is lost with it: the folder is a working copy.
  if (db_ != nullptr) db_->Close().PermitUncheckedError();
}

std::string KeyedFiles::NextFile() {
  return fmt::format("{}/new/{}.sst", options_.directory, ++files_written_);
}

Status KeyedFiles::OpenDatabase() {
  const std::string directory = options_.directory + "/db";
  rocksdb::DB* db = nullptr;
  rocksdb::Options options = KeyedOptions();
  options.compaction_filter = drop_expired_.get();
  WEIR_RETURN_IF_ERROR(FromRocks(rocksdb::DB::Open(options, directory, &db),
                                 "opening the database in " + directory));
  db_.reset(db);
  uint64_t bytes = 0;
  if (db_->GetIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &bytes)) bytes_ = bytes;
  return absl::OkStatus();
}

// State by state within a group, as the states are ordered here.
Status KeyedFiles::Rewrite(const StateSnapshot& snapshot, SnapshotReader& reader,
                           const std::vector<StateTable::Mapping>& mapping) {
  const std::string directory = options_.directory + "/earlier";
  WEIR_RETURN_IF_ERROR(options_.env->disk.RemoveTree(directory));
  WEIR_RETURN_IF_ERROR(FetchDatabase(snapshot, reader, options_.env->disk, directory));
  std::vector<int> order(mapping.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int>(i);
  std::sort(order.begin(), order.end(),
            [&](int a, int b) { return mapping[a].state < mapping[b].state; });
  SortedFile file;
  {
    rocksdb::DB* opened = nullptr;
    WEIR_RETURN_IF_ERROR(FromRocks(rocksdb::DB::OpenForReadOnly(KeyedOptions(), directory, &opened),
                                   "opening the database in " + directory));
    std::unique_ptr<rocksdb::DB> earlier(opened);
    rocksdb::ReadOptions read;
    read.fill_cache = false;
    read.readahead_size = 1 << 20;
    std::unique_ptr<rocksdb::Iterator> it(earlier->NewIterator(read));
    std::string prefix, key, stored;
    const Timestamp now = options_.env->clock.Now();
    for (int group = options_.key_groups.first; group < options_.key_groups.last; ++group) {
      for (int from : order) {
        prefix.clear();
        ComposePrefix(group, from, prefix);
        for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
          StoredValue value;
          if (!IsComposedKey(it->key().ToStringView()) ||
              !StoredValue::Decode(it->value().ToStringView(), value) ||
              static_cast<size_t>(value.schema) >= mapping[from].schemas.size()) {
            return BrokenEntry("the database in " + directory);
          }
          if (value.expires <= now) continue;
          key.clear();
          ComposePrefix(group, mapping[from].state, key);
          key.append(it->key().ToStringView().substr(prefix.size()));
          stored.clear();
          StoredValue::Encode(mapping[from].schemas[value.schema], value.expires, value.value,
                              stored);
          if (!file.is_open()) WEIR_RETURN_IF_ERROR(file.Create(NextFile()));
          WEIR_RETURN_IF_ERROR(file.Put(key, stored));
        }
        WEIR_RETURN_IF_ERROR(FromRocks(it->status(), "reading the database in " + directory));
      }
    }
  }
  if (file.is_open()) {
    WEIR_RETURN_IF_ERROR(file.Finish());
    WEIR_RETURN_IF_ERROR(Ingest(file.path()));
  }
  return options_.env->disk.RemoveTree(directory);
}

Status KeyedFiles::Write(std::span<const KeyedGeneration> generations) {
  if (write_failed_) {
    // A full disk makes RocksDB refuse all that follows until it is asked to look again.
    WEIR_RETURN_IF_ERROR(FromRocks(db_->Resume(), "resuming " + db_->GetName()));
  }
  Status status = WriteNow(generations);
  write_failed_ = !status.ok();
  if (write_failed_) {
    const std::string unfinished = options_.directory + "/new";
    options_.env->disk.RemoveTree(unfinished)
        .IgnoreError();  // the first error is the one to report
    options_.env->disk.MakeDirectories(unfinished).IgnoreError();
  }
  return status;
}

// Records are dealt out by key group first, which leaves groups that are small enough to be sorted
// within the processor's cache.
Status KeyedFiles::WriteNow(std::span<const KeyedGeneration> generations) {
  auto group_of = [](const KeyedRecord& record) { return Decompose(record.key()).group; };
  std::array<uint32_t, kKeyGroups + 1> begins{};
  for (const KeyedGeneration& generation : generations) {
    generation.ForEach([&](const KeyedRecord& record) { ++begins[group_of(record) + 1]; });
  }
  for (int group = 0; group < kKeyGroups; ++group) begins[group + 1] += begins[group];
  const size_t count = begins[kKeyGroups];
  if (count == 0) return absl::OkStatus();
  // Newest first, and sorted stably, so that of equal keys the newest comes first.
  std::vector<const KeyedRecord*> records(count);
  std::array<uint32_t, kKeyGroups> next;
  std::copy_n(begins.begin(), kKeyGroups, next.begin());
  for (auto generation = generations.rbegin(); generation != generations.rend(); ++generation) {
    generation->ForEach(
        [&](const KeyedRecord& record) { records[next[group_of(record)]++] = &record; });
  }
  SortedFile file;
  WEIR_RETURN_IF_ERROR(file.Create(NextFile()));
  const KeyedRecord* last = nullptr;
  for (int group = 0; group < kKeyGroups; ++group) {
    const auto begin = records.begin() + begins[group];
    const auto end = records.begin() + begins[group + 1];
    std::stable_sort(
        begin, end, [](const KeyedRecord* a, const KeyedRecord* b) { return a->key() < b->key(); });
    for (auto it = begin; it != end; ++it) {
      const KeyedRecord& record = **it;
      if (last != nullptr && last->key() == record.key()) continue;
      last = &record;
      WEIR_RETURN_IF_ERROR(record.deleted() ? file.Delete(record.key())
                                            : file.Put(record.key(), record.value()));
    }
  }
  WEIR_RETURN_IF_ERROR(file.Finish());
  return Ingest(file.path());
}

Status KeyedFiles::Ingest(const std::string& path) {
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = false;
  options.write_global_seqno = false;  // the file keeps its bytes
  WEIR_RETURN_IF_ERROR(
      FromRocks(db_->IngestExternalFile({path}, options), "adding a file to " + db_->GetName()));
  uint64_t bytes = 0;
  if (db_->GetIntProperty(rocksdb::DB::Properties::kLiveSstFilesSize, &bytes)) bytes_ = bytes;
  return absl::OkStatus();
}

StatusOr<std::unique_ptr<DatabaseCapture>> KeyedFiles::CaptureNow() {
  return DatabaseCapture::Take(*db_, options_.env->disk);
}

Status KeyedFiles::Find(std::span<Query> queries, const Found& found) {
  std::sort(queries.begin(), queries.end(),
            [](const Query& a, const Query& b) { return a.key < b.key; });
  std::vector<rocksdb::Slice> keys;
  keys.reserve(queries.size());
  for (const Query& query : queries) keys.emplace_back(query.key);
  std::vector<rocksdb::PinnableSlice> values(queries.size());
  std::vector<rocksdb::Status> statuses(queries.size());
  db_->MultiGet(rocksdb::ReadOptions(), db_->DefaultColumnFamily(), keys.size(), keys.data(),
                values.data(), statuses.data(), /*sorted_input=*/true);
  for (size_t i = 0; i < queries.size(); ++i) {
    if (statuses[i].IsNotFound()) continue;
    WEIR_RETURN_IF_ERROR(FromRocks(statuses[i], "reading " + db_->GetName()));
    found(queries[i].index, values[i].ToStringView());
  }
  return absl::OkStatus();
}

std::unique_ptr<KeyedFiles::Cursor> KeyedFiles::Scan(std::string_view prefix,
                                                     std::string_view from) {
  auto cursor = std::make_unique<Cursor>();
  cursor->end_ = EndOf(prefix);
  cursor->end_slice_ = cursor->end_;
  rocksdb::ReadOptions read;
  if (!cursor->end_.empty()) read.iterate_upper_bound = &cursor->end_slice_;
  cursor->it_.reset(db_->NewIterator(read));
  cursor->it_->Seek(rocksdb::Slice(std::string(prefix) + std::string(from)));
  return cursor;
}

Status KeyedFiles::Cursor::status() const {
  return FromRocks(it_->status(), "reading keyed state");
}

}  // namespace weir
