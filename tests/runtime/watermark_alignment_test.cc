// A whole job whose sources run at different speeds in event time: what runs ahead waits,
// checkpoints pass all the same, and every row arrives.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>

#include "jobs/stream.h"
#include "operators/sinks/blackhole_sink.h"
#include "runtime/local_job.h"
#include "testing/temp_dir.h"

namespace weir {
namespace {

constexpr int64_t kRows = 20'000;  // of each source; row i has time i
constexpr int64_t kBatch = 10;
constexpr Duration kDrift = 1000;

// Subtask 0 is ten times as fast as the others.
class UnevenSource final : public Source {
 public:
  Status Open(OperatorContext& context) override {
    fast_ = context.subtask == 0;
    return absl::OkStatus();
  }
  StatusOr<PollResult> Poll(Output& out) override {
    if (next_ == kRows) return PollResult{PollResult::kFinished};
    auto batch = std::make_unique<Batch<int64_t>>();
    for (int64_t i = 0; i < kBatch; ++i, ++next_) batch->Add(next_, next_);
    out.Emit(0, std::move(batch));
    const int64_t now = RealEnvironment().clock.MonotonicMicros();
    return PollResult{PollResult::kIdle, now + (fast_ ? 20 : 200)};
  }
  Timestamp watermark() const override { return next_ - 1; }

 private:
  bool fast_ = false;
  int64_t next_ = 0;
};

struct Seen {
  std::atomic<int64_t> rows = 0;
  std::atomic<int64_t> drift = 0;
};

// Remembers how far a row was ahead of the watermark.
class DriftMeter final : public Operator {
 public:
  explicit DriftMeter(std::shared_ptr<Seen> seen) : seen_(std::move(seen)) {}
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    seen_->rows += static_cast<int64_t>(batch->rows());
    const Timestamp highest = *std::max_element(batch->times().begin(), batch->times().end());
    int64_t before = seen_->drift;
    while (highest - watermark_ > before &&
           !seen_->drift.compare_exchange_weak(before, highest - watermark_)) {
    }
    out.Emit(0, std::move(batch));
    return Progress::kDone;
  }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output&) override {
    watermark_ = watermark;
    return Progress::kDone;
  }
  std::optional<Duration> watermark_drift_max() const override { return kDrift; }

 private:
  const std::shared_ptr<Seen> seen_;
  Timestamp watermark_ = 0;
};

TEST(WatermarkAlignmentTest, ASourceThatRunsAheadWaits) {
  auto seen = std::make_shared<Seen>();
  BuiltJob job;
  job.graph.job = "uneven";
  job.graph.stages = {{.name = "numbers", .kind = "source", .role = StageRole::kSource},
                      {.name = "meter", .kind = "meter", .role = StageRole::kOperator},
                      {.name = "nowhere", .kind = "blackhole", .role = StageRole::kSink}};
  job.stages = {{.source = [] { return std::make_unique<UnevenSource>(); }},
                {.op = [seen] { return std::make_unique<DriftMeter>(seen); }},
                {.sink = [] { return std::make_unique<BlackholeSink>(); }}};
  const EdgeCode edge{MakeRowCodec<int64_t>(), [](BatchBase& batch) {
                        std::vector<uint64_t> hashes;
                        for (int64_t v : Batch<int64_t>::Of(batch).values()) {
                          hashes.push_back(Hash64(std::to_string(v)));
                        }
                        batch.set_key_hashes(std::move(hashes));
                      }};
  job.edges = {edge, edge};
  job.graph.edges = {{0, 0, 1, 0, Partitioning::kKeyed, edge.codec->schema()},
                     {1, 0, 2, 0, Partitioning::kForward, edge.codec->schema()}};

  testing::TempDir dir;
  LocalJobOptions options;
  options.data_dir = dir / "data";
  options.parallelism = 3;
  options.checkpoint_interval = Milliseconds(5);
  auto local = LocalJob::Prepare(job, options, RealEnvironment());
  ASSERT_TRUE(local.ok()) << local.status();
  const LocalJobResult result = (*local)->Run({});
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_EQ(seen->rows, 3 * kRows);
  EXPECT_GE(result.status.checkpoints_completed, 2u);
  // Beside kDrift: a batch of each, and what comes while a barrier is being aligned, when nobody
  // waits. Where nobody waits at all the drift is more than half of kRows.
  EXPECT_LE(seen->drift, kRows / 4);
}

}  // namespace
}  // namespace weir
