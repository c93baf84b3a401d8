#include "state/id_store_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "rocksdb/sst_file_writer.h"
#include "rocksdb/table.h"
#include "state/id_store_sort.h"
#include "state/rocks_env.h"

namespace weir {
namespace {

constexpr std::string_view kFamilyPrefix = "slice-";
constexpr size_t kKeyBytes = sizeof(Fingerprint);
constexpr uint64_t kQuietWrites = 4;
static_assert(std::endian::native == std::endian::little);

struct Key {
  explicit Key(const Fingerprint& id)
      : words{__builtin_bswap64(id.high), __builtin_bswap64(id.low)} {}
  rocksdb::Slice slice() const { return {reinterpret_cast<const char*>(words), kKeyBytes}; }
  uint64_t words[2];
};

Fingerprint FromKey(const rocksdb::Slice& key) {
  uint64_t words[2];
  std::memcpy(words, key.data(), kKeyBytes);
  return {__builtin_bswap64(words[0]), __builtin_bswap64(words[1])};
}

std::string FamilyName(int64_t slice) { return fmt::format("{}{}", kFamilyPrefix, slice); }

std::optional<int64_t> SliceOfFamily(std::string_view name) {
  if (!name.starts_with(kFamilyPrefix)) return std::nullopt;
  name.remove_prefix(kFamilyPrefix.size());
  int64_t slice = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), slice);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  return slice;
}

rocksdb::Options IdOptions(size_t file_bytes) {
  rocksdb::Options options = WorkingCopyOptions();
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  // What a merge gives is cut into files, for building a file's filter takes eight bytes an id; but
  // not in level 0, which therefore must not be the only one that is free.
  options.num_levels = 9;
  options.target_file_size_base = file_bytes;
  options.level0_file_num_compaction_trigger = 8;
  options.level0_slowdown_writes_trigger = 1 << 20;
  options.level0_stop_writes_trigger = 1 << 20;
  return options;
}

// Fingerprints are added in ascending order; the file appears at the first.
class SortedFile {
 public:
  SortedFile(std::string path, const rocksdb::Options& options)
      : path_(std::move(path)), options_(options) {}

  Status Add(const Fingerprint& id) {
    if (writer_ == nullptr) {
      writer_ = std::make_unique<rocksdb::SstFileWriter>(rocksdb::EnvOptions(), options_,
                                                         /*column_family=*/nullptr,
                                                         /*invalidate_page_cache=*/false);
      WEIR_RETURN_IF_ERROR(FromRocks(writer_->Open(path_), "creating " + path_));
    }
    rocksdb::Status status = writer_->Put(Key(id).slice(), rocksdb::Slice());
    return status.ok() ? absl::OkStatus() : FromRocks(status, "writing " + path_);
  }
  Status Finish() {
    return writer_ == nullptr ? absl::OkStatus() : FromRocks(writer_->Finish(), "writing " + path_);
  }
  bool empty() const { return writer_ == nullptr; }
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  const rocksdb::Options& options_;
  std::unique_ptr<rocksdb::SstFileWriter> writer_;
};

StatusOr<std::vector<rocksdb::ColumnFamilyDescriptor>> FamiliesOf(const std::string& directory,
                                                                  const rocksdb::Options& options) {
  std::vector<std::string> names;
  WEIR_RETURN_IF_ERROR(FromRocks(rocksdb::DB::ListColumnFamilies(options, directory, &names),
                                 "reading the database in " + directory));
  std::vector<rocksdb::ColumnFamilyDescriptor> result;
  for (const std::string& name : names) {
    if (name != rocksdb::kDefaultColumnFamilyName && !SliceOfFamily(name)) {
      return absl::DataLossError(
          fmt::format("the database in {} has an unknown column family '{}'", directory, name));
    }
    result.emplace_back(name, options);
  }
  return result;
}

// The first id of a key group.
Fingerprint FirstOf(int key_group) {
  return {static_cast<uint64_t>(key_group) << (64 - kKeyGroupBits), 0};
}

}  // namespace

StatusOr<std::unique_ptr<IdFiles>> IdFiles::Open(Options options,
                                                 std::span<const RestoredSnapshot> snapshots,
                                                 SnapshotReader* reader, int64_t keep_from) {
  auto files = std::unique_ptr<IdFiles>(new IdFiles(std::move(options)));
  WEIR_RETURN_IF_ERROR(files->options_.disk->MakeDirectories(files->options_.local_dir + "/new"));
  const bool as_it_is =
      snapshots.size() == 1 && snapshots[0].key_groups() == files->options_.key_groups;
  if (as_it_is) WEIR_RETURN_IF_ERROR(files->TakeOver(snapshots[0].snapshot, *reader));
  WEIR_RETURN_IF_ERROR(files->OpenDatabase());
  if (as_it_is) {
    WEIR_RETURN_IF_ERROR(files->FreeSlices(keep_from));
  } else {
    for (const RestoredSnapshot& restored : snapshots) {
      WEIR_RETURN_IF_ERROR(files->Rewrite(restored.snapshot, *reader, keep_from));
    }
  }
  files->MeasureMemory();
  return files;
}

IdFiles::IdFiles(Options options)
    : options_(std::move(options)), rocks_options_(IdOptions(options_.file_bytes_max)) {}

IdFiles::~IdFiles() {
  task_families_.reset();
  families_.reset();
  dropped_.clear();
  if (db_ != nullptr) {
    // Nothing is lost with it: the folder is a working copy.
    db_->Close().PermitUncheckedError();
  }
}

std::shared_ptr<rocksdb::ColumnFamilyHandle> IdFiles::Own(rocksdb::ColumnFamilyHandle* handle) {
  return {handle, [db = db_.get()](rocksdb::ColumnFamilyHandle* h) {
            db->DestroyColumnFamilyHandle(h).PermitUncheckedError();
          }};
}

Status IdFiles::TakeOver(const StateSnapshot& snapshot, SnapshotReader& reader) {
  return FetchDatabase(snapshot, reader, *options_.disk, options_.local_dir + "/db");
}

Status IdFiles::OpenDatabase() {
  const std::string directory = options_.local_dir + "/db";
  std::vector<rocksdb::ColumnFamilyDescriptor> descriptors;
  if (Exists(*options_.disk, directory + "/CURRENT")) {
    WEIR_ASSIGN_OR_RETURN(descriptors, FamiliesOf(directory, rocks_options_));
  } else {
    descriptors.emplace_back(rocksdb::kDefaultColumnFamilyName, rocks_options_);
  }
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* db = nullptr;
  WEIR_RETURN_IF_ERROR(
      FromRocks(rocksdb::DB::Open(rocks_options_, directory, descriptors, &handles, &db),
                "opening the database in " + directory));
  db_.reset(db);
  Families families;
  for (size_t i = 0; i < handles.size(); ++i) {
    auto owned = Own(handles[i]);
    if (auto slice = SliceOfFamily(descriptors[i].name)) families[*slice] = std::move(owned);
  }
  Publish(std::move(families));
  return absl::OkStatus();
}

Status IdFiles::Rewrite(const StateSnapshot& snapshot, SnapshotReader& reader, int64_t keep_from) {
  const std::string directory = options_.local_dir + "/earlier";
  WEIR_RETURN_IF_ERROR(options_.disk->RemoveTree(directory));
  WEIR_RETURN_IF_ERROR(FetchDatabase(snapshot, reader, *options_.disk, directory));
  std::map<int64_t, std::string> written;
  {
    WEIR_ASSIGN_OR_RETURN(auto descriptors, FamiliesOf(directory, rocks_options_));
    std::vector<rocksdb::ColumnFamilyHandle*> handles;
    rocksdb::DB* opened = nullptr;
    WEIR_RETURN_IF_ERROR(FromRocks(
        rocksdb::DB::OpenForReadOnly(rocks_options_, directory, descriptors, &handles, &opened),
        "opening the database in " + directory));
    std::unique_ptr<rocksdb::DB> earlier(opened);
    std::vector<std::unique_ptr<rocksdb::ColumnFamilyHandle>> owned(handles.begin(), handles.end());

    const Key lower(FirstOf(options_.key_groups.first));
    const Key upper(FirstOf(options_.key_groups.last));
    const rocksdb::Slice lower_slice = lower.slice();
    const rocksdb::Slice upper_slice = upper.slice();
    rocksdb::ReadOptions read;
    read.fill_cache = false;
    read.readahead_size = 1 << 20;
    read.iterate_lower_bound = &lower_slice;
    if (options_.key_groups.last < kKeyGroups) read.iterate_upper_bound = &upper_slice;
    for (size_t i = 0; i < handles.size(); ++i) {
      auto slice = SliceOfFamily(descriptors[i].name);
      if (!slice || *slice < keep_from) continue;
      SortedFile file(fmt::format("{}/new/{}.sst", options_.local_dir, ++files_written_),
                      rocks_options_);
      std::unique_ptr<rocksdb::Iterator> it(earlier->NewIterator(read, handles[i]));
      for (it->SeekToFirst(); it->Valid(); it->Next()) {
        WEIR_RETURN_IF_ERROR(file.Add(FromKey(it->key())));
      }
      WEIR_RETURN_IF_ERROR(FromRocks(it->status(), "reading the database in " + directory));
      WEIR_RETURN_IF_ERROR(file.Finish());
      if (!file.empty()) written.emplace(*slice, file.path());
    }
  }
  WEIR_RETURN_IF_ERROR(Ingest(written));
  return options_.disk->RemoveTree(directory);
}

Status IdFiles::Write(std::span<const IdGeneration> generations, int64_t keep_from) {
  if (write_failed_) {
    // A full disk makes RocksDB refuse all that follows until it is asked to look again.
    WEIR_RETURN_IF_ERROR(FromRocks(db_->Resume(), "resuming " + db_->GetName()));
  }
  Status status = WriteNow(generations, keep_from);
  MeasureMemory();
  write_failed_ = !status.ok();
  if (write_failed_) {
    const std::string unfinished = options_.local_dir + "/new";
    options_.disk->RemoveTree(unfinished).IgnoreError();  // the first error is the one to report
    options_.disk->MakeDirectories(unfinished).IgnoreError();
  }
  return status;
}

namespace {

// Calls fn(value of the id's slice, id) for all ids of slices from `keep_from` on.
template <class T, class Fn>
void ForEachOfSlice(std::span<const IdGeneration> generations, int64_t keep_from,
                    std::map<int64_t, T>& of_slice, Fn fn) {
  T* last = nullptr;
  int64_t last_slice = 0;
  for (const IdGeneration& generation : generations) {
    generation.ForEach([&](const StoredId& stored) {
      if (stored.slice < keep_from) return;
      if (last == nullptr || stored.slice != last_slice) {
        last_slice = stored.slice;
        last = &of_slice[last_slice];
      }
      fn(*last, stored.id);
    });
  }
}

}  // namespace

Status IdFiles::WriteNow(std::span<const IdGeneration> generations, int64_t keep_from) {
  std::map<int64_t, std::vector<Fingerprint>> ids;
  // Counted first: vectors that grow take up to three times the room.
  std::map<int64_t, size_t> counts;
  ForEachOfSlice(generations, keep_from, counts,
                 [](size_t& count, const Fingerprint&) { ++count; });
  for (const auto& [slice, count] : counts) ids[slice].reserve(count);
  ForEachOfSlice(generations, keep_from, ids,
                 [](auto& slice_ids, const Fingerprint& id) { slice_ids.push_back(id); });
  std::map<int64_t, std::string> written;
  std::vector<Fingerprint> scratch;
  for (auto& [slice, slice_ids] : ids) {
    SortFingerprints(slice_ids, scratch);
    SortedFile file(fmt::format("{}/new/{}.sst", options_.local_dir, ++files_written_),
                    rocks_options_);
    for (const Fingerprint& id : slice_ids) WEIR_RETURN_IF_ERROR(file.Add(id));
    WEIR_RETURN_IF_ERROR(file.Finish());
    written.emplace(slice, file.path());
    std::vector<Fingerprint>().swap(slice_ids);
  }
  WEIR_RETURN_IF_ERROR(Ingest(written));
  WEIR_RETURN_IF_ERROR(FreeSlices(keep_from));
  return MergeQuietSlices(written);
}

// A slice to which a number of writes added nothing will hardly change any more: then fewer files
// to ask are worth the merge. RocksDB does it in the background, when it has the time.
Status IdFiles::MergeQuietSlices(const std::map<int64_t, std::string>& written) {
  ++writes_;
  for (const auto& [slice, path] : written) last_write_[slice] = writes_;
  if (!merge_quiet_.load(std::memory_order_relaxed)) return absl::OkStatus();
  for (const auto& [slice, family] : *families_) {
    if (writes_ - last_write_[slice] < kQuietWrites || !merged_.insert(slice).second) continue;
    WEIR_RETURN_IF_ERROR(
        FromRocks(db_->SetOptions(family.get(), {{"level0_file_num_compaction_trigger", "2"}}),
                  "changing the options of " + db_->GetName()));
  }
  return absl::OkStatus();
}

Status IdFiles::Ingest(const std::map<int64_t, std::string>& file_of_slice) {
  if (file_of_slice.empty()) return absl::OkStatus();
  std::vector<int64_t> slices;
  for (const auto& [slice, path] : file_of_slice) slices.push_back(slice);
  WEIR_RETURN_IF_ERROR(CreateFamilies(slices));
  std::vector<rocksdb::IngestExternalFileArg> args;
  for (const auto& [slice, path] : file_of_slice) {
    rocksdb::IngestExternalFileArg& arg = args.emplace_back();
    arg.column_family = families_->at(slice).get();
    arg.external_files = {path};
    arg.options.move_files = true;
    arg.options.snapshot_consistency = false;
    arg.options.write_global_seqno = false;  // the file keeps its bytes
  }
  return FromRocks(db_->IngestExternalFiles(args), "adding files to " + db_->GetName());
}

// Only the I/O side changes families_, so it may read them without the lock.
Status IdFiles::CreateFamilies(std::span<const int64_t> slices) {
  std::vector<int64_t> missing;
  std::vector<std::string> names;
  for (int64_t slice : slices) {
    if (families_->contains(slice)) continue;
    missing.push_back(slice);
    names.push_back(FamilyName(slice));
  }
  if (missing.empty()) return absl::OkStatus();
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::Status status = db_->CreateColumnFamilies(rocks_options_, names, &handles);
  Families families = *families_;
  for (size_t i = 0; i < handles.size(); ++i) families[missing[i]] = Own(handles[i]);
  Publish(std::move(families));
  return FromRocks(status, "adding column families to " + db_->GetName());
}

Status IdFiles::FreeSlices(int64_t keep_from) {
  Families families = *families_;
  const auto end = families.lower_bound(keep_from);
  last_write_.erase(last_write_.begin(), last_write_.lower_bound(keep_from));
  merged_.erase(merged_.begin(), merged_.lower_bound(keep_from));
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  for (auto it = families.begin(); it != end; ++it) {
    handles.push_back(it->second.get());
    dropped_.push_back(it->second);
  }
  if (!handles.empty()) {
    families.erase(families.begin(), end);
    Publish(std::move(families));
    WEIR_RETURN_IF_ERROR(FromRocks(db_->DropColumnFamilies(handles),
                                   "dropping column families of " + db_->GetName()));
  }
  std::erase_if(dropped_, [](const auto& family) { return family.use_count() == 1; });
  return absl::OkStatus();
}

void IdFiles::MeasureMemory() {
  size_t bytes = 0;
  for (const auto& [slice, family] : *families_) {
    uint64_t readers = 0;
    db_->GetIntProperty(family.get(), rocksdb::DB::Properties::kEstimateTableReadersMem, &readers);
    bytes += readers;
  }
  memory_bytes_.store(bytes, std::memory_order_relaxed);
}

void IdFiles::Publish(Families families) {
  auto published = std::make_shared<const Families>(std::move(families));
  std::lock_guard lock(mutex_);
  families_.swap(published);
  families_version_.fetch_add(1, std::memory_order_release);
}

void IdFiles::Refresh() {
  if (families_version_.load(std::memory_order_acquire) == task_families_version_) return;
  std::lock_guard lock(mutex_);
  task_families_ = families_;
  task_families_version_ = families_version_.load(std::memory_order_relaxed);
}

Status IdFiles::Find(std::span<Query> queries) {
  std::sort(queries.begin(), queries.end(), [](const Query& a, const Query& b) {
    return std::pair(a.slice, a.id) < std::pair(b.slice, b.id);
  });
  std::vector<Key> keys;
  std::vector<rocksdb::Slice> key_slices;
  std::vector<rocksdb::PinnableSlice> values;
  std::vector<rocksdb::Status> statuses;
  rocksdb::ReadOptions read;
  for (size_t begin = 0, end = 0; begin < queries.size(); begin = end) {
    while (end < queries.size() && queries[end].slice == queries[begin].slice) ++end;
    auto family = task_families_->find(queries[begin].slice);
    if (family == task_families_->end()) continue;
    const size_t count = end - begin;
    keys.clear();
    key_slices.clear();
    values.clear();
    keys.reserve(count);
    for (size_t i = begin; i < end; ++i) keys.emplace_back(queries[i].id);
    for (const Key& key : keys) key_slices.push_back(key.slice());
    values.resize(count);
    statuses.assign(count, rocksdb::Status());
    db_->MultiGet(read, family->second.get(), count, key_slices.data(), values.data(),
                  statuses.data(), /*sorted_input=*/true);
    for (size_t i = 0; i < count; ++i) {
      if (statuses[i].IsNotFound()) continue;
      WEIR_RETURN_IF_ERROR(FromRocks(statuses[i], "reading " + db_->GetName()));
      queries[begin + i].found = true;
    }
  }
  return absl::OkStatus();
}

StatusOr<std::map<int64_t, uint64_t>> IdFiles::CountIds() const {
  std::map<int64_t, uint64_t> counts;
  for (const auto& [slice, family] : *families_) {
    rocksdb::TablePropertiesCollection tables;
    WEIR_RETURN_IF_ERROR(FromRocks(db_->GetPropertiesOfAllTables(family.get(), &tables),
                                   "reading " + db_->GetName()));
    for (const auto& [name, table] : tables) counts[slice] += table->num_entries;
  }
  return counts;
}

std::unique_ptr<IdFiles::SliceReader> IdFiles::ReadSlice(int64_t slice) const {
  auto reader = std::make_unique<SliceReader>();
  reader->db_ = db_.get();
  const auto family = task_families_->find(slice);
  if (family != task_families_->end()) reader->family_ = family->second;
  return reader;
}

StatusOr<bool> IdFiles::SliceReader::Read(size_t count, std::vector<Fingerprint>& ids) {
  if (family_ == nullptr) return false;
  if (it_ == nullptr) {
    rocksdb::ReadOptions read;
    read.fill_cache = false;
    read.readahead_size = 256 << 10;
    it_.reset(db_->NewIterator(read, family_.get()));
    it_->SeekToFirst();
  }
  for (; count > 0 && it_->Valid(); --count, it_->Next()) ids.push_back(FromKey(it_->key()));
  WEIR_RETURN_IF_ERROR(FromRocks(it_->status(), "reading " + db_->GetName()));
  return it_->Valid();
}

StatusOr<std::unique_ptr<DatabaseCapture>> IdFiles::CaptureNow() {
  return DatabaseCapture::Take(*db_, *options_.disk);
}

}  // namespace weir
