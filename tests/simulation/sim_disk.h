// SimDisk: a file system in memory that all processes of a simulated cluster share, as they share a
// folder on one machine, and that forgets what was not synced when the power fails.
//
// A process that dies loses nothing that it has written. When the power fails, of each file what
// was synced stays, and of the rest a beginning, parts of which may be zeros; of what was done to
// names (a file made, renamed, removed) the beginning of the list stays: a sync of a folder makes
// everything durable up to the last change in it, as a journal does. An open file is the file,
// whatever its name is by now. Faults are the business of ProcessDisk. Used by one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/simulation/world.h"

namespace weir::simulation {

class SimDisk {
 public:
  struct Inode {
    std::string data;
    size_t synced_bytes = 0;
    Timestamp modified = 0;
  };
  using File = std::shared_ptr<Inode>;

  explicit SimDisk(World& world) : world_(world) { names_["/"] = nullptr; }

  StatusOr<File> Find(const std::string& path) const;  // a file
  StatusOr<File> Create(const std::string& path);      // truncates
  StatusOr<FileInfo> Stat(const std::string& path) const;
  StatusOr<std::vector<std::string>> List(const std::string& path) const;
  Status MakeDirectories(const std::string& path);
  Status Rename(const std::string& from, const std::string& to);
  Status HardLink(const std::string& from, const std::string& to);
  Status Remove(const std::string& path);
  Status RemoveTree(const std::string& path);
  Status SyncDirectory(const std::string& path);
  void Append(Inode& file, std::string_view bytes);
  void Sync(Inode& file) { file.synced_bytes = file.data.size(); }
  void SyncAll();

  void FailPower();
  // Of all files below a folder, for the oracle.
  void ForEachFile(const std::string& directory,
                   const std::function<void(const std::string& path, const Inode&)>& visit) const;

 private:
  using Names = std::map<std::string, File, std::less<>>;  // null: a folder
  struct Change {
    std::vector<std::pair<std::string, std::optional<File>>> before;
  };

  Status NeedParent(const std::string& path) const;
  // Notes what the name was, to be undone.
  void Note(Change& change, const std::string& path) const;
  void Keep(Change change);

  World& world_;
  Names names_;
  std::vector<Change> unsynced_;  // oldest first
};

}  // namespace weir::simulation
