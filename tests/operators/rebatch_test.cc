#include "operators/transforms/rebatch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <random>
#include <set>

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
  int64_t number = 0;
  std::string_view text;
  BOOST_DESCRIBE_CLASS(Row, (), (number, text), (), ())
};
constexpr size_t kRowBytes = sizeof(Row) + 16;

BatchPtr Rows(int64_t first, size_t n, size_t text_bytes = 0, bool keyed = false) {
  auto batch = std::make_unique<Batch<Row>>();
  SlabArena arena;
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < n; ++i) {
    int64_t number = first + static_cast<int64_t>(i);
    batch->Add({number, arena.Copy(std::string(text_bytes, 'a' + number % 26))}, number);
    hashes.push_back(static_cast<uint64_t>(number) * 0x9e3779b97f4a7c15ULL);
  }
  batch->AddViewBytes(n * text_bytes);
  arena.Release(batch->slabs());
  if (keyed) batch->set_key_hashes(hashes);
  return batch;
}

class RebatchTest : public ::testing::Test {
 protected:
  void Start(RebatchOptions options) {
    op_ = std::make_unique<RebatchOperator>(options, MakeRowCodec<Row>());
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  void Process(BatchPtr batch) {
    EXPECT_EQ(op_->Process(0, std::move(batch), out_).value(), Progress::kDone);
  }
  void Watermark(Timestamp time) {
    EXPECT_EQ(op_->OnWatermark(time, out_).value(), Progress::kDone);
    input_watermark_ = time;
  }
  Timestamp Passed() { return op_->OutputWatermark(input_watermark_); }
  void End() { EXPECT_EQ(op_->Drain(DrainReason::kEndOfInput, out_).value(), Progress::kDone); }
  void Advance(Duration by) {
    bed_.clock.now += by;
    EXPECT_TRUE(bed_.timers.FireDue(bed_.clock.now, *op_, out_));
  }
  // All rows so far are 0, 1, ... n-1, in order.
  void ExpectRows(int64_t n) {
    int64_t expected = 0;
    for (const Row& row : out_.Rows<Row>()) ASSERT_EQ(row.number, expected++);
    EXPECT_EQ(expected, n);
  }

  OperatorBed bed_;
  RecordingOutput out_;
  std::unique_ptr<RebatchOperator> op_;
  Timestamp input_watermark_ = kMinTimestamp;
};

TEST_F(RebatchTest, BatchesHaveExactlySoManyRows) {
  Start({.rows = 10, .bytes = 0});
  Process(Rows(0, 7));
  EXPECT_THAT(out_.Sizes(), IsEmpty());
  Process(Rows(7, 7));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10));
  Process(Rows(14, 6));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 10)) << "full as soon as the last row is there";
  Process(Rows(20, 35));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 10, 10, 10, 10)) << "one batch may make several";
  End();
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 10, 10, 10, 10, 5));
  ExpectRows(55);
}

TEST_F(RebatchTest, ABatchThatFitsIsHandedOnWithoutACopy) {
  Start({.rows = 100, .bytes = 0});
  BatchPtr batch = Rows(0, 100, 10);
  const Row* before = &Batch<Row>::Of(*batch)[0];
  Process(std::move(batch));
  ASSERT_EQ(out_.emitted.size(), 1u);
  EXPECT_EQ(&Batch<Row>::Of(*out_.emitted[0].batch)[0], before);
}

TEST_F(RebatchTest, BatchesStayBelowTheBytes) {
  Start({.rows = 0, .bytes = 10 * (kRowBytes + 100) + 50});
  Process(Rows(0, 25, 100));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 10));
  End();
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 10, 5));
  ExpectRows(25);
}

TEST_F(RebatchTest, ARowBiggerThanTheBytesIsABatchOfItsOwn) {
  Start({.rows = 0, .bytes = 1000});
  Process(Rows(0, 2));
  Process(Rows(2, 2, 5000));
  EXPECT_THAT(out_.Sizes(), ElementsAre(2, 1, 1)) << "a full batch does not wait";
  Process(Rows(4, 3));
  Process(Rows(7, 1, 5000));
  EXPECT_THAT(out_.Sizes(), ElementsAre(2, 1, 1, 3, 1));
  ExpectRows(8);
}

TEST_F(RebatchTest, AHugeBatchInOneRowBatches) {
  Start({.rows = 1, .bytes = 0});
  Process(Rows(0, 200'000));
  EXPECT_EQ(out_.emitted.size(), 200'000u);
  ExpectRows(200'000);
}

TEST_F(RebatchTest, AnOpenBatchGoesWhenItsDelayHasPassed) {
  Start({.rows = 10, .bytes = 0, .delay = Milliseconds(5)});
  Process(Rows(0, 1));
  Advance(Milliseconds(3));
  Process(Rows(1, 1));
  Advance(Milliseconds(1));
  EXPECT_THAT(out_.Sizes(), IsEmpty());
  Advance(Milliseconds(1));
  EXPECT_THAT(out_.Sizes(), ElementsAre(2)) << "counted from its first row";
  Advance(Seconds(10));
  EXPECT_THAT(out_.Sizes(), ElementsAre(2));
}

TEST_F(RebatchTest, AnEarlierBatchsTimerDoesNotCutALaterOneShort) {
  Start({.rows = 10, .bytes = 0, .delay = Milliseconds(5)});
  Process(Rows(0, 1));
  Advance(Milliseconds(4));
  Process(Rows(1, 11));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10));
  Advance(Milliseconds(1));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10));
  Advance(Milliseconds(4));
  EXPECT_THAT(out_.Sizes(), ElementsAre(10, 2));
}

TEST_F(RebatchTest, WithoutADelayAnOpenBatchWaits) {
  Start({.rows = 10, .bytes = 0, .delay = 0});
  Process(Rows(0, 1));
  EXPECT_THAT(bed_.timers.delay, IsEmpty());
}

TEST_F(RebatchTest, AWatermarkPassesAtOnceWhileNothingIsHeld) {
  Start({.rows = 2, .bytes = 0});
  EXPECT_EQ(Passed(), kMinTimestamp);
  Watermark(5);
  EXPECT_EQ(Passed(), 5);
  Process(Rows(0, 2));
  Watermark(7);
  EXPECT_EQ(Passed(), 7);
}

TEST_F(RebatchTest, AWatermarkGoesOnWhenTheRowsBeforeItHave) {
  Start({.rows = 4, .bytes = 0});
  Process(Rows(0, 1));
  Watermark(10);
  Process(Rows(1, 1));
  Watermark(20);
  Watermark(21);
  EXPECT_EQ(Passed(), kMinTimestamp);
  Process(Rows(2, 3));
  EXPECT_EQ(Passed(), 21) << "the open row came after it";
  Watermark(30);
  EXPECT_EQ(Passed(), 21);
  End();
  EXPECT_EQ(Passed(), 30);
  Watermark(kMaxTimestamp);
  EXPECT_EQ(Passed(), kMaxTimestamp);
}

TEST_F(RebatchTest, AWatermarkNeverFallsAndNeverOvertakesARow) {
  std::mt19937 random(5);
  Start({.rows = 7, .bytes = 0, .delay = Milliseconds(3)});
  Timestamp last = Passed();
  int64_t next = 0;
  size_t checked = 0;
  std::vector<std::pair<Timestamp, int64_t>> sent;  // watermark, rows before it
  for (int step = 0; step < 3000; ++step) {
    switch (random() % 3) {
      case 0: {
        size_t n = random() % 12;
        Process(Rows(next, n));
        next += static_cast<int64_t>(n);
        break;
      }
      case 1:
        Watermark(input_watermark_ == kMinTimestamp ? 0 : input_watermark_ + random() % 3);
        sent.emplace_back(input_watermark_, next);
        break;
      case 2:
        Advance(Milliseconds(1));
    }
    const Timestamp passed = Passed();
    ASSERT_GE(passed, last);
    last = passed;
    int64_t emitted = 0;
    for (size_t size : out_.Sizes()) emitted += static_cast<int64_t>(size);
    for (const auto& [watermark, rows] : sent) {
      // A watermark that has passed has all of its rows in front of it, and one whose rows have all
      // gone is not held back.
      if (rows > emitted && watermark > passed) ++checked;
      ASSERT_TRUE(rows > emitted || passed >= watermark);
    }
    // Of equal watermarks the first counts: those behind it say nothing new.
    auto first =
        std::find_if(sent.begin(), sent.end(), [&](const auto& s) { return s.first == passed; });
    ASSERT_TRUE(first == sent.end() || first->second <= emitted);
  }
  EXPECT_GT(checked, 0u);
}

TEST_F(RebatchTest, ManyTinyBatchesDoNotKeepASlabEach) {
  Start({.rows = 0, .bytes = 100 << 20, .delay = 0});
  for (int64_t i = 0; i < 20'000; ++i) Process(Rows(i, 1, 20));
  End();
  ASSERT_EQ(out_.emitted.size(), 1u);
  EXPECT_LT(out_.emitted[0].batch->slabs().slabs().size(), 15'000u);
  ExpectRows(20'000);
}

TEST_F(RebatchTest, WhatStaysOpenDoesNotHoldOnToALargeSlab) {
  Start({.rows = 4, .bytes = 0});
  SlabPtr slab = CopyToSlab(std::string(1 << 20, 'x'));
  std::weak_ptr<const Slab> watched = slab;
  auto batch = std::make_unique<Batch<Row>>();
  for (int64_t i = 0; i < 5; ++i) batch->Add({i, slab->view().substr(i * 10, 10)}, i);
  batch->AddViewBytes(50);
  batch->slabs().Add(std::move(slab));
  Process(std::move(batch));
  EXPECT_FALSE(watched.expired()) << "the batch that was emitted has it";
  out_.Clear();
  EXPECT_TRUE(watched.expired());
}

TEST_F(RebatchTest, OptionsWithoutALimitAreRefused) {
  RebatchOperator op({.rows = 0, .bytes = 0}, MakeRowCodec<Row>());
  EXPECT_EQ(op.Open(bed_.context).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(Validate({.delay = -1}).ok());
  EXPECT_EQ(ToText(RebatchOptions{.rows = 10, .bytes = 4 << 20, .delay = Milliseconds(5)}),
            "rows=10 bytes=4MiB delay=5ms");
}

// --- restarts ---

StateSnapshot Freeze(Operator& op, SnapshotWriter& writer) {
  std::unique_ptr<Frozen> frozen = op.Freeze(1);
  return frozen == nullptr ? StateSnapshot{} : frozen->Write(writer).value();
}

TEST_F(RebatchTest, AnOpenBatchOutlivesACheckpoint) {
  for (size_t text_bytes : {0, 5000}) {  // in line, and as a file
    out_.Clear();
    MemorySnapshots store;
    Start({.rows = 10, .bytes = 0});
    EXPECT_EQ(op_->Freeze(1), nullptr) << "nothing is open";
    Process(Rows(0, 7, text_bytes));
    EXPECT_EQ(op_->Drain(DrainReason::kBarrier, out_).value(), Progress::kDone);
    EXPECT_THAT(out_.Sizes(), IsEmpty());
    std::unique_ptr<Frozen> frozen = op_->Freeze(1);
    Process(Rows(100, 50));  // after the barrier: not in the snapshot
    out_.Clear();
    StatusOr<StateSnapshot> snapshot = frozen->Write(store);
    ASSERT_TRUE(snapshot.ok());
    EXPECT_EQ(store.files(), text_bytes == 0 ? 0u : 1u);

    OperatorBed bed;
    bed.restore = RestoreFor(0, 1, {*snapshot}, store);
    RebatchOperator op({.rows = 10, .bytes = 0, .delay = Milliseconds(5)}, MakeRowCodec<Row>());
    ASSERT_TRUE(op.Open(bed.context).ok());
    ASSERT_TRUE(op.OnWatermark(50, out_).ok());
    EXPECT_THAT(out_.Sizes(), ElementsAre(7)) << "in front of whatever comes";
    EXPECT_EQ(op.OutputWatermark(50), 50);
    ASSERT_TRUE(op.Process(0, Rows(7, 4, text_bytes), out_).ok());
    EXPECT_THAT(out_.Sizes(), ElementsAre(7));
    bed.clock.now += Milliseconds(5);
    EXPECT_TRUE(bed.timers.FireDue(bed.clock.now, op, out_));
    EXPECT_THAT(out_.Sizes(), ElementsAre(7, 4));
    ExpectRows(11);
    EXPECT_EQ(out_.Rows<Row>()[8].text, std::string(text_bytes, 'a' + 8));
  }
}

TEST_F(RebatchTest, ARestoredBatchGoesAtOnceAndInFrontOfABarrier) {
  MemorySnapshots store;
  Start({.rows = 10, .bytes = 0});
  Process(Rows(0, 7));
  OperatorBed bed;
  bed.restore = RestoreFor(0, 1, {Freeze(*op_, store)}, store);
  RebatchOperator op({.rows = 3, .bytes = 0, .delay = Milliseconds(5)}, MakeRowCodec<Row>());
  ASSERT_TRUE(op.Open(bed.context).ok());
  EXPECT_TRUE(bed.timers.FireDue(bed.clock.now, op, out_));
  EXPECT_THAT(out_.Sizes(), ElementsAre(3, 3, 1));

  out_.Clear();
  RebatchOperator other({.rows = 3, .bytes = 0}, MakeRowCodec<Row>());
  ASSERT_TRUE(other.Open(bed.context).ok());
  EXPECT_EQ(other.Drain(DrainReason::kBarrier, out_).value(), Progress::kDone);
  EXPECT_THAT(out_.Sizes(), ElementsAre(3, 3, 1));
  EXPECT_EQ(other.Freeze(2), nullptr) << "nothing is open";
}

TEST_F(RebatchTest, EveryRowIsTakenUpOnceAtAnyParallelism) {
  for (bool keyed : {false, true}) {
    for (int before : {1, 2, 3, 5, 8}) {
      for (int after : {1, 2, 3, 4, 7, 16}) {
        MemorySnapshots store;
        std::vector<StateSnapshot> snapshots;
        for (int s = 0; s < before; ++s) {
          OperatorBed bed(s, before);
          RecordingOutput none;
          RebatchOperator op({.rows = 1000, .bytes = 0}, MakeRowCodec<Row>());
          ASSERT_TRUE(op.Open(bed.context).ok());
          // Rows that are keyed lie mostly in others' ranges: a stream that was rebalanced since.
          ASSERT_TRUE(op.Process(0, Rows(s * 100, 10 + s, 3, keyed), none).ok());
          snapshots.push_back(Freeze(op, store));
        }
        std::multiset<int64_t> taken;
        for (int s = 0; s < after; ++s) {
          OperatorBed bed(s, after);
          bed.restore = RestoreFor(s, after, snapshots, store);
          RecordingOutput out;
          RebatchOperator op({.rows = 1000, .bytes = 0}, MakeRowCodec<Row>());
          ASSERT_TRUE(op.Open(bed.context).ok());
          ASSERT_TRUE(op.Drain(DrainReason::kEndOfInput, out).ok());
          for (const Row& row : out.Rows<Row>()) taken.insert(row.number);
        }
        std::multiset<int64_t> expected;
        for (int s = 0; s < before; ++s) {
          for (int i = 0; i < 10 + s; ++i) expected.insert(s * 100 + i);
        }
        EXPECT_EQ(taken, expected) << before << " to " << after << (keyed ? " keyed" : "");
      }
    }
  }
}

TEST_F(RebatchTest, RowsOfAKeyedStreamGoToTheOwnersOfTheirKeyGroups) {
  MemorySnapshots store;
  Start({.rows = 1000, .bytes = 0});
  Process(Rows(0, 200, 3, true));
  const std::vector<StateSnapshot> snapshots = {Freeze(*op_, store)};
  for (int s = 0; s < 3; ++s) {
    OperatorBed bed(s, 3);
    bed.restore = RestoreFor(s, 3, snapshots, store);
    RecordingOutput out;
    RebatchOperator op({.rows = 1000, .bytes = 0}, MakeRowCodec<Row>());
    ASSERT_TRUE(op.Open(bed.context).ok());
    ASSERT_TRUE(op.Drain(DrainReason::kEndOfInput, out).ok());
    ASSERT_EQ(out.emitted.size(), 1u);
    for (uint64_t hash : out.emitted[0].batch->key_hashes()) {
      EXPECT_TRUE(bed.context.key_groups.Contains(KeyGroupOf(hash)));
    }
  }
}

struct NewerRow {
  std::string text;
  int64_t added = 7;
  BOOST_DESCRIBE_CLASS(NewerRow, (), (text, added), (), ())
};
struct OtherRow {
  std::string number;
  BOOST_DESCRIBE_CLASS(OtherRow, (), (number), (), ())
};

TEST_F(RebatchTest, ABatchOfAnOlderSchemaIsReadAndAnIncompatibleOneIsNamed) {
  MemorySnapshots store;
  Start({.rows = 10, .bytes = 0});
  Process(Rows(0, 3, 2));
  OperatorBed bed;
  bed.restore = RestoreFor(0, 1, {Freeze(*op_, store)}, store);
  RebatchOperator newer({.rows = 10, .bytes = 0}, MakeRowCodec<NewerRow>());
  ASSERT_TRUE(newer.Open(bed.context).ok());
  ASSERT_TRUE(newer.Drain(DrainReason::kEndOfInput, out_).ok());
  ASSERT_EQ(out_.Rows<NewerRow>().size(), 3u);
  EXPECT_EQ(out_.Rows<NewerRow>()[2].text, "cc");
  EXPECT_EQ(out_.Rows<NewerRow>()[2].added, 7);

  RebatchOperator other({.rows = 10, .bytes = 0}, MakeRowCodec<OtherRow>());
  Status status = other.Open(bed.context);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("operator 'stage': the open batch of subtask 0 of 1"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("number: was int, is string"));
}

TEST_F(RebatchTest, BrokenSnapshotsAreErrors) {
  MemorySnapshots store;
  Start({.rows = 10, .bytes = 0});
  Process(Rows(0, 3, 2));
  const StateSnapshot good = Freeze(*op_, store);
  StateSnapshot torn = good;
  torn.inline_bytes.pop_back();
  StateSnapshot unknown = good;
  unknown.format = "rebatch/99";
  StateSnapshot lost = good;
  lost.files.push_back({"open-batch", "nowhere", 3});
  for (const StateSnapshot& bad : {torn, unknown, lost}) {
    OperatorBed bed;
    bed.restore = RestoreFor(0, 1, {bad}, store);
    RebatchOperator op({.rows = 10, .bytes = 0}, MakeRowCodec<Row>());
    EXPECT_FALSE(op.Open(bed.context).ok());
  }
}

}  // namespace
}  // namespace weir
