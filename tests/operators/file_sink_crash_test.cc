// A file sink whose disk fails or whose process dies at every single step, and the attempts after
// it: each line comes out exactly once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "tests/operators/file_sink_harness.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/temp_dir.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

constexpr int kIntervals = 4;
constexpr int kLinesPerInterval = 30;

// What a checkpoint store would hold.
struct Manifest {
  CheckpointId checkpoint = 0;
  int interval = 0;  // the first one that is not in it
  std::vector<std::string> handles;
};

std::vector<RoutedLine> LinesOf(int interval) {
  std::vector<RoutedLine> lines;
  if (interval == 2) return lines;  // a checkpoint with nothing new
  for (int i = 0; i < kLinesPerInterval; ++i) {
    lines.emplace_back(i % 3 == 0 ? "a" : "b", std::to_string(interval * 1000 + i));
  }
  return lines;
}

std::map<std::string, std::vector<std::string>> Everything() {
  std::map<std::string, std::vector<std::string>> lines;
  for (int interval = 0; interval < kIntervals; ++interval) {
    for (const auto& [route, payload] : LinesOf(interval)) lines[route].push_back(payload);
  }
  for (auto& [route, payloads] : lines) std::sort(payloads.begin(), payloads.end());
  return lines;
}

class Job {
 public:
  explicit Job(std::string out) : disk_(TestDisk()) {
    options_.directory = std::move(out);
    options_.block_bytes = 64;  // many small steps
    options_.open_parts_max = 1;
  }

  // One attempt of the job, as a runtime would run it.
  Status RunAttempt() {
    ++attempt_;
    SinkInstance sink(options_, env_, {.attempt = attempt_});
    for (const std::string& handle : manifest_.handles) {
      WEIR_RETURN_IF_ERROR(sink->Commit(handle));
    }
    WEIR_RETURN_IF_ERROR(
        sink->Recover({.job_id = "job-1", .restored = manifest_.checkpoint, .revoke = revoke_}));
    while (manifest_.interval < kIntervals) {
      WEIR_RETURN_IF_ERROR(sink.Write(LinesOf(manifest_.interval)));
      const CheckpointId checkpoint = ++last_checkpoint_;
      WEIR_ASSIGN_OR_RETURN(std::vector<std::string> handles, sink.Checkpoint(checkpoint));
      manifest_ = {checkpoint, manifest_.interval + 1, handles};
      for (const std::string& handle : handles) WEIR_RETURN_IF_ERROR(sink->Commit(handle));
    }
    return absl::OkStatus();
  }

  // The process dies at the n-th action on the disk from now on; an append may leave a half.
  void DieAt(int n) {
    auto count = std::make_shared<std::atomic<int>>(0);
    disk_.SetFault([=](std::string_view action, const std::string& path) -> Status {
      if ((*count)++ < n) return absl::OkStatus();
      return absl::UnavailableError("dead");
    });
  }
  void Live() { disk_.SetFault(nullptr); }
  void GoBackTo(const Manifest& manifest) {
    manifest_ = manifest;
    revoke_ = true;
  }

  FaultyDisk& disk() { return disk_; }
  const Manifest& manifest() const { return manifest_; }
  const FileSinkOptions& options() const { return options_; }

 private:
  FaultyDisk disk_;
  TestPool pool_;  // gone before the disk is
  Environment env_{RealEnvironment().clock, disk_, pool_, RealEnvironment().random};
  FileSinkOptions options_;
  uint32_t attempt_ = 0;
  CheckpointId last_checkpoint_ = 0;
  Manifest manifest_;
  bool revoke_ = false;
};

bool HasPending(const std::string& folder) {
  for (const std::string& file : FilesBelow(folder)) {
    if (file.find(".pending/") != std::string::npos) return true;
  }
  return false;
}

TEST(FileSinkCrash, DyingAtAnyStepCostsNothing) {
  int steps = 0;
  for (bool died = true; died; ++steps) {
    TempDir dir;
    std::filesystem::create_directories(dir / "out");
    auto job = std::make_unique<Job>(dir / "out");
    job->DieAt(steps);
    died = !job->RunAttempt().ok();
    job->Live();
    if (died) {
      const Status status = job->RunAttempt();
      ASSERT_TRUE(status.ok()) << "step " << steps << ": " << status;
    }
    EXPECT_EQ(Committed(dir / "out"), Everything()) << "step " << steps;
    EXPECT_FALSE(HasPending(dir / "out")) << "step " << steps;
  }
  EXPECT_GT(steps, 50);
}

TEST(FileSinkCrash, DyingAgainAndAgainCostsNothing) {
  std::mt19937 random(7);
  for (int round = 0; round < 30; ++round) {
    TempDir dir;
    std::filesystem::create_directories(dir / "out");
    auto job = std::make_unique<Job>(dir / "out");
    Status status;
    do {
      job->DieAt(static_cast<int>(random() % 60));
      status = job->RunAttempt();
    } while (!status.ok() && job->manifest().interval < kIntervals);
    job->Live();
    status = job->RunAttempt();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(Committed(dir / "out"), Everything());
    EXPECT_FALSE(HasPending(dir / "out"));
  }
}

TEST(FileSinkCrash, GoingBackToAnOlderCheckpointRevokesEvenWhenItDiesAtAnyStep) {
  for (int steps = 0; steps < 40; ++steps) {
    TempDir dir;
    std::filesystem::create_directories(dir / "out");
    auto job = std::make_unique<Job>(dir / "out");
    ASSERT_TRUE(job->RunAttempt().ok());
    job->GoBackTo({});
    job->DieAt(steps);
    job->RunAttempt().IgnoreError();  // dying is the point
    job->Live();
    const Status status = job->RunAttempt();
    ASSERT_TRUE(status.ok()) << status;
    EXPECT_EQ(Committed(dir / "out"), Everything()) << "step " << steps;
  }
}

TEST(FileSinkCrash, AFullDiskFailsTheAttemptAndNothingIsDoubled) {
  for (const char* action : {"append", "sync", "create", "mkdir", "rename"}) {
    for (int n : {0, 1, 3}) {
      TempDir dir;
      std::filesystem::create_directories(dir / "out");
      auto job = std::make_unique<Job>(dir / "out");
      job->disk().FailFrom(action, n);
      Status status = job->RunAttempt();
      if (status.ok()) continue;  // there are fewer such actions
      EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      EXPECT_THAT(status.ToString(), HasSubstr(dir / "out")) << status;
      job->Live();
      status = job->RunAttempt();
      ASSERT_TRUE(status.ok()) << status;
      EXPECT_EQ(Committed(dir / "out"), Everything()) << action << " " << n;
    }
  }
}

TEST(FileSinkCrash, AnErrorOnThePoolSurfacesAtTheNextWriteAndWakesTheTask) {
  TempDir dir;
  ManualPool pool;
  FaultyDisk disk(TestDisk());
  Environment env{RealEnvironment().clock, disk, pool, RealEnvironment().random};
  SinkInstance sink({.directory = dir / "out", .block_bytes = 100, .in_flight_blocks_max = 2}, env);
  disk.FailFrom("append", 0);
  auto progress = sink->Write(EventBatch({10, {"a", std::string(60, 'x')}}), sink.out());
  ASSERT_TRUE(progress.ok());
  ASSERT_EQ(*progress, Progress::kBlocked);
  pool.RunAll();
  EXPECT_EQ(sink.wakes(), 1);
  EXPECT_EQ(sink->Resume(sink.out()).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink->Write(EventBatch({{"a", "1"}}), sink.out()).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(sink.Checkpoint(1).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(FileSinkCrash, EverythingIsOnTheDeviceBeforeItIsAcknowledged) {
  TempDir dir;
  FaultyDisk disk(TestDisk());
  TestPool pool;
  Environment env{RealEnvironment().clock, disk, pool, RealEnvironment().random};
  const std::string out = dir / "out";
  std::mutex mutex;
  std::vector<std::string> actions;
  disk.SetFault([&](std::string_view action, const std::string& path) -> Status {
    std::lock_guard lock(mutex);
    actions.push_back(std::string(action) + " " + path.substr(out.size()));
    return absl::OkStatus();
  });
  SinkInstance sink({.directory = out}, env);
  ASSERT_TRUE(sink.Write({{"a", "1"}}).ok());
  const auto handles = sink.Checkpoint(3);
  const std::string pending = "/a/.pending/part-job-1.sink.s0.a1.0.jsonl.zst.pending";
  EXPECT_THAT(actions,
              ::testing::ElementsAre("mkdir /a/.pending", "syncdir /a", "syncdir ",
                                     "create " + pending, "append " + pending, "sync " + pending,
                                     "close " + pending, "syncdir /a/.pending"));
  actions.clear();
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_THAT(actions, ::testing::ElementsAre("rename /a/part-job-1.sink.s0.a1.c3.0.jsonl.zst",
                                              "syncdir /a", "syncdir /a/.pending"));
  actions.clear();
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_EQ(actions.front(), "syncdir /a") << "the first caller may not have come this far";
}

}  // namespace
}  // namespace weir::testing
