#include "operators/transforms/dedup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <semaphore>

#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Order {
  std::string_view id;
  int64_t amount = 0;
  BOOST_DESCRIBE_CLASS(Order, (), (id, amount), (), ())
};

std::string_view KeyOf(const Order& order) { return order.id; }
using OrderDedup = Dedup<Order, std::string_view (*)(const Order&)>;

class DedupTest : public ::testing::Test {
 protected:
  static constexpr Duration kWindow = Seconds(80);  // slices of 10 s

  DedupTest() {
    bed_.context.stage = "dedup";
    NewFolder(bed_);
  }
  void NewFolder(OperatorBed& bed) {
    bed.context.local_dir = dir_ / ("local-" + std::to_string(++folders_));
    std::filesystem::create_directories(bed.context.local_dir);
  }
  static BatchPtr Orders(std::vector<std::pair<Order, Timestamp>> rows) {
    auto batch = std::make_unique<Batch<Order>>();
    for (auto& [order, time] : rows) batch->Add(order, time);
    return batch;
  }
  static std::vector<int64_t> Amounts(const RecordingOutput& out) {
    std::vector<int64_t> amounts;
    for (const Order& order : out.Rows<Order>()) amounts.push_back(order.amount);
    return amounts;
  }
  static void Feed(Operator& op, std::vector<std::pair<Order, Timestamp>> rows, Output& out) {
    auto progress = op.Process(0, Orders(std::move(rows)), out);
    ASSERT_TRUE(progress.ok()) << progress.status();
    EXPECT_EQ(*progress, Progress::kDone);
  }

  TempDir dir_;
  int folders_ = 0;
  OperatorBed bed_;
  RecordingOutput out_;
};

TEST_F(DedupTest, KeepsTheFirstOfEqualKeysInOrder) {
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, {{{"a", 1}, 0}, {{"b", 2}, 0}, {{"a", 3}, Seconds(80)}, {{"c", 4}, 0}}, out_);
  Feed(dedup, {{{"c", 5}, 0}, {{"d", 6}, 0}, {{"a", 7}, Seconds(90)}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 2, 4, 6, 7));
  EXPECT_EQ(bed_.counters.dropped, 2u);
  EXPECT_THAT(out_.rejected, IsEmpty());
  dedup.Close();
}

TEST_F(DedupTest, TimesAndKeyHashesStayBesideTheirRows) {
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  BatchPtr batch = Orders({{{"a", 1}, 10}, {{"a", 2}, 20}, {{"b", 3}, 30}});
  batch->set_key_hashes({100, 100, 300});
  ASSERT_TRUE(dedup.Process(0, std::move(batch), out_).ok());
  ASSERT_EQ(out_.emitted.size(), 1u);
  const BatchBase& kept = *out_.emitted[0].batch;
  EXPECT_THAT(kept.times(), ElementsAre(10, 30));
  EXPECT_THAT(kept.key_hashes(), ElementsAre(100, 300));
}

TEST_F(DedupTest, EmptyKeysAreKeysAndAnEmptyBatchIsNothing) {
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, {}, out_);
  Feed(dedup, {{{"", 1}, 0}, {{"", 2}, 0}, {{std::string_view("\0", 1), 3}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 3));
}

TEST_F(DedupTest, LateRowsAreRejectedWithTheirTimeAndTheFloor) {
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  ASSERT_TRUE(dedup.OnWatermark(Seconds(1009), out_).ok());  // slice 100, floor 92
  Feed(dedup, {{{"a", 1}, Seconds(920)}, {{"b", 2}, Seconds(920) - 1}, {{"c", 3}, Seconds(930)}},
       out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 3));
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_THAT(out_.rejected[0].error, ::testing::StartsWith("late: "));
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("1970-01-01T00:15:19.999999Z"));
  EXPECT_THAT(out_.rejected[0].error, HasSubstr("1970-01-01T00:15:20.000000Z"));
  EXPECT_EQ(out_.rejected[0].record, R"({"id":"b","amount":2})");
  EXPECT_EQ(out_.rejected[0].time, Seconds(920) - 1);
  EXPECT_EQ(bed_.counters.dropped, 0u);
}

TEST_F(DedupTest, ARejectedEventIsItsLine) {
  auto key = [](const Event& event) { return event.id; };
  Dedup<Event, decltype(key)> dedup({.window = kWindow}, key);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  ASSERT_TRUE(dedup.OnWatermark(Hours(1), out_).ok());
  auto batch = std::make_unique<Batch<Event>>();
  Event event;
  event.id = "x";
  event.payload = R"({ "id" : "x" })";
  batch->Add(event, 0);
  ASSERT_TRUE(dedup.Process(0, std::move(batch), out_).ok());
  ASSERT_EQ(out_.rejected.size(), 1u);
  EXPECT_EQ(out_.rejected[0].record, event.payload);
}

TEST_F(DedupTest, WatermarksAtTheEndsOfTimeAreTaken) {
  OrderDedup dedup({.window = 8}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  ASSERT_TRUE(dedup.OnWatermark(kMinTimestamp, out_).ok());
  Feed(dedup, {{{"a", 1}, kMinTimestamp}, {{"b", 2}, kMaxTimestamp}, {{"b", 3}, kMaxTimestamp}},
       out_);
  ASSERT_TRUE(dedup.OnWatermark(kMaxTimestamp, out_).ok());
  Feed(dedup, {{{"b", 4}, kMaxTimestamp}, {{"c", 5}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 2));
  EXPECT_EQ(out_.rejected.size(), 1u);
}

TEST_F(DedupTest, RememberedIdsComeBackAtAnyParallelism) {
  MemorySnapshots snapshots;
  std::vector<std::string> ids;
  for (int i = 0; i < 200; ++i) ids.push_back("order-" + std::to_string(i));
  std::vector<StateSnapshot> taken;
  {
    OrderDedup dedup({.window = kWindow}, KeyOf);
    ASSERT_TRUE(dedup.Open(bed_.context).ok());
    for (const std::string& id : ids) Feed(dedup, {{{id, 0}, Seconds(5)}}, out_);
    auto snapshot = dedup.Freeze(1)->Write(snapshots);
    ASSERT_TRUE(snapshot.ok()) << snapshot.status();
    taken = {*snapshot};
    dedup.Close();
  }
  for (int parallelism : {1, 3, 2}) {
    std::vector<StateSnapshot> next;
    for (int subtask = 0; subtask < parallelism; ++subtask) {
      OperatorBed bed(subtask, parallelism);
      NewFolder(bed);
      bed.restore = RestoreFor(subtask, parallelism, taken, snapshots);
      OrderDedup dedup({.window = kWindow}, KeyOf);
      ASSERT_TRUE(dedup.Open(bed.context).ok());
      RecordingOutput out;
      for (const std::string& id : ids) {
        if (!bed.context.key_groups.Contains(KeyGroupOf(Hash128(id).high))) continue;
        Feed(dedup, {{{id, 1}, Seconds(80)}}, out);
      }
      EXPECT_THAT(Amounts(out), IsEmpty()) << parallelism;
      auto snapshot = dedup.Freeze(1)->Write(snapshots);
      ASSERT_TRUE(snapshot.ok()) << snapshot.status();
      next.push_back(*snapshot);
      dedup.Close();
    }
    taken = next;
  }
}

TEST_F(DedupTest, BlocksWhileTheStoreIsFullAndGoesOnAfterTheWakeUp) {
  struct Pool final : IoPool {
    void Submit(std::function<void()> work) override { queue.push_back(std::move(work)); }
    std::deque<std::function<void()>> queue;
  } pool;
  Environment env{bed_.clock, RealEnvironment().disk, pool, RealEnvironment().random};
  int woken = 0;
  bed_.context.env = &env;
  bed_.context.wake = [&] { ++woken; };
  OrderDedup dedup({.window = kWindow, .unwritten_bytes_max = 24}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, {{{"a", 1}, 0}, {{"b", 2}, 0}}, out_);
  auto progress = dedup.Process(0, Orders({{{"a", 3}, 0}, {{"c", 4}, 0}}), out_);
  ASSERT_TRUE(progress.ok());
  EXPECT_EQ(*progress, Progress::kBlocked);
  EXPECT_EQ(*dedup.Resume(out_), Progress::kBlocked) << "nothing has changed";
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 2));
  while (!pool.queue.empty()) {
    pool.queue.front()();
    pool.queue.pop_front();
  }
  EXPECT_EQ(woken, 1);
  EXPECT_EQ(*dedup.Resume(out_), Progress::kDone);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 2, 4));
  dedup.Close();
}

TEST_F(DedupTest, SeveralFieldsAreOneKey) {
  auto key = [](const Order& order) { return std::tuple(order.id, order.amount); };
  Dedup<Order, decltype(key)> dedup({.window = kWindow}, key);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, {{{"a", 1}, 0}, {{"a", 11}, 0}, {{"a1", 1}, 0}, {{"a", 1}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 11, 1));
}

TEST_F(DedupTest, ARowWithoutAKeyIsRejectedAndTheOthersAreJudged) {
  auto key = [](const Order& order) {
    if (order.id.empty()) throw std::runtime_error("an order has an id");
    return order.id;
  };
  Dedup<Order, decltype(key)> dedup({.window = kWindow}, key);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, {{{"", 1}, 5}, {{"a", 2}, 0}, {{"", 3}, 0}, {{"a", 4}, 0}, {{"b", 5}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(2, 5));
  ASSERT_EQ(out_.rejected.size(), 2u);
  EXPECT_EQ(out_.rejected[0].error, "an order has an id");
  EXPECT_EQ(out_.rejected[0].record, R"({"id":"","amount":1})");
  EXPECT_EQ(out_.rejected[0].time, 5);
  EXPECT_EQ(bed_.counters.named().at("unique"), 2u);
  EXPECT_EQ(bed_.counters.named().at("duplicates"), 1u);
}

TEST_F(DedupTest, CountsUniqueDuplicateAndLateRows) {
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  EXPECT_EQ(bed_.counters.named(), (NamedCounts{{"unique", 0}, {"duplicates", 0}, {"late", 0}}));
  ASSERT_TRUE(dedup.OnWatermark(Seconds(1009), out_).ok());
  Feed(dedup, {{{"a", 1}, Seconds(1000)}, {{"a", 2}, Seconds(1000)}, {{"b", 3}, 0}}, out_);
  Feed(dedup, {{{"a", 4}, Seconds(1000)}}, out_);
  EXPECT_EQ(bed_.counters.named(), (NamedCounts{{"unique", 1}, {"duplicates", 2}, {"late", 1}}));
  EXPECT_TRUE(bed_.counters.tenants.empty()) << "nobody asked for them";
}

TEST_F(DedupTest, CountsForEachTenant) {
  auto key = [](const Event& event) { return event.id; };
  auto tenant = [](const Event& event) { return event.tenant; };
  Dedup<Event, decltype(key), decltype(tenant)> dedup({.window = kWindow}, key, tenant);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  ASSERT_TRUE(dedup.OnWatermark(Seconds(1009), out_).ok());
  auto batch = std::make_unique<Batch<Event>>();
  auto add = [&](std::string_view id, std::string_view tenant_name, Timestamp time) {
    Event event;
    event.id = id;
    event.tenant = tenant_name;
    batch->Add(event, time);
  };
  add("1", "acme", Seconds(1000));
  add("2", "", Seconds(1000));
  add("1", "acme", Seconds(1000));
  add("3", "acme", 0);
  add("2", "zoo", Seconds(1000));
  add("4", "acme", Seconds(1000));
  ASSERT_TRUE(dedup.Process(0, std::move(batch), out_).ok());
  const TenantCounts& tenants = bed_.counters.tenants;
  EXPECT_THAT(tenants.kinds(), ElementsAre("unique", "duplicates", "late"));
  const auto sorted = tenants.Sorted();
  ASSERT_EQ(sorted.size(), 3u);
  EXPECT_EQ(sorted[0].name, "acme");
  EXPECT_THAT(sorted[0].counts, ElementsAre(2, 1, 1));
  EXPECT_EQ(sorted[1].name, "");
  EXPECT_THAT(sorted[1].counts, ElementsAre(1, 0, 0));
  EXPECT_EQ(sorted[2].name, "zoo");
  EXPECT_THAT(sorted[2].counts, ElementsAre(0, 1, 0));
  EXPECT_THAT(tenants.others(), IsEmpty());
}

class DedupByArrivalTest : public DedupTest {
 protected:
  void Open(OperatorBed& bed, OrderDedup& dedup) {
    NewFolder(bed);
    ASSERT_TRUE(dedup.Open(bed.context).ok());
  }

  const DedupOptions options_{.window = kWindow, .time = DedupTime::kArrival};
};

TEST_F(DedupByArrivalTest, TheWindowGoesByWhenRowsComeAndNothingIsLate) {
  OrderDedup dedup(options_, KeyOf);
  Open(bed_, dedup);
  EXPECT_EQ(dedup.watermark_drift_max(), std::nullopt);
  Feed(dedup, {{{"a", 1}, Hours(9)}, {{"a", 2}, 0}}, out_);
  ASSERT_TRUE(dedup.OnWatermark(Hours(99), out_).ok());
  bed_.clock.now += Seconds(70);
  Feed(dedup, {{{"a", 3}, 0}}, out_);
  bed_.clock.now += Seconds(30);
  Feed(dedup, {{{"a", 4}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 4));
  EXPECT_THAT(out_.rejected, IsEmpty());
}

TEST_F(DedupByArrivalTest, AWallClockThatJumpsMovesNothing) {
  OrderDedup dedup(options_, KeyOf);
  Open(bed_, dedup);
  Feed(dedup, {{{"a", 1}, 0}}, out_);
  for (Duration jump : {Hours(1000), -Hours(3000)}) {
    bed_.clock.wall_ahead += jump;
    Feed(dedup, {{{"a", 2}, 0}}, out_);
  }
  EXPECT_THAT(Amounts(out_), ElementsAre(1));
}

TEST_F(DedupByArrivalTest, ARestartGoesOnWhereItWasAlsoWithAClockThatIsBehind) {
  MemorySnapshots snapshots;
  OrderDedup dedup(options_, KeyOf);
  Open(bed_, dedup);
  Feed(dedup, {{{"a", 1}, 0}}, out_);
  std::vector<StateSnapshot> taken = {dedup.Freeze(1)->Write(snapshots).value()};
  OperatorBed bed;  // another machine, which has just been started
  bed.clock.wall_ahead = bed_.clock.now - Hours(5);
  bed.clock.now = 0;
  bed.restore = RestoreFor(0, 1, taken, snapshots);
  OrderDedup again(options_, KeyOf);
  Open(bed, again);
  Feed(again, {{{"a", 2}, 0}, {{"b", 3}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 3));
  EXPECT_THAT(out_.rejected, IsEmpty());
  bed.clock.now += Seconds(100);
  Feed(again, {{{"b", 4}, 0}}, out_);
  EXPECT_THAT(Amounts(out_), ElementsAre(1, 3, 4));
}

TEST_F(DedupByArrivalTest, IdsThatWereKeptByAnotherKindOfTimeAreRefused) {
  MemorySnapshots snapshots;
  OrderDedup dedup(options_, KeyOf);
  Open(bed_, dedup);
  Feed(dedup, {{{"a", 1}, 0}}, out_);
  OperatorBed bed;
  bed.restore = RestoreFor(0, 1, {dedup.Freeze(1)->Write(snapshots).value()}, snapshots);
  NewFolder(bed);
  OrderDedup by_event_time({.window = kWindow}, KeyOf);
  Status status = by_event_time.Open(bed.context);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("of arrival"));
}

TEST_F(DedupTest, AWindowThatCannotBeCutIsRefused) {
  OrderDedup dedup({.window = 7}, KeyOf);
  Status status = dedup.Open(bed_.context);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("dedup"));
}

// A job whose input is quiet does not stay slow for it: each chunk of ids that was read is taken
// when the operator is notified, and the next one asked for.
TEST_F(DedupTest, RestoredIdsAreLoadedWithoutRows) {
  constexpr int kIds = 3 * (16 << 10);  // three chunks
  std::deque<std::string> ids;
  std::vector<std::pair<Order, Timestamp>> rows;
  for (int i = 0; i < kIds; ++i) rows.push_back({{ids.emplace_back(std::to_string(i)), i}, 0});
  MemorySnapshots snapshots;
  OrderDedup dedup({.window = kWindow}, KeyOf);
  ASSERT_TRUE(dedup.Open(bed_.context).ok());
  Feed(dedup, rows, out_);
  OperatorBed bed;
  bed.restore = RestoreFor(0, 1, {dedup.Freeze(1)->Write(snapshots).value()}, snapshots);
  NewFolder(bed);
  std::counting_semaphore<> notified(0);
  bed.context.notify = [&] { notified.release(); };
  OrderDedup restored({.window = kWindow}, KeyOf);
  ASSERT_TRUE(restored.Open(bed.context).ok());
  RecordingOutput out;
  for (int chunk = 0; chunk < 3; ++chunk) {
    ASSERT_TRUE(notified.try_acquire_for(std::chrono::seconds(60))) << chunk;
    const auto progress = restored.OnTimer(TimerKind::kNotified, 0, out);
    ASSERT_TRUE(progress.ok()) << progress.status();
    EXPECT_EQ(*progress, Progress::kDone);
  }
  Feed(restored, rows, out);
  EXPECT_EQ(bed.counters.Named("duplicates"), static_cast<uint64_t>(kIds));
  EXPECT_THAT(out.emitted, IsEmpty());
  restored.Close();
  dedup.Close();
}

}  // namespace
}  // namespace weir::testing
