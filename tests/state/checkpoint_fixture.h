// What the tests of object stores and checkpoints share: an environment on a folder of the test's
// own, whose disk fails when it is told to and whose clock stands still.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/environment.h"
#include "state/checkpoint_store.h"
#include "testing/temp_dir.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/unsynced_disk.h"

namespace weir::testing {

class StandingClock final : public Clock {
 public:
  Timestamp Now() override { return now; }
  int64_t MonotonicMicros() override { return now; }
  Timestamp now = Seconds(2'000'000'000);
};

class SeededRandom final : public Random {
 public:
  uint64_t Next() override { return engine_(); }

 private:
  std::mt19937_64 engine_{7};
};

class CheckpointTest : public ::testing::Test {
 protected:
  // The store as a new process finds it.
  void Reopen(int retained = 3) {
    store_.reset();
    objects_ = std::make_unique<LocalObjectStore>(env_, dir_.path());
    store_ = std::make_unique<CheckpointStore>(*objects_, env_,
                                               CheckpointStoreOptions{"job-1", retained});
  }
  void SetUp() override { Reopen(); }

  // From the n-th change on, every change fails, as after the end of the process.
  void KillAfter(int n) {
    disk_.SetFault([=, count = 0](std::string_view action, const std::string& path) mutable {
      if (action == "open" || count++ < n) return absl::OkStatus();
      return absl::UnavailableError("killed before " + std::string(action) + " " + path);
    });
  }
  void Mend() { disk_.SetFault(nullptr); }

  Manifest NewManifest(CheckpointId id, std::vector<StateFile> files = {}) {
    Manifest manifest;
    manifest.job_id = "job-1";
    manifest.job_name = "job";
    manifest.checkpoint = id;
    manifest.created = clock_.now;
    StageState stage;
    stage.name = "stage";
    stage.subtasks.resize(1);
    stage.subtasks[0].keyed_state.format = "test/1";
    stage.subtasks[0].keyed_state.inline_bytes = "state " + std::to_string(id);
    stage.subtasks[0].keyed_state.files = std::move(files);
    manifest.stages.push_back(std::move(stage));
    return manifest;
  }
  StateFile Add(CheckpointId id, std::string_view bytes) {
    auto file = store_->MakeWriter(id)->AddBytes(bytes, "file of " + std::to_string(id));
    EXPECT_TRUE(file.ok()) << file.status();
    return file.ok() ? *file : StateFile{};
  }
  // One file of its own and one that it shares with all others.
  Status Complete(CheckpointId id) {
    auto writer = store_->MakeWriter(id);
    WEIR_ASSIGN_OR_RETURN(StateFile own, writer->AddBytes("own " + std::to_string(id), "own"));
    WEIR_ASSIGN_OR_RETURN(StateFile shared, writer->AddBytes("shared by all", "shared"));
    return store_->WriteManifest(NewManifest(id, {own, shared}));
  }
  std::vector<CheckpointId> List() {
    auto list = store_->List();
    EXPECT_TRUE(list.ok()) << list.status();
    return list.ok() ? *list : std::vector<CheckpointId>{};
  }
  // Every checkpoint that is listed must verify.
  void ExpectAllVerify() {
    for (CheckpointId id : List()) EXPECT_TRUE(store_->Verify(id).ok()) << store_->Verify(id);
  }
  std::string PathOf(const StateFile& file) { return dir_ / ("job-1/files/" + file.content); }
  std::string ManifestPath(CheckpointId id) {
    return dir_ / ("job-1/chk-" + std::to_string(id) + "/manifest.pb");
  }
  std::vector<std::string> FilesIn(const std::string& folder) {
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / folder, error)) {
      names.push_back(entry.path().filename());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  static void FlipBit(const std::string& path, size_t bit) {
    Disk& disk = RealEnvironment().disk;
    std::string bytes = *ReadFile(disk, path);
    bytes[bit / 8 % bytes.size()] ^= static_cast<char>(1 << (bit % 8));
    Overwrite(path, bytes);
  }
  static void Overwrite(const std::string& path, std::string_view bytes) {
    std::filesystem::remove(path);  // truncating would make the file system flush
    std::ofstream out(path, std::ios::binary);
    out << bytes;
    ASSERT_TRUE(out.flush());
  }

  TempDir dir_;
  UnsyncedDisk unsynced_{RealEnvironment().disk};
  FaultyDisk disk_{unsynced_};
  StandingClock clock_;
  SeededRandom random_;
  Environment env_{clock_, disk_, RealEnvironment().io, random_};
  std::unique_ptr<LocalObjectStore> objects_;
  std::unique_ptr<CheckpointStore> store_;
};

}  // namespace weir::testing
