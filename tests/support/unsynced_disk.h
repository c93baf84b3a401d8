// The disk below, but nothing waits for the device: for tests that sync thousands of times, and of
// which none could see what a sync does. What is to be synced must be there.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/environment.h"

namespace weir::testing {

class UnsyncedDisk final : public Disk {
 public:
  explicit UnsyncedDisk(Disk& below) : below_(below) {}
  StatusOr<std::unique_ptr<ReadableFile>> OpenForRead(const std::string& path) override {
    return below_.OpenForRead(path);
  }
  StatusOr<std::unique_ptr<WritableFile>> Create(const std::string& path) override {
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, below_.Create(path));
    return std::make_unique<File>(std::move(file));
  }
  StatusOr<std::unique_ptr<WritableFile>> OpenToAppend(const std::string& path,
                                                       uint64_t size) override {
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<WritableFile> file, below_.OpenToAppend(path, size));
    return std::make_unique<File>(std::move(file));
  }
  StatusOr<FileInfo> Stat(const std::string& path) override { return below_.Stat(path); }
  StatusOr<std::vector<std::string>> List(const std::string& directory) override {
    return below_.List(directory);
  }
  Status MakeDirectories(const std::string& path) override { return below_.MakeDirectories(path); }
  Status Rename(const std::string& from, const std::string& to) override {
    return below_.Rename(from, to);
  }
  Status HardLink(const std::string& from, const std::string& to) override {
    return below_.HardLink(from, to);
  }
  Status Remove(const std::string& path) override { return below_.Remove(path); }
  Status RemoveTree(const std::string& path) override { return below_.RemoveTree(path); }
  StatusOr<std::unique_ptr<FileSystem>> OpenFileSystem(const std::string& directory) override {
    WEIR_RETURN_IF_ERROR(below_.Stat(directory).status());
    struct NoSync final : FileSystem {
      Status Sync() override { return absl::OkStatus(); }
    };
    return std::make_unique<NoSync>();
  }
  Status SyncFile(const std::string& path) override { return below_.Stat(path).status(); }
  StatusOr<std::string> Canonical(const std::string& path) override {
    return below_.Canonical(path);
  }
  Status SyncDirectory(const std::string& path) override { return below_.Stat(path).status(); }

 private:
  class File final : public WritableFile {
   public:
    explicit File(std::unique_ptr<WritableFile> below) : below_(std::move(below)) {}
    Status Append(std::string_view bytes) override { return below_->Append(bytes); }
    Status Sync() override { return absl::OkStatus(); }
    Status Close() override { return below_->Close(); }

   private:
    std::unique_ptr<WritableFile> below_;
  };
  Disk& below_;
};

}  // namespace weir::testing
