// A file sink whose disk fails or whose process dies at every single step, and the attempts after
// it: each line comes out exactly once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "testing/temp_dir.h"
#include "tests/operators/file_sink_job.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

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
    EXPECT_EQ(AllCommitted(dir / "out"), Everything()) << "step " << steps;
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
    EXPECT_EQ(AllCommitted(dir / "out"), Everything());
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
    EXPECT_EQ(AllCommitted(dir / "out"), Everything()) << "step " << steps;
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
      EXPECT_EQ(AllCommitted(dir / "out"), Everything()) << action << " " << n;
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
              ::testing::ElementsAre("mkdir /a/.pending", "create " + pending, "append " + pending,
                                     "close " + pending, "sync " + pending, "syncdir ",
                                     "syncdir /a", "syncdir /a/.pending"));
  actions.clear();
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_THAT(actions, ::testing::ElementsAre("rename /a/part-job-1.sink.s0.a1.c3.0.jsonl.zst",
                                              "syncdir /a", "syncdir /a/.pending"));
  actions.clear();
  ASSERT_TRUE(sink->Commit(handles->front()).ok());
  EXPECT_EQ(actions.front(), "syncdir /a") << "the first caller may not have come this far";
}

// A sync of each would take minutes where there are ten thousand.
TEST(FileSinkCrash, ManyPartsAreMadeDurableTogether) {
  TempDir dir;
  FaultyDisk disk(TestDisk());
  TestPool pool;
  Environment env{RealEnvironment().clock, disk, pool, RealEnvironment().random};
  std::mutex mutex;
  std::map<std::string, int> actions;
  std::string last;
  disk.SetFault([&](std::string_view action, const std::string&) -> Status {
    std::lock_guard lock(mutex);
    ++actions[last = action];
    return absl::OkStatus();
  });
  std::vector<RoutedLine> lines;
  for (int p = 0; p < 200; ++p) lines.emplace_back("p" + std::to_string(p), "1");
  for (const uint64_t part_bytes : {uint64_t{0}, uint64_t{1} << 20}) {
    FileSinkOptions options{.directory = dir / ("out" + std::to_string(part_bytes))};
    options.part_bytes = part_bytes;
    SinkInstance sink(options, env);
    actions.clear();
    ASSERT_TRUE(sink.Write(lines).ok());
    StateSnapshot snapshot = *sink.Snapshot(1);
    EXPECT_EQ(last, "syncfs") << "behind all that it is to make durable";
    EXPECT_EQ(actions["syncfs"], 1);
    EXPECT_EQ(actions["sync"] + actions["syncdir"], 0);
    actions.clear();
    if (part_bytes == 0) {
      ASSERT_TRUE(sink->CommitAll(snapshot.handles).ok());
      EXPECT_EQ(last, "syncfs");
      EXPECT_EQ(actions["syncfs"], 1);
    } else {
      SinkInstance next(options, env, {.attempt = 2});
      ASSERT_TRUE(
          next->Recover({.job_id = "job-1", .restored = 1, .open_handles = snapshot.open_handles})
              .ok());
      EXPECT_EQ(actions["syncfs"], 2) << "behind the cuts, and behind the names";
    }
    EXPECT_EQ(actions["sync"] + actions["syncdir"], 0);
    EXPECT_EQ(Committed(options.directory).size(), 200u);
  }
}

TEST(FileSinkCrash, AFileSystemThatCannotSyncFailsTheCheckpoint) {
  TempDir dir;
  FaultyDisk disk(TestDisk());
  TestPool pool;
  Environment env{RealEnvironment().clock, disk, pool, RealEnvironment().random};
  SinkInstance sink({.directory = dir / "out"}, env);
  std::vector<RoutedLine> lines;
  for (int p = 0; p < 200; ++p) lines.emplace_back("p" + std::to_string(p), "1");
  ASSERT_TRUE(sink.Write(lines).ok());
  disk.FailFrom("syncfs", 0);
  EXPECT_EQ(sink.Snapshot(1).status().code(), absl::StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace weir::testing
