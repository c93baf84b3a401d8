// A Disk whose writes fail when the test says so; everything else is the disk below. Any thread.
//
// Syncing may fail too, but is never done: what these tests play is a process that dies, and what
// it has written the kernel still has. So a test may die at each of a thousand steps.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "core/environment.h"

namespace weir::testing {

class FaultyDisk final : public Disk {
 public:
  // What is about to happen: "open", "create", "reopen", "append", "sync", "close", "rename",
  // "link", "remove", "mkdir", "syncdir", "syncfs".
  using Fault = std::function<Status(std::string_view action, const std::string& path)>;

  explicit FaultyDisk(Disk& below) : below_(below) {}

  // Asked before every action; an error happens in its place. An append that fails leaves half of
  // its bytes behind, as a full disk does. Null: none.
  void SetFault(Fault fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
  }
  // Every action named so fails with ResourceExhausted, like a full disk, from its n-th time on (0:
  // at once).
  void FailFrom(std::string action, int n) {
    SetFault([=, count = 0](std::string_view a, const std::string& path) mutable -> Status {
      if (a != action || count++ < n) return absl::OkStatus();
      return absl::ResourceExhaustedError("cannot " + action + " " + path +
                                          ": No space left on device");
    });
  }

  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Ask("open", path));
    return below_.OpenForRead(path);
  }
  StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Ask("create", path));
    WEIR_ASSIGN_OR_RETURN(auto file, below_.Create(path));
    return std::make_unique<File>(*this, std::move(file), path);
  }
  StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path,
                                                       uint64_t size) override {
    WEIR_RETURN_IF_ERROR(Ask("reopen", path));
    WEIR_ASSIGN_OR_RETURN(auto file, below_.OpenToAppend(path, size));
    return std::make_unique<File>(*this, std::move(file), path);
  }
  StatusOr<FileInfo> Stat(const std::string& path) override { return below_.Stat(path); }
  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    return below_.List(directory);
  }
  Status MakeDirectories(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Ask("mkdir", path));
    return below_.MakeDirectories(path);
  }
  Status Rename(const std::string& from, const std::string& to) override {
    WEIR_RETURN_IF_ERROR(Ask("rename", to));
    return below_.Rename(from, to);
  }
  Status HardLink(const std::string& from, const std::string& to) override {
    WEIR_RETURN_IF_ERROR(Ask("link", to));
    return below_.HardLink(from, to);
  }
  Status Remove(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Ask("remove", path));
    return below_.Remove(path);
  }
  Status RemoveTree(const std::string& path) override {
    WEIR_RETURN_IF_ERROR(Ask("remove", path));
    return below_.RemoveTree(path);
  }
  StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string& directory) override {
    struct Faulty final : FileSystem {
      Faulty(FaultyDisk& d, std::string p) : disk(d), path(std::move(p)) {}
      Status Sync() override { return disk.Ask("syncfs", path); }
      FaultyDisk& disk;
      const std::string path;
    };
    return std::make_unique<Faulty>(*this, directory);
  }
  Status SyncFile(const std::string& path) override { return Ask("sync", path); }
  StatusOr<std::string> Canonical(const std::string& path) override {
    return below_.Canonical(path);
  }
  Status SyncDirectory(const std::string& path) override { return Ask("syncdir", path); }

 private:
  class File final : public WritableFile {
   public:
    File(FaultyDisk& disk, std::unique_ptr<WritableFile> below, std::string path)
        : disk_(disk), below_(std::move(below)), path_(std::move(path)) {}
    Status Append(std::string_view bytes) override {
      if (Status status = disk_.Ask("append", path_); !status.ok()) {
        below_->Append(bytes.substr(0, bytes.size() / 2)).IgnoreError();  // the fault is the result
        return status;
      }
      return below_->Append(bytes);
    }
    Status Sync() override { return disk_.Ask("sync", path_); }
    Status Close() override {
      WEIR_RETURN_IF_ERROR(disk_.Ask("close", path_));
      return below_->Close();
    }

   private:
    FaultyDisk& disk_;
    std::unique_ptr<WritableFile> below_;
    const std::string path_;
  };

  Status Ask(std::string_view action, const std::string& path) {
    std::lock_guard lock(mutex_);
    return fault_ ? fault_(action, path) : absl::OkStatus();
  }

  Disk& below_;
  std::mutex mutex_;
  Fault fault_;  // guarded by mutex_
};

}  // namespace weir::testing
