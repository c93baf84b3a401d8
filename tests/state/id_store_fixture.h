// What the tests of the id store share: a snapshot store in a folder, an I/O pool that runs when it
// is told to, and the exact model that the store is compared with.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "core/environment.h"
#include "core/hash.h"
#include "state/id_store.h"
#include "state/snapshot.h"
#include "testing/temp_dir.h"

namespace weir::testing {

// Files by content. Counts what it was given; may be told to fail. Any thread.
class FolderSnapshots final : public SnapshotWriter, public SnapshotReader {
 public:
  explicit FolderSnapshots(std::string folder) : folder_(std::move(folder)) {
    std::filesystem::create_directories(folder_);
  }
  StatusOr<StateFile> AddFile(const std::string& local_path, std::string name) override {
    std::ifstream in(local_path, std::ios::binary);
    if (!in) return absl::NotFoundError(local_path);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return AddBytes(bytes.str(), std::move(name));
  }
  StatusOr<StateFile> AddBytes(std::string_view bytes, std::string name) override {
    std::lock_guard lock(mutex_);
    if (on_add) WEIR_RETURN_IF_ERROR(on_add(name));
    Fingerprint hash = Hash128(bytes);
    std::string content = std::to_string(hash.high) + "-" + std::to_string(hash.low);
    std::string path = folder_ + "/" + content;
    if (!std::filesystem::exists(path)) {
      std::ofstream(path, std::ios::binary) << bytes;
      bytes_added += bytes.size();
    }
    return StateFile{std::move(name), content, bytes.size()};
  }
  StatusOr<std::string> ReadBytes(const StateFile& file) override {
    std::ifstream in(folder_ + "/" + file.content, std::ios::binary);
    if (!in) return absl::DataLossError(file.name);
    std::stringstream bytes;
    bytes << in.rdbuf();
    return bytes.str();
  }
  Status Fetch(const StateFile& file, const std::string& local_path) override {
    std::error_code error;
    std::filesystem::create_hard_link(folder_ + "/" + file.content, local_path, error);
    return error ? absl::UnavailableError(local_path + ": " + error.message()) : absl::OkStatus();
  }

  std::function<Status(const std::string& name)> on_add;  // set before use
  uint64_t bytes_added = 0;

 private:
  const std::string folder_;
  std::mutex mutex_;
};

// Keeps work until RunAll(). One thread.
class ManualPool final : public IoPool {
 public:
  void Submit(std::function<void()> work) override { work_.push_back(std::move(work)); }
  void RunAll() {
    while (!work_.empty()) {
      auto work = std::move(work_.front());
      work_.pop_front();
      work();
    }
  }
  size_t size() const { return work_.size(); }

 private:
  std::deque<std::function<void()>> work_;
};

// The definition, word by word.
class IdModel {
 public:
  IdStore::Verdict Accept(const Fingerprint& id, int64_t slice) {
    if (slice < floor_) return IdStore::Verdict::kLate;
    std::set<int64_t>& accepted = accepted_[id];
    auto near = accepted.lower_bound(slice - 8);
    if (near != accepted.end() && *near <= slice + 8) return IdStore::Verdict::kDuplicate;
    accepted.insert(slice);
    return IdStore::Verdict::kAccepted;
  }
  void RaiseFloor(int64_t floor) { floor_ = std::max(floor_, floor); }
  int64_t floor() const { return floor_; }
  uint64_t live() const {
    uint64_t n = 0;
    for (const auto& [id, slices] : accepted_) {
      for (int64_t slice : slices) n += slice >= floor_ - 8;
    }
    return n;
  }

 private:
  std::map<Fingerprint, std::set<int64_t>> accepted_;
  int64_t floor_ = IdStore::kSliceMin;
};

inline Fingerprint IdOf(uint64_t n) {
  return Hash128({reinterpret_cast<const char*>(&n), sizeof(n)});
}

class IdStoreTest : public ::testing::Test {
 protected:
  using Verdict = IdStore::Verdict;
  static constexpr Duration kWindow = Seconds(8);

  // A new folder for each store, as each attempt has one.
  IdStoreOptions Options(int subtask = 0, int parallelism = 1) {
    IdStoreOptions options;
    options.stage = "dedup";
    options.window = kWindow;
    options.key_groups = KeyGroupsOf(subtask, parallelism);
    options.local_dir = dir_.path() + "/store-" + std::to_string(++stores_);
    std::filesystem::create_directories(options.local_dir);
    options.env = &RealEnvironment();
    return options;
  }
  static std::unique_ptr<IdStore> Open(IdStoreOptions options, const Restore& restore = {}) {
    auto store = IdStore::Open(std::move(options), restore);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }
  Restore From(std::vector<StateSnapshot> snapshots) {
    Restore restore;
    restore.reader = &snapshots_;
    const int parallelism = static_cast<int>(snapshots.size());
    for (int i = 0; i < parallelism; ++i) {
      restore.snapshots.push_back({i, parallelism, std::move(snapshots[i])});
    }
    return restore;
  }
  StateSnapshot Checkpoint(IdStore& store) {
    auto snapshot = store.Freeze(1)->Write(snapshots_);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return snapshot.ok() ? *std::move(snapshot) : StateSnapshot();
  }
  static Verdict AcceptOne(IdStore& store, uint64_t id, int64_t slice) {
    Fingerprint fingerprint = IdOf(id);
    Verdict verdict = Verdict::kLate;
    Status status = store.Accept({&fingerprint, 1}, {&slice, 1}, {&verdict, 1});
    EXPECT_TRUE(status.ok()) << status;
    return verdict;
  }

  TempDir dir_;
  FolderSnapshots snapshots_{dir_.path() + "/snapshots"};
  int stores_ = 0;
};

}  // namespace weir::testing
