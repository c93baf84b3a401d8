#include "operators/transforms/keyed_rebatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <map>
#include <random>

#include "operators/transforms/rebatch.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weir::testing::MemorySnapshots;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;
using weir::testing::RestoreFor;

struct Row {
  std::string_view tenant;
  int64_t number = 0;
  std::string_view text;
  BOOST_DESCRIBE_CLASS(Row, (), (tenant, number, text), (), ())
};

struct ByTenant {
  std::string_view operator()(const Row& row) const {
    if (row.tenant == "unknown") throw std::runtime_error("nobody knows this tenant");
    return row.tenant;
  }
};
using Operator = KeyedRebatch<Row, ByTenant>;

size_t RowBytes(size_t text_bytes) { return sizeof(Row) + 16 + 1 + text_bytes; }

// A row of each letter, numbered on; each with so much text.
class Input {
 public:
  BatchPtr operator()(std::string_view tenants, size_t text_bytes = 0) {
    auto batch = std::make_unique<Batch<Row>>();
    SlabArena arena;
    for (char tenant : tenants) {
      const int64_t number = next_++;
      batch->Add({arena.Copy(std::string(1, tenant)), number,
                  arena.Copy(std::string(text_bytes, 'a' + number % 26))},
                 number);
    }
    batch->AddViewBytes(tenants.size() * (1 + text_bytes));
    arena.Release(batch->slabs());
    return batch;
  }
  int64_t next() const { return next_; }

 private:
  int64_t next_ = 0;
};

// "a0,2" for a batch with rows 0 and 2 of tenant a.
std::vector<std::string> Batches(const RecordingOutput& out) {
  std::vector<std::string> texts;
  for (const auto& emitted : out.emitted) {
    std::string text;
    for (const Row& row : Batch<Row>::Of(std::as_const(*emitted.batch)).values()) {
      text += text.empty() ? std::string(row.tenant) : ",";
      text += std::to_string(row.number);
    }
    texts.push_back(text);
  }
  return texts;
}

class KeyedRebatchTest : public ::testing::Test {
 protected:
  void Start(RebatchOptions options) {
    op_ = std::make_unique<Operator>(options, ByTenant());
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  void Process(BatchPtr batch) {
    EXPECT_EQ(op_->Process(0, std::move(batch), out_).value(), Progress::kDone);
  }
  void Watermark(Timestamp time) {
    EXPECT_EQ(op_->OnWatermark(time, out_).value(), Progress::kDone);
  }
  Timestamp Passed() { return op_->OutputWatermark(kMaxTimestamp - 1); }
  void End() { EXPECT_EQ(op_->Drain(DrainReason::kEndOfInput, out_).value(), Progress::kDone); }
  void Advance(Duration by) {
    bed_.clock.now += by;
    EXPECT_TRUE(bed_.timers.FireDue(bed_.clock.now, *op_, out_));
  }
  StateSnapshot Freeze() {
    EXPECT_EQ(op_->Drain(DrainReason::kBarrier, out_).value(), Progress::kDone);
    auto frozen = op_->Freeze(1);
    return frozen ? frozen->Write(store_).value() : StateSnapshot();
  }

  Input input_;
  MemorySnapshots store_;
  OperatorBed bed_;
  RecordingOutput out_;
  std::unique_ptr<Operator> op_;
};

TEST_F(KeyedRebatchTest, EachKeyHasBatchesOfItsOwn) {
  Start({.rows = 2});
  Process(input_("ababca"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3"));
  Process(input_("c"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3", "c4,6"));
  End();
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3", "c4,6", "a5"));
  for (const auto& emitted : out_.emitted) {
    const std::string_view tenant = Batch<Row>::Of(*emitted.batch)[0].tenant;
    for (uint64_t hash : emitted.batch->key_hashes()) EXPECT_EQ(hash, Hash128(tenant).high);
    EXPECT_EQ(emitted.batch->times()[0], Batch<Row>::Of(*emitted.batch)[0].number);
  }
}

TEST_F(KeyedRebatchTest, TheDelayIsEachBatchesOwn) {
  Start({.rows = 100, .delay = Milliseconds(10)});
  Process(input_("a"));
  Advance(Milliseconds(6));
  Process(input_("ba"));
  Advance(Milliseconds(4));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2"));
  Advance(Milliseconds(5));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2"));
  Advance(Milliseconds(1));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1"));
  Advance(Hours(1));
  EXPECT_EQ(out_.emitted.size(), 2u);
  EXPECT_THAT(bed_.timers.delay, IsEmpty());
}

TEST_F(KeyedRebatchTest, AKeyThatFillsBatchAfterBatchLeavesNoHeapOfTimers) {
  Start({.rows = 1, .delay = Hours(1)});
  for (int i = 0; i < 100; ++i) Process(input_("a"));
  EXPECT_EQ(bed_.timers.delay.size(), 1u);
}

TEST_F(KeyedRebatchTest, BeyondTheNumberOfOpenBatchesTheOldestGoesOut) {
  Start({.rows = 100, .open_batches = 2});
  Process(input_("abacb"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2"));
  Process(input_("a"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,4"));
}

TEST_F(KeyedRebatchTest, BeyondTheBytesOfOpenBatchesTheFullestGoesOut) {
  Start({.rows = 100, .open_bytes = 4 * RowBytes(50)});
  Process(input_("abcb", 50));
  EXPECT_THAT(Batches(out_), IsEmpty());
  Process(input_("a", 60));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,4"));
}

TEST_F(KeyedRebatchTest, ABatchHasNoMoreThanItsBytes) {
  Start({.rows = 0, .bytes = 3 * RowBytes(10)});
  Process(input_("aabaaa", 10));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,1,3"));
  Process(input_("b", 120));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,1,3", "b2"));
  End();
  EXPECT_THAT(Batches(out_), ElementsAre("a0,1,3", "b2", "a4,5", "b6"));
}

TEST_F(KeyedRebatchTest, AHugeRowIsABatchOfItsOwnAndIsNotCopied) {
  Start({.rows = 100, .bytes = 64 << 10});
  Process(input_("ab"));
  BatchPtr huge = input_("a", 1 << 20);
  const char* bytes = Batch<Row>::Of(*huge)[0].text.data();
  Process(std::move(huge));
  EXPECT_THAT(Batches(out_), ElementsAre("a0", "a2"));
  EXPECT_EQ(Batch<Row>::Of(*out_.emitted[1].batch)[0].text.data(), bytes);
  End();
  EXPECT_THAT(Batches(out_), ElementsAre("a0", "a2", "b1"));
}

TEST_F(KeyedRebatchTest, ARareKeyDoesNotHoldTheMemoryItsRowsWereReadInto) {
  Start({.rows = 100});
  BatchPtr batch = input_("abbb", 100'000);
  std::weak_ptr<const Slab> slab = batch->slabs().slabs()[0];
  BatchPtr rest = batch->Clone();
  rest->Retain(std::vector<uint8_t>{1, 0, 0, 0});
  batch.reset();
  Process(std::move(rest));
  EXPECT_TRUE(slab.expired());
}

TEST_F(KeyedRebatchTest, AWatermarkWaitsForTheRowsInFrontOfItOfEveryKey) {
  Start({.rows = 2, .delay = Milliseconds(10)});
  Watermark(1);
  EXPECT_EQ(Passed(), 1);
  Process(input_("a"));
  Watermark(2);
  Process(input_("b"));
  Watermark(3);
  Process(input_("b"));  // b goes out, a stays
  EXPECT_EQ(Passed(), 1);
  Process(input_("ca"));  // a goes out; c came behind watermark 3
  EXPECT_EQ(Passed(), 3);
  Watermark(4);
  EXPECT_EQ(Passed(), 3);
  Advance(Milliseconds(10));
  EXPECT_EQ(Passed(), 4);
}

TEST_F(KeyedRebatchTest, ARowWithoutAKeyIsRejectedAndHoldsNothingUp) {
  Start({.rows = 2});
  auto batch = std::make_unique<Batch<Row>>();
  batch->Add({"a", 0}, 0);
  batch->Add({"unknown", 1}, 17);
  batch->Add({"a", 2}, 0);
  Process(std::move(batch));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2"));
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("nobody knows"));
  EXPECT_THAT(out_.rejected[0].record, HasSubstr(R"("number":1)"));
  EXPECT_EQ(out_.rejected[0].time, 17);
  Watermark(1);
  EXPECT_EQ(Passed(), 1);
}

TEST_F(KeyedRebatchTest, WhatIsDueAtOnceGoesOutInPortions) {
  Start({.rows = 10, .open_batches = 1000});
  std::string tenants;
  for (int c = 1; c < 256; ++c) tenants.push_back(static_cast<char>(c));
  Process(input_(tenants));
  size_t calls = 1;
  Progress progress = op_->Drain(DrainReason::kEndOfInput, out_).value();
  for (; progress == Progress::kMoreOutput; ++calls) progress = op_->Resume(out_).value();
  EXPECT_EQ(progress, Progress::kDone);
  EXPECT_GT(calls, 2u);
  EXPECT_EQ(out_.emitted.size(), tenants.size());
}

TEST_F(KeyedRebatchTest, EmptyInputMakesNothing) {
  Start({.rows = 10});
  Process(std::make_unique<Batch<Row>>());
  Watermark(5);
  EXPECT_EQ(Passed(), 5);
  EXPECT_TRUE(Freeze().format.empty());
  End();
  EXPECT_THAT(out_.emitted, IsEmpty());
}

TEST_F(KeyedRebatchTest, AFrozenBatchGoesOnToGrowAndTheSnapshotDoesNot) {
  Start({.rows = 3});
  Process(input_("ab"));
  EXPECT_EQ(op_->Drain(DrainReason::kBarrier, out_).value(), Progress::kDone);
  auto frozen = op_->Freeze(1);
  Process(input_("a"));
  auto later = op_->Freeze(2);
  Process(input_("a"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2,3"));
  for (auto& [snapshot, rows] : {std::pair(&frozen, 2u), std::pair(&later, 3u)}) {
    OperatorBed bed;
    bed.restore = RestoreFor(0, 1, {(*snapshot)->Write(store_).value()}, store_);
    Operator restored({.rows = 3}, ByTenant());
    ASSERT_TRUE(restored.Open(bed.context).ok());
    RecordingOutput out;
    EXPECT_EQ(restored.Drain(DrainReason::kEndOfInput, out).value(), Progress::kDone);
    EXPECT_EQ(out.Rows<Row>().size(), rows);
  }
}

TEST_F(KeyedRebatchTest, GoesOnWhereARebatchWithoutAKeyHasStopped) {
  OperatorBed earlier_bed;
  RebatchOperator earlier({.rows = 100}, MakeRowCodec<Row>());
  ASSERT_TRUE(earlier.Open(earlier_bed.context).ok());
  EXPECT_TRUE(earlier.Process(0, input_("abab"), out_).ok());
  bed_.restore = RestoreFor(0, 1, {earlier.Freeze(1)->Write(store_).value()}, store_);
  Start({.rows = 3});
  Process(input_("b"));
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3"));
}

TEST_F(KeyedRebatchTest, WhatWasRestoredGoesAtOnceAndInFrontOfABarrier) {
  Start({.rows = 10});
  Process(input_("ababa"));
  bed_.restore = RestoreFor(0, 1, {Freeze()}, store_);
  bed_.timers = {};
  const RebatchOptions options{.rows = 2, .delay = Seconds(60)};
  Start(options);
  Advance(0);
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3", "a4"));
  Process(input_("b"));
  EXPECT_EQ(out_.emitted.size(), 3u) << "what comes behind them waits as ever";

  out_.Clear();
  Start(options);
  Watermark(7);
  EXPECT_EQ(Passed(), 7) << "it has no rows in front of it any more";
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3", "a4"));

  out_.Clear();
  Start(options);
  EXPECT_TRUE(Freeze().format.empty()) << "nothing is open";
  EXPECT_THAT(Batches(out_), ElementsAre("a0,2", "b1,3", "a4"));
}

TEST_F(KeyedRebatchTest, WhatWouldGrowOrWaitForEverIsRefused) {
  auto error = [](RebatchOptions options) { return std::string(ValidateByKey(options).message()); };
  EXPECT_THAT(error({.delay = 0}), HasSubstr("for ever"));
  EXPECT_THAT(error({.open_batches = 0}), HasSubstr("open_batches"));
  EXPECT_THAT(error({.open_bytes = 0}), HasSubstr("open_bytes"));
  EXPECT_THAT(error({.rows = 0, .bytes = 0}), HasSubstr("neither rows nor bytes"));
  EXPECT_TRUE(ValidateByKey({}).ok());
}

// Several instances, as a job would have them, against what must hold of any of them.
class Instances {
 public:
  Instances(RebatchOptions options, int parallelism) : options_(options) {
    Make(parallelism, std::vector<StateSnapshot>());
  }

  void Process(BatchPtr batch) {
    std::vector<uint16_t> targets;
    for (const Row& row : Batch<Row>::Of(*batch).values()) {
      targets.push_back(
          SubtaskOf(KeyGroupOf(Hash128(row.tenant).high), static_cast<int>(instances_.size())));
    }
    std::vector<BatchPtr> parts(instances_.size());
    batch->Scatter(targets, parts);
    for (size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] == nullptr) continue;
      Instance& to = *instances_[i];
      to.received += parts[i]->rows();
      ASSERT_TRUE(to.op->Process(0, std::move(parts[i]), to.out).ok());
      Check(to);
    }
  }
  void Watermark(Timestamp time) {
    for (auto& to : instances_) {
      to->watermarks.emplace(time, to->received);
      ASSERT_TRUE(to->op->OnWatermark(time, to->out).ok());
      Check(*to);
    }
  }
  void Advance(Duration by) {
    for (auto& to : instances_) {
      to->bed.clock.now += by;
      while (!to->bed.timers.FireDue(to->bed.clock.now, *to->op, to->out)) Finish(*to);
      Check(*to);
    }
  }
  // A checkpoint, and what comes after it is forgotten.
  void Restart(int parallelism) {
    std::vector<StateSnapshot> snapshots;
    for (auto& from : instances_) {
      ASSERT_TRUE(from->op->Drain(DrainReason::kBarrier, from->out).ok());
      Check(*from);
      auto frozen = from->op->Freeze(1);
      snapshots.push_back(frozen ? frozen->Write(store_).value() : StateSnapshot());
      Collect(*from);
    }
    Make(parallelism, snapshots);
  }
  void End() {
    for (auto& from : instances_) {
      if (from->op->Drain(DrainReason::kEndOfInput, from->out).value() != Progress::kDone) {
        Finish(*from);
      }
      Collect(*from);
      EXPECT_EQ(from->op->OutputWatermark(kMaxTimestamp),
                from->watermarks.empty() ? kMinTimestamp : from->watermarks.rbegin()->first);
    }
  }
  std::map<char, std::vector<int64_t>> rows;  // by tenant, as they came

 private:
  struct Instance {
    Instance(int subtask, int parallelism) : bed(subtask, parallelism) {}
    OperatorBed bed;
    RecordingOutput out;
    std::unique_ptr<Operator> op;
    size_t received = 0;
    size_t emitted = 0;
    std::map<Timestamp, size_t> watermarks;  // with the rows received before each
  };

  void Make(int parallelism, const std::vector<StateSnapshot>& snapshots) {
    instances_.clear();
    for (int i = 0; i < parallelism; ++i) {
      auto& made = *instances_.emplace_back(std::make_unique<Instance>(i, parallelism));
      if (!snapshots.empty()) made.bed.restore = RestoreFor(i, parallelism, snapshots, store_);
      made.op = std::make_unique<Operator>(options_, ByTenant());
      ASSERT_TRUE(made.op->Open(made.bed.context).ok());
    }
  }
  static void Finish(Instance& of) {
    while (of.op->Resume(of.out).value() == Progress::kMoreOutput) {
    }
  }
  void Check(Instance& of) {
    size_t highest_received = 0;
    const Timestamp passed = of.op->OutputWatermark(kMaxTimestamp);
    for (const auto& [watermark, received] : of.watermarks) {
      if (watermark <= passed) highest_received = received;
    }
    // Rows that came in front of a watermark that has gone on are out; more may be.
    size_t out = of.emitted;
    for (const auto& emitted : of.out.emitted) out += emitted.batch->rows();
    ASSERT_GE(out, highest_received);
  }
  void Collect(Instance& from) {
    for (const auto& emitted : from.out.emitted) {
      const auto values = Batch<Row>::Of(*emitted.batch).values();
      ASSERT_LE(values.size(), options_.rows);
      for (const Row& row : values) {
        ASSERT_EQ(row.tenant, values[0].tenant);
        rows[row.tenant[0]].push_back(row.number);
      }
    }
    from.emitted += from.out.Rows<Row>().size();
    from.out.Clear();
  }

  const RebatchOptions options_;
  MemorySnapshots store_;
  std::vector<std::unique_ptr<Instance>> instances_;
};

TEST(KeyedRebatchRandomTest, EveryRowOnceInOrderPerKeyAcrossRestartsAtAnyParallelism) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    auto upto = [&](uint32_t n) { return random() % n; };
    RebatchOptions options{.rows = 1 + upto(20),
                           .bytes = upto(3) == 0 ? 0 : 500 + upto(3000),
                           .delay = Milliseconds(1 + upto(20)),
                           .open_batches = 1 + upto(12),
                           .open_bytes = 1000 + upto(20'000)};
    Instances instances(options, 1 + static_cast<int>(upto(4)));
    Input input;
    std::map<char, std::vector<int64_t>> wanted;
    Timestamp watermark = 0;
    for (int step = 0; step < 150; ++step) {
      switch (upto(8)) {
        case 0:
          instances.Watermark(watermark += upto(5));
          break;
        case 1:
          instances.Advance(Milliseconds(upto(15)));
          break;
        case 2:
          if (upto(3) == 0) instances.Restart(1 + static_cast<int>(upto(5)));
          break;
        default: {
          std::string tenants;
          for (size_t n = upto(40); n > 0; --n) {
            // One tenant has half of all rows.
            tenants.push_back(upto(2) == 0 ? 'a' : static_cast<char>('a' + upto(20)));
          }
          int64_t number = input.next();
          for (char tenant : tenants) wanted[tenant].push_back(number++);
          instances.Process(input(tenants, upto(10) == 0 ? upto(5000) : upto(50)));
        }
      }
      ASSERT_FALSE(::testing::Test::HasFailure()) << "seed " << seed;
    }
    instances.End();
    ASSERT_EQ(instances.rows, wanted) << "seed " << seed;
  }
}

}  // namespace
}  // namespace weir
