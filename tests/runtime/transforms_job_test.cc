// Whole jobs with the operators that hold rows, buckets or calls between two checkpoints: whatever
// fails, stops or is laid out anew, every row comes out exactly once.
#include <gtest/gtest.h>

#include <atomic>
#include <map>

#include "jobs/stream.h"
#include "runtime/local_job.h"
#include "tests/support/number_job.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

using testing::CollectSink;
using testing::CountPerKey;
using testing::kSplits;
using testing::NumberSource;
using testing::Row;
using testing::Shared;

constexpr int64_t kKeys = 10;

// numbers -> rebatch by key -> throttle (both ways) -> async -> count per key -> collect
BuiltJob MakeJob(std::shared_ptr<Shared> shared, std::shared_ptr<std::atomic<int64_t>> failures) {
  JobBuilder builder("transforms");
  const auto key = [](const int64_t& v) { return v % kKeys; };
  auto limited =
      builder
          .From("numbers",
                SourceSpec<int64_t>{
                    .make = [shared] { return std::make_unique<NumberSource>(shared); }})
          .Rebatch("rebatch", {.rows = 70, .delay = Milliseconds(3), .open_batches = 4}, key)
          .Throttle("throttle",
                    {.rows = 5,
                     .per = Milliseconds(10),
                     .time = ThrottleTime::kArrival,
                     .over = OverLimit::kSide},
                    key);
  limited.Union(limited.Side<int64_t>(kThrottledPort))
      .Async<int64_t>(
          "async",
          {.concurrency = 8, .ordered = false, .retries = 30, .backoff_min = 1, .backoff_max = 1},
          [failures](const int64_t& v) -> StatusOr<int64_t> {
            if (v % 50 == 0 && failures->fetch_add(1) % 2 == 0) {
              return absl::UnavailableError("try again");
            }
            return v;
          })
      .KeyBy(key)
      .Process<Row>("count", CountPerKey(kKeys))
      .To("collect",
          SinkSpec<Row>{.make = [shared] { return std::make_unique<CollectSink>(shared); }});
  auto built = builder.Build();
  WEIR_CHECK(built.ok());
  return *std::move(built);
}

class TransformsJobTest : public ::testing::Test {
 protected:
  TransformsJobTest() {
    shared_->per_split = 200;
    options_.data_dir = dir_ / "data";
    options_.identity.job_name = "transforms";
    options_.checkpoint_interval = Milliseconds(10);
  }

  LocalJobResult Run() {
    auto local = LocalJob::Prepare(job_, options_, RealEnvironment());
    WEIR_CHECK(local.ok());
    running_ = local->get();
    LocalJobResult result = (*local)->Run({});
    running_ = nullptr;
    return result;
  }

  void ExpectExactlyOnce() {
    std::map<int64_t, std::vector<int64_t>> counts;
    for (const auto& [handle, rows] : shared_->committed) {
      for (const auto& [key, count] : rows) counts[key].push_back(count);
    }
    ASSERT_EQ(counts.size(), static_cast<size_t>(kKeys));
    for (auto& [key, seen] : counts) {
      std::sort(seen.begin(), seen.end());
      ASSERT_EQ(seen.size(), static_cast<size_t>(kSplits * shared_->per_split / kKeys));
      for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], static_cast<int64_t>(i) + 1);
    }
  }

  testing::TempDir dir_;
  LocalJobOptions options_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  BuiltJob job_ = MakeJob(shared_, std::make_shared<std::atomic<int64_t>>(0));
  std::atomic<LocalJob*> running_ = nullptr;
};

TEST_F(TransformsJobTest, RunsToItsEndAtEveryParallelism) {
  for (int parallelism : {1, 3}) {
    for (bool encode : {false, true}) {
      shared_->committed.clear();
      options_.data_dir = dir_ / ("data-" + std::to_string(parallelism) + (encode ? "e" : ""));
      options_.parallelism = parallelism;
      options_.encode_edges = encode;
      LocalJobResult result = Run();
      ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
      ExpectExactlyOnce();
      const NamedCounts& calls = result.status.operators[3].completed.named;
      EXPECT_EQ(calls.at("calls"), kSplits * shared_->per_split + calls.at("retries"));
    }
  }
}

TEST_F(TransformsJobTest, ATaskThatFailsCostsNothing) {
  for (int parallelism : {1, 3}) {
    shared_->committed.clear();
    options_.data_dir = dir_ / ("data-" + std::to_string(parallelism));
    options_.parallelism = parallelism;
    shared_->rows_until_failure = 2'000;
    LocalJobResult result = Run();
    ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
    EXPECT_EQ(result.status.restarts, 1);
    ExpectExactlyOnce();
  }
}

TEST_F(TransformsJobTest, StopsAndGoesOnAtAnotherParallelism) {
  shared_->hold_end = true;
  shared_->on_commit = [this] {
    if (LocalJob* job = running_) job->RequestStop();
  };
  for (int parallelism : {3, 1, 2}) {
    options_.parallelism = parallelism;
    LocalJobResult result = Run();
    ASSERT_EQ(result.state, RunState::kSuspended) << result.status.failure;
  }
  shared_->on_commit = nullptr;
  shared_->hold_end = false;
  options_.parallelism = 4;
  LocalJobResult result = Run();
  ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
  ExpectExactlyOnce();
}

}  // namespace
}  // namespace weir
