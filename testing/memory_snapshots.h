// A checkpoint store in memory: what a Frozen writes and a Restore reads, for tests of one
// operator.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "state/snapshot.h"

namespace weir::testing {

class MemorySnapshots final : public SnapshotWriter, public SnapshotReader {
 public:
  StatusOr<StateFile> AddFile(const std::string& local_path, std::string name) override {
    std::ifstream in(local_path, std::ios::binary);
    if (!in) return absl::NotFoundError(local_path);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return AddBytes(bytes.str(), std::move(name));
  }
  StatusOr<StateFile> AddBytes(std::string_view bytes, std::string name) override {
    std::lock_guard lock(mutex_);
    StateFile file{std::move(name), "content-" + std::to_string(files_.size()), bytes.size()};
    files_[file.content] = std::string(bytes);
    return file;
  }
  StatusOr<std::string> ReadBytes(const StateFile& file) override {
    std::lock_guard lock(mutex_);
    auto it = files_.find(file.content);
    if (it == files_.end()) return absl::DataLossError(file.content);
    return it->second;
  }
  Status Fetch(const StateFile& file, const std::string& local_path) override {
    WEIR_ASSIGN_OR_RETURN(std::string bytes, ReadBytes(file));
    std::ofstream out(local_path, std::ios::binary);
    out << bytes;
    return out.flush() ? absl::OkStatus() : absl::UnavailableError(local_path);
  }

  size_t files() const {
    std::lock_guard lock(mutex_);
    return files_.size();
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::string> files_;  // guarded by mutex_
};

// What the new instance `subtask` of `parallelism` restores from: the snapshots of those earlier
// instances that have state and whose key groups overlap its own, as the engine hands them out.
// snapshots[i] is instance i's.
inline Restore RestoreFor(int subtask, int parallelism, const std::vector<StateSnapshot>& snapshots,
                          SnapshotReader& reader) {
  Restore restore;
  restore.reader = &reader;
  for (size_t i = 0; i < snapshots.size(); ++i) {
    if (snapshots[i].format.empty()) continue;
    RestoredSnapshot earlier{static_cast<int>(i), static_cast<int>(snapshots.size()), snapshots[i]};
    if (earlier.key_groups().Overlaps(KeyGroupsOf(subtask, parallelism))) {
      restore.snapshots.push_back(std::move(earlier));
    }
  }
  return restore;
}

}  // namespace weir::testing
