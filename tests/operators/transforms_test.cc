// map, filter and flat_map, called by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "operators/transforms/filter.h"
#include "operators/transforms/flat_map.h"
#include "operators/transforms/map.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;

struct Word {
  std::string_view text;
  int64_t number = 0;
  BOOST_DESCRIBE_CLASS(Word, (), (text, number), (), ())
};

// Rows ("w0", 0), ("w1", 1), ... at times 100, 101, ...
BatchPtr Words(size_t n, bool keyed = false) {
  auto batch = std::make_unique<Batch<Word>>();
  SlabArena arena;
  std::vector<uint64_t> hashes;
  for (size_t i = 0; i < n; ++i) {
    std::string text = "w" + std::to_string(i);
    batch->AddViewBytes(text.size());
    batch->Add({arena.Copy(text), static_cast<int64_t>(i)}, 100 + static_cast<int64_t>(i));
    hashes.push_back(i);
  }
  arena.Release(batch->slabs());
  if (keyed) batch->set_key_hashes(hashes);
  return batch;
}

template <class Op>
void Feed(Op& op, BatchPtr batch, RecordingOutput& out) {
  auto progress = op.Process(0, std::move(batch), out);
  ASSERT_TRUE(progress.ok()) << progress.status();
  while (*progress == Progress::kMoreOutput) {
    progress = op.Resume(out);
    ASSERT_TRUE(progress.ok()) << progress.status();
  }
  ASSERT_EQ(*progress, Progress::kDone);
}

template <class In, class Out, class Fn>
MapOperator<In, Out, Fn> MakeMap(Fn fn) {
  return MapOperator<In, Out, Fn>(fn);
}
template <class In, class Out, class Fn>
FlatMapOperator<In, Out, Fn> MakeFlatMap(Fn fn) {
  return FlatMapOperator<In, Out, Fn>(fn);
}

TEST(MapTest, OneRowOutForEachRowInWithItsTime) {
  RecordingOutput out;
  auto op = MakeMap<Word, int64_t>([](const Word& w) { return w.number * 2; });
  Feed(op, Words(3, true), out);
  EXPECT_THAT(out.Rows<int64_t>(), ElementsAre(0, 2, 4));
  ASSERT_EQ(out.emitted.size(), 1u);
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(100, 101, 102));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), IsEmpty());
  EXPECT_TRUE(out.emitted[0].batch->slabs().empty()) << "numbers keep no memory alive";
}

TEST(MapTest, OutputsMayPointIntoTheInput) {
  RecordingOutput out;
  auto op = MakeMap<Word, std::string_view>([](const Word& w) { return w.text.substr(1); });
  Feed(op, Words(3), out);
  EXPECT_THAT(out.Rows<std::string_view>(), ElementsAre("0", "1", "2"));
  EXPECT_EQ(out.emitted[0].batch->view_bytes(), 3u);
}

TEST(MapTest, TheArenaKeepsNewBytes) {
  RecordingOutput out;
  auto op = MakeMap<Word, Word>([](const Word& w, SlabArena& arena) -> StatusOr<Word> {
    return Word{arena.Copy(std::string(w.text) + "!"), w.number};
  });
  Feed(op, Words(2), out);
  EXPECT_EQ(out.Rows<Word>()[1].text, "w1!");
}

TEST(MapTest, ARowThatFailsIsRejectedAndLeavesNothing) {
  RecordingOutput out;
  auto op = MakeMap<Word, int64_t>([](const Word& w) -> StatusOr<int64_t> {
    if (w.number == 1) return absl::InvalidArgumentError("one is bad");
    if (w.number == 2) throw std::runtime_error("two is thrown");
    if (w.number == 3) throw 3;
    if (w.number == 4) return absl::InvalidArgumentError("");
    return w.number;
  });
  Feed(op, Words(6), out);
  EXPECT_THAT(out.Rows<int64_t>(), ElementsAre(0, 5));
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(100, 105));
  ASSERT_EQ(out.rejected.size(), 4u);
  EXPECT_EQ(out.rejected[0].error, "one is bad");
  EXPECT_EQ(out.rejected[0].record, R"({"text":"w1","number":1})");
  EXPECT_EQ(out.rejected[0].time, 101);
  EXPECT_EQ(out.rejected[1].error, "two is thrown");
  EXPECT_THAT(out.rejected[2].error, HasSubstr("no std::exception"));
  EXPECT_FALSE(out.rejected[3].error.empty());
}

TEST(MapTest, ARejectedEventIsItsLineByteForByte) {
  RecordingOutput out;
  auto op = MakeMap<Event, Event>(
      [](const Event&) -> StatusOr<Event> { return absl::InvalidArgumentError("no"); });
  auto batch = std::make_unique<Batch<Event>>();
  Event event;
  event.payload = "{ \"a\" : \xff }";
  batch->Add(event, 5);
  Feed(op, std::move(batch), out);
  ASSERT_EQ(out.rejected.size(), 1u);
  EXPECT_EQ(out.rejected[0].record, "{ \"a\" : \xff }");
  EXPECT_THAT(out.emitted, IsEmpty());
}

TEST(MapTest, FewBytesOfALargeSlabAreCopiedOut) {
  RecordingOutput out;
  auto op = MakeMap<Word, std::string_view>([](const Word& w) { return w.text.substr(0, 4); });
  auto batch = std::make_unique<Batch<Word>>();
  SlabPtr slab = CopyToSlab(std::string(1 << 20, 'x'));
  std::weak_ptr<const Slab> watched = slab;
  batch->Add({slab->view(), 1}, 1);
  batch->AddViewBytes(slab->size());
  batch->slabs().Add(std::move(slab));
  Feed(op, std::move(batch), out);
  EXPECT_THAT(out.Rows<std::string_view>(), ElementsAre("xxxx"));
  EXPECT_TRUE(watched.expired());
}

TEST(MapTest, AnEmptyBatchIsNothing) {
  RecordingOutput out;
  auto op = MakeMap<Word, int64_t>([](const Word& w) { return w.number; });
  Feed(op, Words(0), out);
  EXPECT_THAT(out.emitted, IsEmpty());
}

TEST(FilterTest, KeepsWhatTheFunctionAcceptsAndCountsTheRest) {
  OperatorBed bed;
  RecordingOutput out;
  auto fn = [](const Word& w) { return w.number % 2 == 1; };
  FilterOperator<Word, decltype(fn)> op(fn);
  ASSERT_TRUE(op.Open(bed.context).ok());
  Feed(op, Words(5, true), out);
  ASSERT_EQ(out.emitted.size(), 1u);
  EXPECT_EQ(out.Rows<Word>()[1].text, "w3");
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(101, 103));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), ElementsAre(1, 3)) << "still keyed";
  EXPECT_EQ(bed.counters.dropped, 3u);
}

TEST(FilterTest, ABatchThatPassesWholeIsHandedOn) {
  OperatorBed bed;
  RecordingOutput out;
  auto fn = [](const Word&) { return true; };
  FilterOperator<Word, decltype(fn)> op(fn);
  ASSERT_TRUE(op.Open(bed.context).ok());
  BatchPtr batch = Words(5);
  const BatchBase* before = batch.get();
  Feed(op, std::move(batch), out);
  EXPECT_EQ(out.emitted[0].batch.get(), before);
  EXPECT_EQ(bed.counters.dropped, 0u);
}

TEST(FilterTest, ARowThatFailsIsRejectedNotDropped) {
  OperatorBed bed;
  RecordingOutput out;
  auto fn = [](const Word& w) -> StatusOr<bool> {
    if (w.number == 0) throw std::runtime_error("thrown");
    if (w.number == 1) return absl::InvalidArgumentError("bad");
    return w.number == 2;
  };
  FilterOperator<Word, decltype(fn)> op(fn);
  ASSERT_TRUE(op.Open(bed.context).ok());
  Feed(op, Words(4), out);
  EXPECT_EQ(out.Rows<Word>().size(), 1u);
  EXPECT_EQ(out.rejected.size(), 2u);
  EXPECT_EQ(bed.counters.dropped, 1u);
}

TEST(FlatMapTest, AnyNumberOfRowsOutForEachRowIn) {
  RecordingOutput out;
  auto op = MakeFlatMap<Word, Word>([](const Word& w, Collector<Word>& to) {
    EXPECT_EQ(to.time(), 100 + w.number);
    for (int64_t i = 0; i < w.number; ++i) to.Emit({w.text, i});
    if (w.number == 2) to.Emit({to.Keep("kept" + std::to_string(w.number)), 9}, 7);
  });
  Feed(op, Words(3, true), out);
  const std::vector<Word> rows = out.Rows<Word>();
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0].text, "w1");
  EXPECT_EQ(rows[2].text, "w2");
  EXPECT_EQ(rows[3].text, "kept2");
  EXPECT_THAT(out.emitted[0].batch->times(), ElementsAre(101, 102, 102, 7));
  EXPECT_THAT(out.emitted[0].batch->key_hashes(), IsEmpty());
}

TEST(FlatMapTest, ARowThatFailsMidwayLeavesNoneOfItsOutputs) {
  RecordingOutput out;
  auto op = MakeFlatMap<Word, int64_t>([](const Word& w, Collector<int64_t>& to) -> Status {
    to.Emit(w.number * 10);
    if (w.number == 1) return absl::InvalidArgumentError("bad");
    if (w.number == 2) throw std::runtime_error("thrown");
    to.Emit(w.number * 10 + 1);
    return absl::OkStatus();
  });
  Feed(op, Words(4), out);
  EXPECT_THAT(out.Rows<int64_t>(), ElementsAre(0, 1, 30, 31));
  EXPECT_EQ(out.rejected.size(), 2u);
}

TEST(FlatMapTest, ALargeFanOutComesInPieces) {
  RecordingOutput out;
  auto op = MakeFlatMap<Word, int64_t>([](const Word& w, Collector<int64_t>& to) {
    for (int i = 0; i < 700; ++i) to.Emit(w.number);
  });
  auto progress = op.Process(0, Words(10), out);
  EXPECT_EQ(progress.value(), Progress::kMoreOutput);
  EXPECT_THAT(out.Sizes(), ElementsAre(1400));
  while (progress.value() == Progress::kMoreOutput) progress = op.Resume(out);
  EXPECT_EQ(progress.value(), Progress::kDone);
  EXPECT_EQ(out.Rows<int64_t>().size(), 7000u);
  EXPECT_EQ(op.Resume(out).value(), Progress::kDone) << "nothing more";
  EXPECT_EQ(out.Rows<int64_t>().size(), 7000u);
}

}  // namespace
}  // namespace weir
