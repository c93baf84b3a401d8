// What is in front of a barrier while a sink crawls: a whole job in virtual time whose source could
// make any number of rows. Between it and the sink may be only what the sink takes in a moment,
// since the checkpoint has to wait for that.
#include <gtest/gtest.h>

#include <algorithm>

#include "core/hash.h"
#include "jobs/stream.h"
#include "operators/pace.h"
#include "operators/transforms/rebatch.h"
#include "testing/job_attempt.h"
#include "testing/operator_bed.h"
#include "testing/temp_dir.h"

namespace weir {
namespace {

constexpr size_t kTextBytes = 360;
constexpr size_t kRowBytes = kTextBytes + sizeof(int64_t) + sizeof(std::string_view) + 16;
constexpr size_t kBytesPerSecond = 200'000;  // of both subtasks of the sink together
constexpr int kParallelism = 2;

struct Row {
  int64_t number = 0;
  std::string_view text;
};
BOOST_DESCRIBE_STRUCT(Row, (), (number, text))

const std::string& Text() {
  static const std::string text(kTextBytes, 'x');
  return text;
}

struct Count {
  int64_t made = 0;
  int64_t taken = 0;
  int64_t in_flight() const { return made - taken; }
};

class Numbers final : public Source {
 public:
  explicit Numbers(Count& count) : count_(count) {}
  Status Open(OperatorContext&) override { return absl::OkStatus(); }
  StatusOr<PollResult> Poll(Output& out) override {
    const int64_t rows =
        std::clamp<size_t>(BatchBytesFor(out) / kRowBytes, 1, limits::kBatchRowsDefault);
    auto batch = std::make_unique<Batch<Row>>();
    for (int64_t i = 0; i < rows; ++i) batch->Add({next_++, Text()}, 0);
    batch->AddViewBytes(rows * kTextBytes);
    count_.made += rows;
    out.Emit(0, std::move(batch));
    return PollResult{PollResult::kMore};
  }
  Timestamp watermark() const override { return kMinTimestamp; }

 private:
  Count& count_;
  int64_t next_ = 0;
};

// Takes the next batch when the last one has gone, at its speed.
class Crawling final : public Sink {
 public:
  Crawling(Count& count, size_t bytes_per_second)
      : count_(count), bytes_per_second_(bytes_per_second) {}
  Status Open(OperatorContext& context) override {
    clock_ = &context.env->clock;
    timers_ = context.timers;
    return absl::OkStatus();
  }
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override {
    rows_ = static_cast<int64_t>(batch->rows());
    gone_at_ = clock_->MonotonicMicros() + batch->bytes() * Seconds(1) / bytes_per_second_;
    return Resume(out);
  }
  StatusOr<Progress> Resume(Output&) override {
    if (clock_->MonotonicMicros() < gone_at_) {
      timers_->SetWakeUp(gone_at_);
      return Progress::kBlocked;
    }
    count_.taken += std::exchange(rows_, 0);
    return Progress::kDone;
  }

 private:
  Count& count_;
  const size_t bytes_per_second_;
  Clock* clock_ = nullptr;
  TimerService* timers_ = nullptr;
  int64_t rows_ = 0;
  int64_t gone_at_ = 0;
};

class BackpressureTest : public ::testing::Test {
 protected:
  // numbers [-> rebatch] -> sink, which is keyed.
  void Start(bool rebatch) {
    const EdgeCode keyed{MakeRowCodec<Row>(), [](BatchBase& batch) {
                           std::vector<uint64_t> hashes;
                           for (const Row& row : Batch<Row>::Of(batch).values()) {
                             hashes.push_back(Hash64(std::to_string(row.number)));
                           }
                           batch.set_key_hashes(std::move(hashes));
                         }};
    const EdgeCode forward{keyed.codec, {}};
    const auto schema = keyed.codec->schema();
    job_.graph.job = "crawl";
    job_.graph.stages = {{.name = "numbers", .kind = "source", .role = StageRole::kSource}};
    job_.stages = {{.source = [this] { return std::make_unique<Numbers>(count_); }}};
    if (rebatch) {
      job_.graph.stages.push_back(
          {.name = "rebatch", .kind = "rebatch", .role = StageRole::kOperator});
      job_.stages.push_back({.op = [codec = keyed.codec] {
        return std::make_unique<RebatchOperator>(RebatchOptions{}, codec);
      }});
      job_.graph.edges.push_back({0, 0, 1, 0, Partitioning::kForward, schema});
      job_.edges.push_back(forward);
    }
    const int last = static_cast<int>(job_.stages.size());
    job_.graph.stages.push_back({.name = "sink", .kind = "sink", .role = StageRole::kSink});
    job_.stages.push_back({.sink = [this] {
      return std::make_unique<Crawling>(count_, kBytesPerSecond / kParallelism);
    }});
    job_.graph.edges.push_back({last - 1, 0, last, 0, Partitioning::kKeyed, schema});
    job_.edges.push_back(keyed);
    clock_.now = Seconds(1'000'000);
    attempt_ = std::make_unique<testing::JobAttempt>(
        testing::JobAttempt::Options{.job = &job_,
                                     .clock = &clock_,
                                     .snapshots = &snapshots_,
                                     .job_id = "crawl",
                                     .local_dir = dir_ / "local",
                                     .parallelism = kParallelism,
                                     .memory_bytes = 128 << 20});
    ASSERT_TRUE(attempt_->Start().ok());
  }

  void Pass(Duration time) {
    const int64_t end = clock_.now + time;
    while (clock_.now < end) {
      ASSERT_TRUE(attempt_->Process().ok());
      clock_.now = std::clamp<int64_t>(attempt_->NextDue().value_or(end), clock_.now + 1, end);
    }
  }

  Count count_;
  BuiltJob job_;
  testing::ManualClock clock_;
  testing::TempDir dir_;
  testing::MemorySnapshots snapshots_;
  std::unique_ptr<testing::JobAttempt> attempt_;
};

TEST_F(BackpressureTest, WhatIsInFrontOfABarrierFollowsTheSink) {
  for (const bool rebatch : {false, true}) {
    SCOPED_TRACE(rebatch);
    Start(rebatch);
    Pass(Seconds(150));  // what was sent before anybody knew how slow the sink is has gone by then
    const int64_t before = count_.taken;
    int64_t most = 0;
    for (int i = 0; i < 100; ++i) {
      Pass(Milliseconds(100));
      most = std::max(most, count_.in_flight());
    }
    const double seconds = static_cast<double>(most * kRowBytes) / kBytesPerSecond;
    EXPECT_LT(seconds, 1.0) << most << " rows";
    // And the sink was never without work.
    EXPECT_NEAR((count_.taken - before) * kRowBytes, 10 * kBytesPerSecond, kBytesPerSecond);
    attempt_.reset();
    job_ = {};
    count_ = {};
  }
}

}  // namespace
}  // namespace weir
