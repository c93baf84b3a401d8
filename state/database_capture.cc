#include "state/database_capture.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "state/rocks_env.h"

namespace weir {
namespace {

constexpr std::string_view kTableSuffix = ".sst";

// The names come from a checkpoint: they must stay below the folder.
bool IsPlainName(std::string_view name) {
  return !name.empty() && name[0] != '.' &&
         std::all_of(name.begin(), name.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '.' || c == '-' || c == '_';
         });
}

}  // namespace

StatusOr<std::unique_ptr<DatabaseCapture>> DatabaseCapture::Take(rocksdb::DB& db, Disk& disk) {
  WEIR_RETURN_IF_ERROR(
      FromRocks(db.DisableFileDeletions(), "keeping the files of " + db.GetName()));
  auto capture = std::unique_ptr<DatabaseCapture>(new DatabaseCapture(db));
  // Not GetLiveFilesStorageInfo(), which asks for WAL files as well: in RocksDB 7.8 that may wait
  // for ever when an iterator goes away at the same moment.
  std::vector<std::string> names;
  uint64_t manifest_bytes = 0;
  WEIR_RETURN_IF_ERROR(FromRocks(db.GetLiveFiles(names, &manifest_bytes, /*flush_memtable=*/false),
                                 "listing the files of " + db.GetName()));
  for (std::string& name : names) {
    name.erase(0, name.find_first_not_of('/'));
    const std::string path = db.GetName() + "/" + name;
    if (name.ends_with(kTableSuffix)) {
      capture->files_.push_back({name, path, {}});
    } else if (name.starts_with("MANIFEST-")) {
      // It grows on; only so much of it belongs to this moment. CURRENT may name a newer one
      // already.
      WEIR_ASSIGN_OR_RETURN(auto file, disk.OpenForRead(path));
      std::string content(manifest_bytes, '\0');
      WEIR_ASSIGN_OR_RETURN(size_t read, file->ReadAt(0, content.data(), content.size()));
      if (read != content.size()) {
        return absl::DataLossError(
            fmt::format("{} has {} bytes, wanted {}", path, read, content.size()));
      }
      capture->files_.push_back({"CURRENT", {}, name + "\n"});
      capture->files_.push_back({name, {}, std::move(content)});
    }
    // Else it is CURRENT, which was made above, or options, which a database opens without.
  }
  return capture;
}

DatabaseCapture::~DatabaseCapture() {
  db_.EnableFileDeletions(/*force=*/false).PermitUncheckedError();
}

StatusOr<std::vector<StateFile>> DatabaseCapture::Store(SnapshotWriter& writer) const {
  std::vector<StateFile> stored;
  for (const File& file : files_) {
    StateFile& added = stored.emplace_back();
    if (file.path.empty()) {
      WEIR_ASSIGN_OR_RETURN(added, writer.AddBytes(file.content, file.name));
    } else {
      WEIR_ASSIGN_OR_RETURN(added, writer.AddFile(file.path, file.name));
    }
  }
  return stored;
}

Status FetchDatabase(const StateSnapshot& snapshot, SnapshotReader& reader, Disk& disk,
                     const std::string& directory) {
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(directory));
  for (const StateFile& file : snapshot.files) {
    if (!IsPlainName(file.name)) {
      return absl::DataLossError(fmt::format("the checkpoint holds a file named '{}'", file.name));
    }
    const std::string path = directory + "/" + file.name;
    if (file.name.ends_with(kTableSuffix)) {
      WEIR_RETURN_IF_ERROR(reader.Fetch(file, path));
      continue;
    }
    WEIR_ASSIGN_OR_RETURN(std::string bytes, reader.ReadBytes(file));
    WEIR_ASSIGN_OR_RETURN(auto copy, disk.Create(path));
    WEIR_RETURN_IF_ERROR(copy->Append(bytes));
    WEIR_RETURN_IF_ERROR(copy->Close());
  }
  return absl::OkStatus();
}

}  // namespace weir
