#include "state/object_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <utility>

namespace weir {
namespace {

constexpr size_t kCopyBytes = 1 << 20;
constexpr int kDirectorySyncAttempts = 3;

bool IsObjectName(std::string_view name) {
  while (!name.empty()) {
    size_t slash = name.find('/');
    std::string_view part = name.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part == ".tmp") return false;
    for (char c : part) {
      bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '.' || c == '_' || c == '-';
      if (!ok) return false;
    }
    if (slash == std::string_view::npos) return true;
    name.remove_prefix(slash + 1);
  }
  return false;
}

Status CheckName(std::string_view name) {
  if (IsObjectName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("'{}' cannot be the name of an object", name));
}

std::string ParentOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Status CopyFile(ReadableFile& from, WritableFile& to) {
  std::string buffer(kCopyBytes, '\0');
  for (uint64_t offset = 0;;) {
    WEIR_ASSIGN_OR_RETURN(size_t n, from.ReadAt(offset, buffer.data(), buffer.size()));
    WEIR_RETURN_IF_ERROR(to.Append(std::string_view(buffer).substr(0, n)));
    if (n < buffer.size()) return absl::OkStatus();
    offset += n;
  }
}

// A new file, filled by `fill` and durable.
template <class Fill>
Status Create(Disk& disk, const std::string& path, Fill fill) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, disk.Create(path));
  WEIR_RETURN_IF_ERROR(fill(*file));
  WEIR_RETURN_IF_ERROR(file->Sync());
  return file->Close();
}

// How the unfinished objects of a writer begin; no job's id has an '@'.
std::string NameOf(const ObjectWriter& writer) {
  return fmt::format("{}@{}@", writer.job_id, writer.attempt);
}

// Whether an unfinished object is of an attempt of the job, up to this one.
bool IsOf(std::string_view name, const ObjectWriter& over) {
  const std::string job = over.job_id + "@";
  if (!name.starts_with(job)) return false;
  const char* end = name.data() + name.size();
  uint32_t attempt = 0;
  const auto [rest, error] = std::from_chars(name.data() + job.size(), end, attempt);
  return error == std::errc() && rest != end && *rest == '@' && attempt <= over.attempt;
}

Status OkIfNotFound(Status status) { return absl::IsNotFound(status) ? absl::OkStatus() : status; }

}  // namespace

LocalObjectStore::LocalObjectStore(Environment& env, std::string directory,
                                   const ObjectWriter& writer)
    : disk_(env.disk),
      directory_(std::move(directory)),
      temporary_prefix_(fmt::format("{}{:016x}-", writer.attempt == 0 ? "" : NameOf(writer),
                                    env.random.Next())) {}

std::string LocalObjectStore::Location(const std::string& name) const {
  return directory_ + "/" + name;
}

// A directory that was just made is only a name in its parent, which must be synced as well.
Status LocalObjectStore::MakeDurableDirectory(const std::string& directory) {
  std::vector<std::string> fresh;
  {
    std::lock_guard lock(mutex_);
    for (std::string d = directory; !durable_directories_.contains(d); d = ParentOf(d)) {
      fresh.push_back(d);
      if (d == directory_) break;
    }
  }
  if (fresh.empty()) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(disk_.MakeDirectories(directory));
  for (const std::string& d : fresh) WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(ParentOf(d)));
  std::lock_guard lock(mutex_);
  durable_directories_.insert(fresh.begin(), fresh.end());
  return absl::OkStatus();
}

template <class Make>
Status LocalObjectStore::Write(const std::string& name, Make make) {
  WEIR_RETURN_IF_ERROR(CheckName(name));
  const std::string path = Location(name);
  const std::string temporary =
      fmt::format("{}/.tmp/{}{}", directory_, temporary_prefix_, temporaries_++);
  WEIR_RETURN_IF_ERROR(MakeDurableDirectory(ParentOf(path)));
  WEIR_RETURN_IF_ERROR(MakeDurableDirectory(ParentOf(temporary)));

  Status status = [&]() -> Status {
    WEIR_RETURN_IF_ERROR(make(temporary));
    return disk_.Rename(temporary, path);
  }();
  if (!status.ok()) {
    disk_.Remove(temporary).IgnoreError();  // best effort; RemoveLeftovers() is the safety net
    return status;
  }
  // The object is visible now: an error from here on would leave its writer in doubt.
  for (int i = 0; i < kDirectorySyncAttempts; ++i) {
    status = disk_.SyncDirectory(ParentOf(path));
    if (status.ok()) break;
  }
  return status;
}

Status LocalObjectStore::Put(const std::string& name, std::string_view bytes) {
  return Write(name, [&](const std::string& temporary) {
    return Create(disk_, temporary, [&](WritableFile& file) { return file.Append(bytes); });
  });
}

Status LocalObjectStore::Copy(const std::string& from, const std::string& to) {
  return PutFile(to, Location(from));
}

Status LocalObjectStore::PutFile(const std::string& name, const std::string& local_path) {
  std::string link;
  // Synced before it is linked: a link may look old enough to be a leftover.
  WEIR_RETURN_IF_ERROR(disk_.SyncFile(local_path));
  Status status = Write(name, [&](const std::string& temporary) -> Status {
    if (disk_.HardLink(local_path, temporary).ok()) {
      link = temporary;
      return absl::OkStatus();
    }
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> from, disk_.OpenForRead(local_path));
    return Create(disk_, temporary, [&](WritableFile& file) { return CopyFile(*from, file); });
  });
  // Where the object has been a link to this very file, renaming did nothing.
  if (status.ok() && !link.empty()) disk_.Remove(link).IgnoreError();
  return status;
}

StatusOr<std::unique_ptr<ReadableFile>> LocalObjectStore::OpenForRead(const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(name));
  return disk_.OpenForRead(Location(name));
}

StatusOr<std::string> LocalObjectStore::Get(const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(name));
  return ReadFile(disk_, Location(name));
}

Status LocalObjectStore::Fetch(const std::string& name, const std::string& local_path) {
  WEIR_RETURN_IF_ERROR(CheckName(name));
  Status linked = disk_.HardLink(Location(name), local_path);
  if (linked.ok() || absl::IsNotFound(linked) || absl::IsAlreadyExists(linked)) return linked;
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> from, disk_.OpenForRead(Location(name)));
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> to, disk_.Create(local_path));
  WEIR_RETURN_IF_ERROR(CopyFile(*from, *to));
  return to->Close();
}

StatusOr<bool> LocalObjectStore::Exists(const std::string& name) {
  WEIR_RETURN_IF_ERROR(CheckName(name));
  StatusOr<FileInfo> info = disk_.Stat(Location(name));
  if (absl::IsNotFound(info.status())) return false;
  WEIR_RETURN_IF_ERROR(info.status());
  return !info->is_directory;
}

StatusOr<std::vector<ObjectInfo>> LocalObjectStore::List(const std::string& prefix) {
  std::vector<ObjectInfo> found;
  size_t slash = prefix.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : prefix.substr(0, slash + 1);
  if (!directory.empty()) WEIR_RETURN_IF_ERROR(CheckName(directory.substr(0, slash)));
  WEIR_RETURN_IF_ERROR(ListBelow(directory, prefix, found));
  std::sort(found.begin(), found.end(),
            [](const ObjectInfo& a, const ObjectInfo& b) { return a.name < b.name; });
  return found;
}

// `directory` is "" or ends with '/'. What another process removes meanwhile is not there.
Status LocalObjectStore::ListBelow(const std::string& directory, std::string_view prefix,
                                   std::vector<ObjectInfo>& found) {
  StatusOr<std::vector<std::string>> names = disk_.List(Location(directory));
  if (!names.ok()) return OkIfNotFound(names.status());
  for (const std::string& part : *names) {
    const std::string name = directory + part;
    std::string_view both = std::string_view(name).substr(0, prefix.size());
    if (!prefix.starts_with(both) || !IsObjectName(part)) continue;
    StatusOr<FileInfo> info = disk_.Stat(Location(name));
    if (absl::IsNotFound(info.status())) continue;
    WEIR_RETURN_IF_ERROR(info.status());
    if (info->is_directory) {
      WEIR_RETURN_IF_ERROR(ListBelow(name + "/", prefix, found));
    } else if (name.starts_with(prefix)) {
      found.push_back({name, info->size});
    }
  }
  return absl::OkStatus();
}

Status LocalObjectStore::Delete(std::span<const std::string> names) {
  std::set<std::string> directories;
  for (const std::string& name : names) {
    WEIR_RETURN_IF_ERROR(CheckName(name));
    Status removed = disk_.Remove(Location(name));
    if (removed.ok()) directories.insert(ParentOf(Location(name)));
    WEIR_RETURN_IF_ERROR(OkIfNotFound(removed));
  }
  for (const std::string& directory : directories) {
    WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(directory));
  }
  return absl::OkStatus();
}

Status LocalObjectStore::DeletePrefix(const std::string& prefix) {
  if (!prefix.ends_with('/')) {
    return absl::InvalidArgumentError(fmt::format("the prefix '{}' does not end with '/'", prefix));
  }
  const std::string name = prefix.substr(0, prefix.size() - 1);
  WEIR_RETURN_IF_ERROR(CheckName(name));
  {
    std::lock_guard lock(mutex_);
    std::erase_if(durable_directories_, [&](const std::string& d) {
      return d == Location(name) || d.starts_with(Location(prefix));
    });
  }
  WEIR_RETURN_IF_ERROR(disk_.RemoveTree(Location(name)));
  return OkIfNotFound(disk_.SyncDirectory(ParentOf(Location(name))));
}

Status LocalObjectStore::RemoveLeftovers(Timestamp written_before, const ObjectWriter& over) {
  const std::string directory = directory_ + "/.tmp";
  StatusOr<std::vector<std::string>> names = disk_.List(directory);
  if (!names.ok()) return OkIfNotFound(names.status());
  for (const std::string& name : *names) {
    // This instance's own writers are alive, whatever the clock says.
    if (name.starts_with(temporary_prefix_)) continue;
    const std::string path = directory + "/" + name;
    if (!IsOf(name, over)) {
      const StatusOr<FileInfo> info = disk_.Stat(path);
      if (!info.ok() || info->modified >= written_before) continue;
    }
    WEIR_RETURN_IF_ERROR(OkIfNotFound(disk_.Remove(path)));
  }
  return absl::OkStatus();
}

}  // namespace weir
