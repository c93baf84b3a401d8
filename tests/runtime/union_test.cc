// Whole jobs in which several streams meet in one stage: in one chain and through channels, keyed
// and not, at every parallelism, with failures, stops and restarts between.
#include <gtest/gtest.h>

#include <atomic>
#include <map>

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

constexpr int64_t kFirstOfB = 500;       // the second source's numbers begin here
constexpr int64_t kNumbers = 1'000'000;  // more than there are: each is a key of its own

// Passes rows on and remembers whether one came behind its watermark.
class LateMeter final : public Operator {
 public:
  explicit LateMeter(std::shared_ptr<std::atomic<int64_t>> late) : late_(std::move(late)) {}
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    for (Timestamp time : batch->times()) *late_ += time <= watermark_;
    out.Emit(0, std::move(batch));
    return Progress::kDone;
  }
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output&) override {
    watermark_ = watermark;
    highest = std::max<Timestamp>(highest, watermark == kMaxTimestamp ? 0 : watermark);
    return Progress::kDone;
  }
  static std::atomic<Timestamp> highest;  // watermark before the end, of any instance

 private:
  const std::shared_ptr<std::atomic<int64_t>> late_;
  Timestamp watermark_ = kMinTimestamp;
};
std::atomic<Timestamp> LateMeter::highest = 0;

// a ----> odd ---+--> meter --+
//   \--> even --/            |  keyed
//                b ----------+--> count --> collect
//   a itself, once more -----+
BuiltJob DiamondJob(std::shared_ptr<Shared> shared,
                    const std::shared_ptr<std::atomic<int64_t>>& late) {
  JobBuilder builder("union");
  auto a = builder.From("a", Numbers(shared));
  auto odd = a.Filter("odd", [](const int64_t& v) { return v % 2 != 0; });
  auto even = a.Filter("even", [](const int64_t& v) { return v % 2 == 0; });
  auto b = builder.From("b", Numbers(shared, kFirstOfB));
  auto meter = [&](std::string name, Stream<int64_t> of) {
    return of.Then<int64_t>({.name = std::move(name), .kind = "meter"},
                            [late] { return std::make_unique<LateMeter>(late); });
  };
  meter("meter-all", meter("meter", odd.Union(even)).Union(b, a))
      .KeyBy([](const int64_t& v) { return v; })
      .Process<Row>("count", CountPerKey(kNumbers))
      .Union()
      .To("collect", Collect(shared));
  return *builder.Build();
}

class UnionTest : public testing::NumberJobTest {
 protected:
  UnionTest() : NumberJobTest("union") {
    shared_->per_split = 300;
    job_ = DiamondJob(shared_, late_);
  }

  // Numbers of `a` come twice, those of `b` once more.
  void ExpectAll() {
    std::map<int64_t, int64_t> wanted;
    for (int64_t v = 0; v < kSplits * shared_->per_split; ++v) {
      wanted[v] += 2;
      wanted[v + kFirstOfB] += 1;
    }
    ExpectExactlyOnce(wanted);
    EXPECT_EQ(*late_, 0);
  }

  std::shared_ptr<std::atomic<int64_t>> late_ = std::make_shared<std::atomic<int64_t>>(0);
};

TEST_F(UnionTest, EveryRowOfEveryStreamComesOnceAndNoneBehindItsWatermark) {
  for (int parallelism : {1, 4}) {
    for (bool encode : {false, true}) {
      LateMeter::highest = 0;
      EXPECT_EQ(RunAfresh(parallelism, encode).state, RunState::kFinished);
      ExpectAll();
      // The watermark of a union moves, and ends with the stream that ends first.
      EXPECT_GT(LateMeter::highest, kFirstOfB);
    }
  }
}

TEST_F(UnionTest, ATaskThatFailsCostsNothing) {
  for (int parallelism : {1, 4}) {
    shared_->rows_until_failure = 6'000;
    LocalJobResult result = RunAfresh(parallelism);
    EXPECT_EQ(result.state, RunState::kFinished);
    EXPECT_EQ(result.status.restarts, 1);
    ExpectAll();
  }
}

TEST_F(UnionTest, StopsAndGoesOnAtAnotherParallelism) {
  StopAtTheFirstCommit();
  options_.parallelism = 4;
  EXPECT_EQ(Run().state, RunState::kSuspended);
  options_.parallelism = 1;
  EXPECT_EQ(Run().state, RunState::kSuspended);
  LetItEnd();
  options_.parallelism = 3;
  EXPECT_EQ(Run().state, RunState::kFinished);
  ExpectAll();
}

// Emits numbers on port 0 and odd ones once more on port 1.
class OddOnASide final : public Operator {
 public:
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    BatchPtr odd = batch->Clone();
    std::vector<uint8_t> keep;
    for (int64_t v : Batch<int64_t>::Of(*odd).values()) keep.push_back(v % 2 != 0);
    odd->Retain(keep);
    out.Emit(0, std::move(batch));
    out.Emit(1, std::move(odd));
    return Progress::kDone;
  }
};

TEST_F(UnionTest, SidePortsCanBeReadOrLeftAlone) {
  for (bool read : {true, false}) {
    shared_->committed.clear();
    options_.data_dir = dir_ / (read ? "read" : "unread");
    options_.parallelism = 2;
    JobBuilder builder("side");
    auto numbers =
        builder.From("a", Numbers(shared_)).Then<int64_t>({.name = "odd", .kind = "odd"}, [] {
          return std::make_unique<OddOnASide>();
        });
    auto all = read ? numbers.Union(numbers.Side<int64_t>(1)) : numbers;
    all.Map("row", [](const int64_t& v) { return Row{v, 1}; }).To("collect", Collect(shared_));
    job_ = *builder.Build();
    LocalJobResult result = Run();
    EXPECT_EQ(result.state, RunState::kFinished);
    size_t rows = 0;
    for (const auto& [handle, committed] : shared_->committed) rows += committed.size();
    const size_t numbers_in = kSplits * shared_->per_split;
    EXPECT_EQ(rows, read ? numbers_in * 3 / 2 : numbers_in);
    const auto& counters = result.status.operators[1].completed;
    EXPECT_EQ(counters.dropped, read ? 0 : numbers_in / 2);
    EXPECT_EQ(counters.records_out, rows);
  }
}

}  // namespace
}  // namespace weir
