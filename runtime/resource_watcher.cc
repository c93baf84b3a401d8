#include "runtime/resource_watcher.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/limits.h"

namespace weir {
namespace {

// File systems tell times in steps of some milliseconds: what has just changed may change again
// without another time.
constexpr Duration kTimeSettles = Seconds(2);

}  // namespace

ResourceWatcher::ResourceWatcher(const BuiltJob& job, Environment& env) : job_(job), env_(env) {
  for (size_t stage = 0; stage < job.stages.size(); ++stage) {
    const auto& reloadable = job.stages[stage].reloadable;
    if (!reloadable) continue;
    auto file = std::find_if(files_.begin(), files_.end(),
                             [&](const File& f) { return f.path == reloadable->path; });
    if (file == files_.end()) {
      files_.push_back({reloadable->path, {}, {}, reloadable->bytes, reloadable->bytes});
      file = std::prev(files_.end());
    }
    file->stages.push_back(static_cast<int>(stage));
  }
}

void ResourceWatcher::LookAt(File& file) const {
  const StatusOr<FileInfo> info = env_.disk.Stat(file.path);
  if (!info.ok()) {
    file.info = {};
    file.seen = info.status();
    return;
  }
  const bool as_before =
      info->size == file.info.size && info->modified == file.info.modified && file.seen.ok();
  if (as_before && env_.clock.Now() - info->modified > kTimeSettles) return;
  file.info = *info;
  if (info->size > limits::kReloadableBytesMax) {
    file.seen = absl::InvalidArgumentError(fmt::format("{} has {} bytes, of at most {}", file.path,
                                                       info->size, limits::kReloadableBytesMax));
    return;
  }
  file.seen = ReadFile(env_.disk, file.path);
}

Status ResourceWatcher::Check(const File& file, std::string_view bytes) const {
  for (const int stage : file.stages) {
    const auto content = job_.stages[stage].reloadable->compile(bytes);
    if (!content.ok()) return content.status();
  }
  return absl::OkStatus();
}

std::vector<ResourceWatcher::Change> ResourceWatcher::Look(bool at_once) {
  std::vector<Change> changes;
  for (File& file : files_) {
    if (at_once) file.info = {};  // read it, whatever its time says
    const Found before = file.seen;
    LookAt(file);
    if (!at_once && (file.seen == file.settled || file.seen != before)) continue;
    file.settled = file.seen;
    Change& change = changes.emplace_back();
    for (const int stage : file.stages) change.stages.push_back(job_.graph.stages[stage].name);
    change.status = file.seen.status();
    if (!file.seen.ok()) continue;
    change.status = Check(file, *file.seen);
    change.bytes = *file.seen;
  }
  return changes;
}

}  // namespace weir
