#include "operators/transforms/throttle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "tests/state/keyed_backends.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using weir::testing::KeyedBackend;
using weir::testing::KeyedStoreMaker;
using weir::testing::MemorySnapshots;
using weir::testing::OperatorBed;
using weir::testing::RecordingOutput;

struct Call {
  std::string_view tenant;
  int64_t number = 0;
  BOOST_DESCRIBE_CLASS(Call, (), (tenant, number), (), ())
};

struct ByTenant {
  std::string_view operator()(const Call& call) const {
    if (call.tenant == "unknown") throw std::runtime_error("nobody knows this tenant");
    return call.tenant;
  }
};
using CallThrottle = Throttle<Call, ByTenant>;

BatchPtr Calls(const std::vector<std::pair<Call, Timestamp>>& rows) {
  auto batch = std::make_unique<Batch<Call>>();
  for (const auto& [row, time] : rows) batch->Add(row, time);
  return batch;
}
// n calls of a tenant, all at one time.
BatchPtr Calls(std::string_view tenant, int n, Timestamp time = 0) {
  auto batch = std::make_unique<Batch<Call>>();
  for (int i = 0; i < n; ++i) batch->Add({tenant, i}, time);
  return batch;
}

class ThrottleTest : public ::testing::Test {
 protected:
  void Start(ThrottleOptions options) {
    store_ = maker_.Make("stage", 0, 1, {}, snapshots_);
    Open(options);
  }
  void Restart(ThrottleOptions options) {
    const StateSnapshot taken = store_->Freeze(1)->Write(snapshots_).value();
    store_ = maker_.Make("stage", 0, 1, {taken}, snapshots_);
    Open(options);
  }
  void Open(ThrottleOptions options) {
    bed_.context.keyed = store_.get();
    op_ = std::make_unique<CallThrottle>(options, ByTenant());
    ASSERT_TRUE(op_->Open(bed_.context).ok());
  }
  // How many of the batch's rows pass.
  size_t Pass(BatchPtr batch) {
    out_.Clear();
    EXPECT_EQ(op_->Process(0, std::move(batch), out_).value(), Progress::kDone);
    return out_.Rows<Call>().size();
  }
  std::vector<int64_t> Numbers(int port = 0) {
    std::vector<int64_t> numbers;
    for (const Call& call : out_.Rows<Call>(port)) numbers.push_back(call.number);
    return numbers;
  }
  uint64_t throttled() { return bed_.counters.named().at("throttled"); }

  MemorySnapshots snapshots_;
  KeyedStoreMaker maker_{KeyedBackend::kRocks};
  std::unique_ptr<KeyedStore> store_;
  OperatorBed bed_;
  RecordingOutput out_;
  std::unique_ptr<CallThrottle> op_;
};

TEST_F(ThrottleTest, ABucketIsFullAtFirstAndFillsSteadily) {
  Start({.rows = 10, .per = Seconds(1)});
  EXPECT_EQ(throttled(), 0u) << "shown from the start";
  EXPECT_EQ(Pass(Calls("a", 15)), 10u);
  EXPECT_EQ(throttled(), 5u);
  EXPECT_EQ(bed_.counters.dropped, 5u);
  bed_.clock.now += Milliseconds(99);
  EXPECT_EQ(Pass(Calls("a", 5)), 0u);
  bed_.clock.now += Milliseconds(1);
  EXPECT_EQ(Pass(Calls("a", 5)), 1u);
  bed_.clock.now += Hours(1);
  EXPECT_EQ(Pass(Calls("a", 50)), 10u) << "no more than full";
}

TEST_F(ThrottleTest, KeysHaveBucketsOfTheirOwnAndRowsKeepTheirOrder) {
  Start({.rows = 2, .per = Seconds(1)});
  EXPECT_EQ(
      Pass(Calls({{{"a", 1}, 0}, {{"b", 2}, 0}, {{"a", 3}, 0}, {{"a", 4}, 0}, {{"b", 5}, 0}})), 4u);
  EXPECT_THAT(Numbers(), ElementsAre(1, 2, 3, 5));
}

TEST_F(ThrottleTest, WhatIsOverTheLimitCanTakeAnotherWay) {
  Start({.rows = 1, .per = Seconds(1), .over = OverLimit::kSide});
  BatchPtr batch = Calls({{{"a", 1}, 10}, {{"a", 2}, 20}, {{"b", 3}, 30}, {{"a", 4}, 40}});
  batch->set_key_hashes({1, 2, 3, 4});
  Pass(std::move(batch));
  EXPECT_THAT(Numbers(0), ElementsAre(1, 3));
  EXPECT_THAT(Numbers(kThrottledPort), ElementsAre(2, 4));
  EXPECT_THAT(out_.emitted[1].batch->times(), ElementsAre(20, 40));
  EXPECT_THAT(out_.emitted[1].batch->key_hashes(), ElementsAre(2, 4));
  EXPECT_EQ(bed_.counters.dropped, 0u);
  EXPECT_EQ(throttled(), 2u);
}

TEST_F(ThrottleTest, ByEventTimeTheClocksDoNotMatterAndOldRowsFillNothing) {
  Start({.rows = 1, .per = Seconds(1), .burst = 2, .time = ThrottleTime::kEventTime});
  EXPECT_EQ(Pass(Calls("a", 3, Seconds(100))), 2u);
  bed_.clock.now += Hours(5);
  EXPECT_EQ(Pass(Calls("a", 1, Seconds(100))), 0u);
  EXPECT_EQ(Pass(Calls("a", 1, Seconds(5))), 0u);
  EXPECT_EQ(Pass(Calls("a", 3, Seconds(101))), 1u);
  EXPECT_EQ(Pass(Calls("a", 1, Seconds(100))), 0u) << "filled once already";
  EXPECT_EQ(Pass(Calls("a", 3, kMaxTimestamp)), 2u);
  EXPECT_EQ(Pass(Calls("b", 3, kMinTimestamp)), 2u);
  EXPECT_EQ(Pass(Calls("b", 3, kMaxTimestamp)), 2u);
}

TEST_F(ThrottleTest, AWallClockThatJumpsFillsNothing) {
  Start({.rows = 1, .per = Seconds(1)});
  EXPECT_EQ(Pass(Calls("a", 2)), 1u);
  for (Duration jump : {Hours(20), -Hours(40)}) {
    bed_.clock.wall_ahead += jump;
    EXPECT_EQ(Pass(Calls("a", 1)), 0u);
  }
  bed_.clock.now += Seconds(1);
  EXPECT_EQ(Pass(Calls("a", 2)), 1u);
}

TEST_F(ThrottleTest, BucketsComeBackAlsoOnAMachineWhoseClockIsBehind) {
  const ThrottleOptions options{.rows = 2, .per = Seconds(1)};
  Start(options);
  EXPECT_EQ(Pass(Calls("a", 2)), 2u);
  bed_.clock.wall_ahead = bed_.clock.now - Hours(7);
  bed_.clock.now = 0;
  Restart(options);
  EXPECT_EQ(Pass(Calls("a", 2)), 0u);
  bed_.clock.now += Milliseconds(500);
  EXPECT_EQ(Pass(Calls("a", 2)), 1u) << "does not wait for seven hours";
}

TEST_F(ThrottleTest, AnotherLimitHoldsFromTheRestartOn) {
  Start({.rows = 1000, .per = Seconds(1)});
  EXPECT_EQ(Pass(Calls("a", 1)), 1u);
  Restart({.rows = 5, .per = Seconds(1)});
  EXPECT_EQ(Pass(Calls("a", 100)), 5u);
}

TEST_F(ThrottleTest, RowsWithoutAKeyOrWithAHugeOneAreRejected) {
  Start({.rows = 5, .per = Seconds(1)});
  const std::string huge(limits::kStateKeyBytesMax + 1, 'x');
  EXPECT_EQ(Pass(Calls({{{"unknown", 1}, 7}, {{"a", 2}, 8}, {{huge, 3}, 9}})), 1u);
  ASSERT_EQ(out_.rejected.size(), 2u);
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("nobody knows"));
  EXPECT_EQ(out_.rejected[0].time, 7);
  EXPECT_EQ(out_.rejected[1].time, 9);
  EXPECT_EQ(bed_.counters.dropped, 0u);
  EXPECT_EQ(Pass(std::make_unique<Batch<Call>>()), 0u);
}

TEST_F(ThrottleTest, WaitsWhileTheStoreIsFull) {
  struct FullStore final : KeyedStore {
    explicit FullStore(KeyedStore& store) : store(store) {}
    StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                               StateOptions options) override {
      return store.Register(name, value, sub_key, options);
    }
    const Schema* written_schema(StateId state) const override {
      return store.written_schema(state);
    }
    StatusOr<bool> Ready() override { return ready; }
    Status Prefetch(StateId state, std::span<const StateKey> keys) override {
      return store.Prefetch(state, keys);
    }
    StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                  std::string_view sub_key) override {
      return store.Get(state, key, sub_key);
    }
    Status Put(StateId state, const StateKey& key, std::string_view sub_key,
               std::string_view value) override {
      return store.Put(state, key, sub_key, value);
    }
    Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override {
      return store.Delete(state, key, sub_key);
    }
    Status Scan(StateId, const StateKey&, std::string_view, const EntryVisitor&) override {
      return absl::UnimplementedError("");
    }
    Status ScanAll(StateId, const KeyVisitor&) override { return absl::UnimplementedError(""); }
    std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
      return store.Freeze(checkpoint);
    }
    uint64_t bytes() const override { return store.bytes(); }
    uint64_t memory_bytes() const override { return store.memory_bytes(); }
    KeyedStore& store;
    bool ready = false;
  };
  store_ = maker_.Make("stage", 0, 1, {}, snapshots_);
  FullStore full(*store_);
  bed_.context.keyed = &full;
  CallThrottle op({.rows = 2, .per = Seconds(1)}, ByTenant());
  ASSERT_TRUE(op.Open(bed_.context).ok());
  EXPECT_EQ(op.Process(0, Calls("a", 3), out_).value(), Progress::kBlocked);
  EXPECT_EQ(op.Resume(out_).value(), Progress::kBlocked);
  EXPECT_THAT(out_.emitted, IsEmpty());
  full.ready = true;
  EXPECT_EQ(op.Resume(out_).value(), Progress::kDone);
  EXPECT_EQ(out_.Rows<Call>().size(), 2u);
  EXPECT_EQ(op.Resume(out_).value(), Progress::kDone);
}

TEST_F(ThrottleTest, LimitsThatAreNoneAreRefused) {
  auto error = [](ThrottleOptions options) { return std::string(Validate(options).message()); };
  EXPECT_THAT(error({.rows = 0}), HasSubstr("must be positive"));
  EXPECT_THAT(error({.per = 0}), HasSubstr("must be positive"));
  EXPECT_THAT(error({.rows = INT64_MAX, .per = Hours(1)}), HasSubstr("more than can be counted"));
  EXPECT_TRUE(Validate({.rows = 1'000'000, .per = Hours(24), .burst = 10'000'000}).ok());
}

// What the header promises, against rows at random times with one key that has half of them.
TEST_F(ThrottleTest, InNoSpanOfTimeMoreThanBurstAndRate) {
  for (uint32_t seed = 0; seed < 10; ++seed) {
    std::mt19937 random(seed);
    const int64_t rows = 1 + random() % 20;
    const int64_t burst = 1 + random() % 30;
    const Duration per = Milliseconds(1 + random() % 100);
    const ThrottleOptions options{.rows = rows, .per = per, .burst = burst};
    Start(options);
    std::map<std::string, std::vector<Timestamp>> passed;
    Timestamp now = 0;
    for (int step = 0; step < 300; ++step) {
      const Duration pause = random() % 4 == 0 ? random() % (2 * per) : random() % 500;
      bed_.clock.now += pause;
      now += pause;
      if (random() % 50 == 0) Restart(options);
      const std::string tenant = random() % 2 == 0 ? "hot" : std::to_string(random() % 5);
      const size_t n = Pass(Calls(tenant, static_cast<int>(random() % 8)));
      passed[tenant].insert(passed[tenant].end(), n, now);
    }
    for (const auto& [tenant, times] : passed) {
      for (size_t first = 0; first < times.size(); ++first) {
        for (size_t last = first; last < times.size(); ++last) {
          const auto n = static_cast<int64_t>(last - first + 1);
          // n <= burst + rows * t / per
          ASSERT_LE((n - burst) * per, rows * (times[last] - times[first])) << "seed " << seed;
        }
      }
      // And it is a limit, not a ban: the bucket is used up.
      EXPECT_GE(static_cast<int64_t>(times.size()), std::min<int64_t>(burst, 10));
    }
  }
}

}  // namespace
}  // namespace weir
