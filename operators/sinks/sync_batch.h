// SyncBatch: files and folders that are to be made durable together. A few are synced each, many by
// one sync of their file system: with ten thousand files that is seconds instead of minutes.
//
// Internal to operators/sinks. Make it before the first write that it is to answer for, so that no
// error of the device goes unnoticed. Not thread-safe.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>

#include "core/environment.h"
#include "core/limits.h"

namespace weir {

class SyncBatch {
 public:
  explicit SyncBatch(Disk& disk) : disk_(disk) {}

  // Opens the file system of the folder; nothing if that has been done. The folder exists, and
  // everything that is added is on its file system.
  Status Open(const std::string& directory) {
    if (file_system_ != nullptr) return absl::OkStatus();
    WEIR_ASSIGN_OR_RETURN(file_system_, disk_.OpenFileSystem(directory));
    return absl::OkStatus();
  }
  void AddFile(std::string path) { Add(files_, std::move(path)); }
  void AddDirectory(std::string path) { Add(directories_, std::move(path)); }

  // Makes durable what was added and forgets it. A folder that is not there any more is passed
  // over. REQUIRES: Open(), unless nothing was added.
  Status Run() {
    const std::set<std::string> files = std::exchange(files_, {});
    const std::set<std::string> directories = std::exchange(directories_, {});
    if (std::exchange(many_, false)) return file_system_->Sync();
    for (const std::string& path : files) WEIR_RETURN_IF_ERROR(disk_.SyncFile(path));
    for (const std::string& path : directories) {
      const Status synced = disk_.SyncDirectory(path);
      if (!absl::IsNotFound(synced)) WEIR_RETURN_IF_ERROR(synced);
    }
    return absl::OkStatus();
  }

 private:
  void Add(std::set<std::string>& paths, std::string path) {
    if (many_) return;
    paths.insert(std::move(path));
    many_ = files_.size() + directories_.size() > limits::kSinkSyncEachMax;
    if (!many_) return;
    files_.clear();
    directories_.clear();
  }

  Disk& disk_;
  std::unique_ptr<FileSystem> file_system_;
  bool many_ = false;  // too many to remember
  std::set<std::string> files_;
  std::set<std::string> directories_;
};

}  // namespace weir
