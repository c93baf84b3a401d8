#include "operators/sources/folder_watch.h"

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/limits.h"

namespace weir {

struct FolderWatch::Look {
  std::mutex mutex;
  std::optional<StatusOr<std::vector<InputFile>>> result;  // guarded by mutex
};

FolderWatch::FolderWatch(Environment& env, std::string folder, Duration interval, Filter filter,
                         std::function<void()> wake)
    : env_(env),
      folder_(std::move(folder)),
      interval_(interval),
      filter_(std::move(filter)),
      wake_(std::move(wake)) {
  WEIR_CHECK(interval_ > 0);
}

void FolderWatch::Know(const InputFile& file) {
  entries_[file.name] = {file.size, file.modified, true};
}

Status FolderWatch::Poll(int64_t now, std::vector<Change>& changes) {
  polled_ = now;
  if (look_ == nullptr) {
    if (now >= next_look_) Begin(now);
    return absl::OkStatus();
  }
  if (!comparing_) {
    std::lock_guard lock(look_->mutex);
    if (!look_->result) return absl::OkStatus();
    WEIR_ASSIGN_OR_RETURN(found_, *std::move(look_->result));
    comparing_ = true;
    next_found_ = 0;
    next_entry_ = entries_.begin();
  }
  Compare(changes);
  if (next_found_ == found_.size() && next_entry_ == entries_.end()) {
    look_ = nullptr;
    comparing_ = false;
    found_.clear();
    constexpr int kRestsPerLook = 9;
    next_look_ = std::max(begun_ + interval_, now + kRestsPerLook * (now - begun_));
  }
  return absl::OkStatus();
}

int64_t FolderWatch::next_poll() const {
  if (comparing_) return 0;
  return look_ == nullptr ? next_look_ : polled_ + std::max(interval_, Seconds(1));
}

void FolderWatch::Begin(int64_t now) {
  begun_ = now;
  look_ = std::make_shared<Look>();
  env_.io.Submit(
      [&disk = env_.disk, folder = folder_, filter = filter_, look = look_, wake = wake_] {
        StatusOr<std::vector<InputFile>> files = FindFilesToWatch(disk, folder);
        if (files.ok()) std::erase_if(*files, [&](const InputFile& file) { return !filter(file); });
        {
          std::lock_guard lock(look->mutex);
          look->result = std::move(files);
        }
        wake();
      });
}

void FolderWatch::Compare(std::vector<Change>& changes) {
  for (size_t n = 0; n < limits::kWatchStepFiles; ++n) {
    const bool file_left = next_found_ < found_.size();
    const bool entry_left = next_entry_ != entries_.end();
    if (!file_left && !entry_left) return;
    const int order = !file_left    ? 1
                      : !entry_left ? -1
                                    : found_[next_found_].name.compare(next_entry_->first);
    if (order < 0) {
      const InputFile& file = found_[next_found_++];
      entries_.emplace_hint(next_entry_, file.name, Entry{file.size, file.modified, false});
    } else if (order > 0) {
      if (next_entry_->second.told) {
        changes.push_back({Change::kGone, {.name = next_entry_->first}});
      }
      next_entry_ = entries_.erase(next_entry_);
    } else {
      InputFile& file = found_[next_found_++];
      Entry& entry = next_entry_++->second;
      const bool same = entry.size == file.size && entry.modified == file.modified;
      entry.size = file.size;
      entry.modified = file.modified;
      if (same == entry.told) continue;
      changes.push_back({same ? Change::kNew : Change::kChanged, std::move(file)});
      entry.told = true;
    }
  }
}

}  // namespace weir
