#include "operators/transforms/process.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "tests/support/failing_store.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weir::testing::FailingStore;
using weir::testing::HeapStore;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;

struct Flight {
  std::string_view origin;
  int64_t delay = 0;
  BOOST_DESCRIBE_CLASS(Flight, (), (origin, delay), (), ())
};
struct Count {
  std::string_view origin;
  int64_t n = 0;
  BOOST_DESCRIBE_CLASS(Count, (), (origin, n), (), ())
};

BatchPtr Flights(const std::vector<std::pair<std::string, int64_t>>& rows) {
  auto batch = std::make_unique<Batch<Flight>>();
  SlabArena arena;
  Timestamp time = 0;
  for (const auto& [origin, delay] : rows) batch->Add({arena.Copy(origin), delay}, ++time);
  arena.Release(batch->slabs());
  return batch;
}

// Counts flights by origin and remembers delays. A delay of -1 fails after everything was written,
// one of -2 throws there.
struct CountFlights {
  ValueState<int64_t> count;
  MapState<int64_t, int64_t> delays;

  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count, ValueState<int64_t>::Register(store, "count"));
    WEIR_ASSIGN_OR_RETURN(delays, (MapState<int64_t, int64_t>::Register(store, "delays")));
    return absl::OkStatus();
  }
  Status Process(const Flight& flight, ProcessContext<Count>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count.Get(context.key()));
    const int64_t now = before.value_or(0) + 1;
    WEIR_RETURN_IF_ERROR(count.Set(context.key(), now));
    WEIR_RETURN_IF_ERROR(delays.Put(context.key(), flight.delay, context.time()));
    WEIR_ASSIGN_OR_RETURN(auto own, count.Get(context.key()));
    if (own != now) return absl::InternalError("does not see its own write");
    context.Emit({flight.origin, now});
    if (flight.delay == -1) return absl::InvalidArgumentError("bad delay");
    if (flight.delay == -2) throw std::runtime_error("thrown");
    return absl::OkStatus();
  }
};

auto Origin = [](const Flight& f) { return f.origin; };

class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() { bed_.context.keyed = store_.get(); }

  template <class Op>
  void Feed(Op& op, BatchPtr batch) {
    auto progress = op.Process(0, std::move(batch), out_);
    ASSERT_TRUE(progress.ok()) << progress.status();
    while (*progress == Progress::kMoreOutput) {
      progress = op.Resume(out_);
      ASSERT_TRUE(progress.ok()) << progress.status();
    }
  }
  std::vector<std::string> Counts() {
    std::vector<std::string> counts;
    for (const Count& c : out_.Rows<Count>()) {
      counts.push_back(std::string(c.origin) + std::to_string(c.n));
    }
    return counts;
  }

  void FreezeAndRestoreStore() {
    weir::testing::MemorySnapshots snapshots;
    StatusOr<StateSnapshot> snapshot = store_->Freeze(1)->Write(snapshots);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    auto restored =
        MakeHeapKeyedStore({"stage", {}}, weir::testing::RestoreFor(0, 1, {*snapshot}, snapshots));
    ASSERT_TRUE(restored.ok()) << restored.status();
    store_ = *std::move(restored);
    bed_.context.keyed = store_.get();
  }

  OperatorBed bed_;
  std::unique_ptr<KeyedStore> store_ = HeapStore();
  RecordingOutput out_;
};

using Counter = ProcessOperator<Flight, Count, CountFlights, decltype(Origin)>;

TEST_F(ProcessTest, StateIsKeptByKey) {
  Counter op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  Feed(op, Flights({{"JFK", 1}, {"SFO", 2}, {"JFK", 3}}));
  Feed(op, Flights({{"JFK", 4}}));
  EXPECT_THAT(Counts(), ElementsAre("JFK1", "SFO1", "JFK2", "JFK3"));
}

TEST_F(ProcessTest, ARowThatFailsLeavesNeitherOutputNorState) {
  Counter op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  Feed(op, Flights({{"JFK", 5}, {"JFK", -1}, {"JFK", -2}, {"SFO", -1}, {"JFK", 6}}));
  EXPECT_THAT(Counts(), ElementsAre("JFK1", "JFK2"));
  ASSERT_EQ(out_.rejected.size(), 3u);
  EXPECT_EQ(out_.rejected[0].error, "bad delay");
  EXPECT_EQ(out_.rejected[0].record, R"({"origin":"JFK","delay":-1})");
  EXPECT_EQ(out_.rejected[0].time, 2);
  EXPECT_EQ(out_.rejected[1].error, "thrown");

  // States are numbered as they were registered.
  std::vector<int64_t> stored;
  ASSERT_TRUE(store_
                  ->ScanAll(1,
                            [&](std::string_view key, std::string_view sub, std::string_view) {
                              EXPECT_EQ(key, "JFK");
                              EXPECT_TRUE(SubKey<int64_t>::Take(sub, stored.emplace_back()));
                              return true;
                            })
                  .ok());
  EXPECT_THAT(stored, ElementsAre(5, 6));
}

TEST_F(ProcessTest, KeysMayBeNumbersAndOwnedStrings) {
  auto by_delay = [](const Flight& f) { return f.delay; };
  ProcessOperator<Flight, Count, CountFlights, decltype(by_delay)> numbers({}, by_delay);
  ASSERT_TRUE(numbers.Open(bed_.context).ok());
  Feed(numbers, Flights({{"a", 7}, {"b", 7}, {"c", 8}}));
  EXPECT_THAT(Counts(), ElementsAre("a1", "b2", "c1"));

  std::unique_ptr<KeyedStore> other = HeapStore();
  bed_.context.keyed = other.get();
  out_.Clear();
  auto by_name = [](const Flight& f) {
    if (f.delay == 0) throw std::runtime_error("no key");
    return std::string(f.origin) + "/" + std::string(100, 'k');
  };
  ProcessOperator<Flight, Count, CountFlights, decltype(by_name)> names({}, by_name);
  ASSERT_TRUE(names.Open(bed_.context).ok());
  Feed(names, Flights({{"a", 1}, {"a", 0}, {"b", 1}, {"a", 1}}));
  EXPECT_THAT(Counts(), ElementsAre("a1", "b1", "a2"));
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_EQ(out_.rejected[0].error, "no key");
}

struct FanOut {
  Status Open(KeyedStore&) { return absl::OkStatus(); }
  Status Process(const Flight& flight, ProcessContext<int64_t>& context) {
    for (int i = 0; i < 600; ++i) context.Emit(context.watermark(), i);
    return absl::OkStatus();
  }
};

TEST_F(ProcessTest, ALargeFanOutComesInPiecesAndSeesTheWatermark) {
  ProcessOperator<Flight, int64_t, FanOut, decltype(Origin)> op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  ASSERT_TRUE(op.OnWatermark(42, out_).ok());
  EXPECT_EQ(op.Process(0, Flights({{"a", 1}, {"b", 1}, {"c", 1}}), out_).value(),
            Progress::kMoreOutput);
  EXPECT_EQ(op.Resume(out_).value(), Progress::kDone);
  EXPECT_THAT(out_.Sizes(), ElementsAre(1200, 600));
  EXPECT_EQ(out_.Rows<int64_t>()[0], 42);
  EXPECT_EQ(out_.emitted[0].batch->times()[1], 1);
}

TEST_F(ProcessTest, AFailureOfTheStoreIsNotTheRowsFault) {
  for (bool FailingStore::*fault :
       {&FailingStore::fail_get, &FailingStore::fail_put, &FailingStore::fail_prefetch}) {
    FailingStore store;
    bed_.context.keyed = &store;
    Counter op({}, Origin);
    ASSERT_TRUE(op.Open(bed_.context).ok());
    Feed(op, Flights({{"JFK", 1}}));
    EXPECT_EQ(store.prefetched, 2u) << "one key in each of two states";
    store.*fault = true;
    EXPECT_EQ(op.Process(0, Flights({{"JFK", 1}}), out_).status().code(),
              absl::StatusCode::kUnavailable);
    EXPECT_THAT(out_.rejected, IsEmpty());
  }
}

TEST_F(ProcessTest, ARowWhoseKeyIsTooLongIsRejectedAlone) {
  Counter op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  Feed(op, Flights({{"JFK", 1}, {std::string(200'000, 'K'), 1}, {"JFK", 2}}));
  EXPECT_EQ(out_.Rows<Count>().size(), 2u);
  ASSERT_THAT(out_.rejected, ::testing::SizeIs(1));
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("at most 64KiB"));
}

TEST_F(ProcessTest, WaitsForAStoreThatIsBusy) {
  FailingStore store;
  bed_.context.keyed = &store;
  Counter op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  store.busy = true;
  EXPECT_EQ(op.Process(0, Flights({{"JFK", 1}}), out_).value(), Progress::kBlocked);
  EXPECT_EQ(op.Resume(out_).value(), Progress::kBlocked);
  EXPECT_EQ(store.prefetched, 0u);
  EXPECT_THAT(out_.emitted, IsEmpty());
  store.busy = false;
  EXPECT_EQ(op.Resume(out_).value(), Progress::kDone);
  EXPECT_EQ(out_.Rows<Count>().size(), 1u);
}

// Each flight sets a timer at its time + delay; 13 is set and removed again, 14 fails, 15 is set
// anew by its first call.
struct Reminders {
  ValueState<int64_t> calls;

  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(calls, ValueState<int64_t>::Register(store, "calls"));
    return absl::OkStatus();
  }
  Status Process(const Flight& flight, ProcessContext<Count>& context) {
    WEIR_RETURN_IF_ERROR(context.SetTimer(kind, flight.delay));
    if (flight.delay == 13) WEIR_RETURN_IF_ERROR(context.RemoveTimer(kind, flight.delay));
    if (flight.delay == 99) return absl::InvalidArgumentError("bad delay");
    return absl::OkStatus();
  }
  Status OnTimer(TimerKind, Timestamp time, ProcessContext<Count>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, calls.Get(context.key()));
    WEIR_RETURN_IF_ERROR(calls.Set(context.key(), before.value_or(0) + 1));
    context.Emit({context.Keep(context.key().bytes), time});
    if (time == 14) return absl::InvalidArgumentError("bad timer");
    if (time == 15 && before.value_or(0) == 0) return context.SetTimer(kind, 15);
    return absl::OkStatus();
  }
  TimerKind kind = TimerKind::kEventTime;
};
using Reminder = ProcessOperator<Flight, Count, Reminders, decltype(Origin)>;

class TimersTest : public ProcessTest {
 protected:
  std::vector<std::pair<std::string, int64_t>> Fired() {
    std::vector<std::pair<std::string, int64_t>> fired;
    for (const Count& row : out_.Rows<Count>()) fired.emplace_back(row.origin, row.n);
    out_.emitted.clear();
    return fired;
  }
};

TEST_F(TimersTest, OfEventTimeFireInOrderWithTheWatermark) {
  Reminder op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  Feed(op, Flights({{"B", 20}, {"A", 10}, {"A", 10}, {"C", 30}, {"A", 13}, {"A", 99}}));
  EXPECT_THAT(out_.rejected, ::testing::SizeIs(1));
  EXPECT_EQ(op.OnWatermark(9, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), IsEmpty());
  EXPECT_EQ(op.OnWatermark(20, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), ElementsAre(std::pair("A", 10), std::pair("B", 20)));
  EXPECT_EQ(op.OnWatermark(kMaxTimestamp, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), ElementsAre(std::pair("C", 30)));
}

TEST_F(TimersTest, ACallThatFailsLeavesNothingAndComesOnce) {
  Reminder op({}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  Feed(op, Flights({{"A", 14}, {"A", 15}}));
  EXPECT_EQ(op.OnWatermark(15, out_).value(), Progress::kDone);
  // The failed call counted in no state, so that of 15 is the first and sets its timer again.
  EXPECT_THAT(Fired(), ElementsAre(std::pair("A", 15), std::pair("A", 15)));
  ASSERT_THAT(out_.rejected, ::testing::SizeIs(1));
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("bad timer"));
  EXPECT_EQ(out_.rejected[0].record, "A");
  EXPECT_EQ(op.OnWatermark(100, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), IsEmpty());
}

TEST_F(TimersTest, AreStateAndSurviveAndManyComeInPieces) {
  {
    Reminder op({}, Origin);
    ASSERT_TRUE(op.Open(bed_.context).ok());
    std::vector<std::pair<std::string, int64_t>> rows;
    for (int i = 0; i < 2500; ++i) rows.emplace_back(std::to_string(i), 10'000 - i);
    Feed(op, Flights(rows));
  }
  Reminder op({}, Origin);
  FreezeAndRestoreStore();
  ASSERT_TRUE(op.Open(bed_.context).ok());
  auto progress = op.OnWatermark(20'000, out_);
  int pieces = 1;
  for (; progress.value() == Progress::kMoreOutput; ++pieces) progress = op.Resume(out_);
  EXPECT_GE(pieces, 3);
  const auto fired = Fired();
  ASSERT_EQ(fired.size(), 2500u);
  EXPECT_TRUE(std::is_sorted(fired.begin(), fired.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; }));
}

TEST_F(TimersTest, OfProcessingTimeGoByAClockThatMayJump) {
  Reminder op({.kind = TimerKind::kProcessingTime}, Origin);
  ASSERT_TRUE(op.Open(bed_.context).ok());
  const Timestamp start = bed_.clock.now;
  Feed(op, Flights({{"A", start + 10}, {"B", start + Hours(2)}}));
  EXPECT_TRUE(bed_.timers.processing.contains(start + 10));
  bed_.clock.now = start - Hours(1);  // back: it only waits longer
  EXPECT_EQ(op.OnTimer(TimerKind::kProcessingTime, start + 10, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), IsEmpty());
  bed_.clock.now = start + Hours(1);  // ahead: once, and not the one that is not due
  EXPECT_EQ(op.OnTimer(TimerKind::kProcessingTime, start + 10, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), ElementsAre(std::pair("A", start + 10)));
  EXPECT_EQ(op.OnTimer(TimerKind::kProcessingTime, start + 10, out_).value(), Progress::kDone);
  EXPECT_THAT(Fired(), IsEmpty());
  EXPECT_TRUE(bed_.timers.processing.contains(start + Hours(2)));
}

}  // namespace
}  // namespace weir
