#include "tests/simulation/sim_disk.h"

#include <algorithm>
#include <cerrno>

namespace weir::simulation {
namespace {

std::string_view ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : path.substr(0, slash);
}

Status Missing(const std::string& path) { return ErrnoStatus(ENOENT, "cannot find " + path); }

// The first name behind all that are below a folder.
std::string EndOf(const std::string& directory) { return directory + '0'; }  // '/' + 1

}  // namespace

Status SimDisk::NeedParent(const std::string& path) const {
  const auto parent = names_.find(ParentOf(path));
  if (parent == names_.end() || parent->second != nullptr) return Missing(path);
  return absl::OkStatus();
}

void SimDisk::Note(Change& change, const std::string& path) const {
  const auto at = names_.find(path);
  change.before.emplace_back(path, at == names_.end() ? std::nullopt : std::optional(at->second));
}

void SimDisk::Keep(Change change) { unsynced_.push_back(std::move(change)); }

StatusOr<SimDisk::File> SimDisk::Find(const std::string& path) const {
  const auto at = names_.find(path);
  if (at == names_.end()) return Missing(path);
  if (at->second == nullptr) return absl::UnavailableError(path + " is a folder");
  return at->second;
}

StatusOr<SimDisk::File> SimDisk::Create(const std::string& path) {
  WEIR_RETURN_IF_ERROR(NeedParent(path));
  const auto at = names_.find(path);
  if (at != names_.end()) {
    if (at->second == nullptr) return absl::UnavailableError(path + " is a folder");
    at->second->data.clear();
    at->second->synced_bytes = 0;
    return at->second;
  }
  Change change;
  Note(change, path);
  Keep(std::move(change));
  auto file = std::make_shared<Inode>();
  file->modified = world_.now();
  names_[path] = file;
  return file;
}

StatusOr<FileInfo> SimDisk::Stat(const std::string& path) const {
  const auto at = names_.find(path);
  if (at == names_.end()) return Missing(path);
  if (at->second == nullptr) return FileInfo{0, 0, true};
  return FileInfo{at->second->data.size(), at->second->modified, false};
}

StatusOr<std::vector<std::string>> SimDisk::List(const std::string& path) const {
  const std::string directory =
      path.size() > 1 && path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
  const auto folder = names_.find(directory);
  if (folder == names_.end() || folder->second != nullptr) return Missing(directory);
  const std::string prefix = directory == "/" ? directory : directory + "/";
  std::vector<std::string> found;
  for (auto at = names_.upper_bound(prefix);
       at != names_.end() && std::string_view(at->first).starts_with(prefix);) {
    const std::string_view rest = std::string_view(at->first).substr(prefix.size());
    const size_t slash = rest.find('/');
    if (slash == std::string_view::npos) {
      found.emplace_back(rest);
      ++at;
    } else {
      at = names_.lower_bound(EndOf(prefix + std::string(rest.substr(0, slash))));
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

Status SimDisk::MakeDirectories(const std::string& path) {
  const auto at = names_.find(path);
  if (at != names_.end()) {
    return at->second == nullptr ? absl::OkStatus() : ErrnoStatus(EEXIST, "cannot make " + path);
  }
  WEIR_RETURN_IF_ERROR(MakeDirectories(std::string(ParentOf(path))));
  Change change;
  Note(change, path);
  Keep(std::move(change));
  names_[path] = nullptr;
  return absl::OkStatus();
}

Status SimDisk::Rename(const std::string& from, const std::string& to) {
  const auto at = names_.find(from);
  if (at == names_.end() || at->second == nullptr) return Missing(from);
  WEIR_RETURN_IF_ERROR(NeedParent(to));
  const File file = at->second;
  const auto target = names_.find(to);
  if (target != names_.end() && target->second == file) return absl::OkStatus();  // as POSIX has it
  Change change;
  Note(change, from);
  Note(change, to);
  Keep(std::move(change));
  names_.erase(at);
  names_[to] = file;
  return absl::OkStatus();
}

Status SimDisk::HardLink(const std::string& from, const std::string& to) {
  const auto at = names_.find(from);
  if (at == names_.end() || at->second == nullptr) return Missing(from);
  if (names_.contains(to)) return ErrnoStatus(EEXIST, "cannot link " + to);
  WEIR_RETURN_IF_ERROR(NeedParent(to));
  Change change;
  Note(change, to);
  Keep(std::move(change));
  names_[to] = at->second;
  return absl::OkStatus();
}

Status SimDisk::Remove(const std::string& path) {
  const auto at = names_.find(path);
  if (at == names_.end() || at->second == nullptr) return Missing(path);
  Change change;
  Note(change, path);
  Keep(std::move(change));
  names_.erase(at);
  return absl::OkStatus();
}

Status SimDisk::RemoveTree(const std::string& path) {
  Change change;
  const auto first = names_.lower_bound(path + "/");
  auto last = first;
  for (; last != names_.end() && last->first < EndOf(path); ++last) Note(change, last->first);
  const auto itself = names_.find(path);
  if (itself != names_.end()) Note(change, path);
  if (change.before.empty()) return absl::OkStatus();
  names_.erase(first, last);
  if (itself != names_.end()) names_.erase(itself);
  Keep(std::move(change));
  return absl::OkStatus();
}

Status SimDisk::SyncDirectory(const std::string& path) {
  const auto folder = names_.find(path);
  if (folder == names_.end() || folder->second != nullptr) return Missing(path);
  for (size_t i = unsynced_.size(); i-- > 0;) {
    const auto& before = unsynced_[i].before;
    const bool here = std::any_of(before.begin(), before.end(),
                                  [&](const auto& name) { return ParentOf(name.first) == path; });
    if (!here) continue;
    unsynced_.erase(unsynced_.begin(), unsynced_.begin() + static_cast<ptrdiff_t>(i) + 1);
    break;
  }
  return absl::OkStatus();
}

void SimDisk::Append(Inode& file, std::string_view bytes) {
  file.data.append(bytes);
  file.modified = world_.now();
}

void SimDisk::SyncAll() {
  for (auto& [name, file] : names_) {
    if (file != nullptr) Sync(*file);
  }
  unsynced_.clear();
}

void SimDisk::FailPower() {
  SeededRandom& random = world_.random();
  const size_t kept = random.Below(unsynced_.size() + 1);
  world_.Trace("power", kept, unsynced_.size());
  while (unsynced_.size() > kept) {
    const Change& change = unsynced_.back();
    for (auto at = change.before.rbegin(); at != change.before.rend(); ++at) {
      if (at->second) {
        names_[at->first] = *at->second;
      } else {
        names_.erase(at->first);
      }
    }
    unsynced_.pop_back();
  }
  unsynced_.clear();
  for (auto& [name, file] : names_) {
    if (file == nullptr || file->data.size() == file->synced_bytes) continue;
    const size_t unsynced = file->data.size() - file->synced_bytes;
    const size_t left = random.Below(unsynced + 1);
    file->data.resize(file->synced_bytes + left);
    if (random.OneIn(2) && left > 0) {  // a block that never came to the device
      const size_t from = file->synced_bytes + random.Below(left);
      std::fill(file->data.begin() + static_cast<ptrdiff_t>(from), file->data.end(), '\0');
    }
    Sync(*file);
  }
}

void SimDisk::ForEachFile(
    const std::string& directory,
    const std::function<void(const std::string& path, const Inode&)>& visit) const {
  for (auto at = names_.lower_bound(directory + "/");
       at != names_.end() && at->first < EndOf(directory); ++at) {
    if (at->second != nullptr) visit(at->first, *at->second);
  }
}

}  // namespace weir::simulation
