// Whole jobs with the operators that hold rows, buckets or calls between two checkpoints: whatever
// fails, stops or is laid out anew, every row comes out exactly once.
#include <gtest/gtest.h>

#include <atomic>

#include "jobs/stream.h"
#include "tests/support/number_job.h"

namespace weir {
namespace {

using testing::Collect;
using testing::CountPerKey;
using testing::kSplits;
using testing::Numbers;
using testing::Row;
using testing::Shared;

constexpr int64_t kKeys = 10;

// numbers -> rebatch by key -> throttle (both ways) -> async -> count per key -> collect
BuiltJob MakeJob(std::shared_ptr<Shared> shared, std::shared_ptr<std::atomic<int64_t>> failures) {
  JobBuilder builder("transforms");
  const auto key = [](const int64_t& v) { return v % kKeys; };
  auto limited =
      builder.From("numbers", Numbers(shared))
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
      .To("collect", Collect(shared));
  return *builder.Build();
}

class TransformsJobTest : public testing::NumberJobTest {
 protected:
  TransformsJobTest() : NumberJobTest("transforms") {
    shared_->per_split = 200;
    job_ = MakeJob(shared_, std::make_shared<std::atomic<int64_t>>(0));
  }
};

TEST_F(TransformsJobTest, RunsToItsEndAtEveryParallelism) {
  for (int parallelism : {1, 3}) {
    for (bool encode : {false, true}) {
      LocalJobResult result = RunAfresh(parallelism, encode);
      ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
      ExpectExactlyOnce(kKeys);
      const NamedCounts& calls = result.status.operators[3].completed.named;
      EXPECT_EQ(calls.at("calls"), kSplits * shared_->per_split + calls.at("retries"));
    }
  }
}

TEST_F(TransformsJobTest, ATaskThatFailsCostsNothing) {
  for (int parallelism : {1, 3}) {
    shared_->rows_until_failure = 2'000;
    LocalJobResult result = RunAfresh(parallelism);
    ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
    EXPECT_EQ(result.status.restarts, 1);
    ExpectExactlyOnce(kKeys);
  }
}

TEST_F(TransformsJobTest, StopsAndGoesOnAtAnotherParallelism) {
  StopAtTheFirstCommit();
  for (int parallelism : {3, 1, 2}) {
    options_.parallelism = parallelism;
    LocalJobResult result = Run();
    ASSERT_EQ(result.state, RunState::kSuspended) << result.status.failure;
  }
  LetItEnd();
  options_.parallelism = 4;
  LocalJobResult result = Run();
  ASSERT_EQ(result.state, RunState::kFinished) << result.status.failure;
  ExpectExactlyOnce(kKeys);
}

}  // namespace
}  // namespace weir
