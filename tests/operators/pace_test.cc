// Those who choose how large their batches are heed what their Output says of it.
#include "operators/pace.h"

#include <gtest/gtest.h>

#include <numeric>

#include "operators/transforms/rebatch.h"
#include "tests/operators/line_source_harness.h"

namespace weir {
namespace {

using testing::OperatorBed;
using testing::RecordingOutput;
using testing::SourceRun;

class PacedOutput final : public Output, public Pace {
 public:
  void Emit(int port, BatchPtr batch) override {
    if (batch->empty()) return;
    bytes.push_back(batch->bytes());
    recorded.Emit(port, std::move(batch));
  }
  void Reject(std::string_view error, std::string_view record, Timestamp time) override {
    recorded.Reject(error, record, time);
  }
  size_t batch_bytes() const override { return wanted; }

  size_t wanted = kAnyBatchBytes;
  std::vector<size_t> bytes;  // of each batch
  RecordingOutput recorded;
};

class PaceOfAFileSource : public testing::FileSourceFixture {};

TEST_F(PaceOfAFileSource, ItReadsSmallBatchesAndMissesNothing) {
  constexpr int kLines = 3000;
  std::string lines;
  for (int i = 0; i < kLines; ++i) lines += testing::EventLine(std::to_string(i), i);
  testing::WriteBytes(Path("a.jsonl"), lines);
  SourceRun run(Options());
  PacedOutput out;
  // What a row weighs is known from the first batch on.
  while (out.bytes.empty()) ASSERT_TRUE(run.source().Poll(out).ok());
  const size_t row_bytes = out.bytes[0] / out.recorded.emitted[0].batch->rows();
  for (const size_t rows : {100, 10, 1}) {
    out.wanted = rows * row_bytes + row_bytes / 2;
    out.bytes.clear();
    ASSERT_TRUE(run.source().Poll(out).ok());
    ASSERT_EQ(out.bytes.size(), 1u);
    EXPECT_EQ(out.recorded.emitted.back().batch->rows(), rows);
  }
  out.wanted = 1;  // less than a row has
  ASSERT_TRUE(run.source().Poll(out).ok());
  EXPECT_EQ(out.recorded.emitted.back().batch->rows(), 1u);
  out.wanted = kAnyBatchBytes;
  for (PollResult polled; polled.kind != PollResult::kFinished;) {
    auto next = run.source().Poll(out);
    ASSERT_TRUE(next.ok());
    polled = *next;
  }
  const std::vector<size_t> sizes = out.recorded.Sizes();
  EXPECT_EQ(std::accumulate(sizes.begin(), sizes.end(), size_t{0}), size_t{kLines});
}

struct Row {
  int64_t number = 0;
  BOOST_DESCRIBE_CLASS(Row, (), (number), (), ())
};

BatchPtr Rows(int64_t first, int64_t count) {
  auto batch = std::make_unique<Batch<Row>>();
  for (int64_t i = first; i < first + count; ++i) batch->Add({i}, i);
  return batch;
}

TEST(PaceOfRebatch, FewerRowsAreEnoughWhereWhatFollowsIsSlow) {
  OperatorBed bed;
  RebatchOperator rebatch({.rows = 100, .bytes = 0}, MakeRowCodec<Row>());
  ASSERT_TRUE(rebatch.Open(bed.context).ok());
  PacedOutput out;
  const size_t row_bytes = Rows(0, 1)->bytes();
  ASSERT_TRUE(rebatch.Process(0, Rows(0, 90), out).ok());
  EXPECT_TRUE(out.bytes.empty());
  // What is open is more than that, and goes with the next row.
  out.wanted = 10 * row_bytes;
  ASSERT_TRUE(rebatch.Process(0, Rows(90, 35), out).ok());
  EXPECT_EQ(out.recorded.Sizes(), (std::vector<size_t>{90, 10, 10, 10}));
  // And is as before when it may be.
  out.wanted = kAnyBatchBytes;
  ASSERT_TRUE(rebatch.Process(0, Rows(125, 95), out).ok());
  EXPECT_EQ(out.recorded.Sizes(), (std::vector<size_t>{90, 10, 10, 10, 100}));
  int64_t expected = 0;
  for (const Row& row : out.recorded.Rows<Row>()) EXPECT_EQ(row.number, expected++);
}

}  // namespace
}  // namespace weir
