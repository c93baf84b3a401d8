// The NEXMark source: the same events at any parallelism and after any restore, none late; and its
// rows as bytes and JSON. What an event holds is checked in tests/system/nexmark_test.py.
#include "operators/sources/nexmark_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "core/row_codec.h"
#include "testing/memory_snapshots.h"
#include "testing/operator_bed.h"
#include "testing/recording_output.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::MemorySnapshots;
using testing::OperatorBed;
using testing::RecordingOutput;
using testing::RestoreFor;

class GeneratorRun {
 public:
  explicit GeneratorRun(const NexmarkOptions& options, int subtask = 0, int parallelism = 1,
                        const std::vector<StateSnapshot>& snapshots = {},
                        MemorySnapshots* store = nullptr)
      : bed_(subtask, parallelism), source_(options) {
    if (store != nullptr) bed_.restore = RestoreFor(subtask, parallelism, snapshots, *store);
    keyed_ = *MakeHeapKeyedStore({"source", bed_.context.key_groups}, bed_.restore);
    bed_.context.keyed = keyed_.get();
    EXPECT_TRUE(source_.Open(bed_.context).ok());
  }

  bool Poll() {
    const Timestamp before = source_.watermark();
    const size_t emitted = out.emitted.size();
    const StatusOr<PollResult> result = source_.Poll(out);
    EXPECT_TRUE(result.ok()) << result.status();
    last = *result;
    EXPECT_GE(source_.watermark(), before);
    for (size_t i = emitted; i < out.emitted.size(); ++i) {
      for (Timestamp time : out.emitted[i].batch->times()) EXPECT_GT(time, before);
    }
    return last.kind != PollResult::kFinished;
  }
  void Drain() {
    while (Poll()) {
    }
  }
  void AddIds(std::vector<uint64_t>& ids) const {
    for (const NexmarkEvent& event : out.Rows<NexmarkEvent>()) ids.push_back(event.event_id);
  }
  StateSnapshot Checkpoint(MemorySnapshots& store) { return *keyed_->Freeze(1)->Write(store); }
  OperatorBed& bed() { return bed_; }
  NexmarkSource& source() { return source_; }

  RecordingOutput out;
  PollResult last;

 private:
  OperatorBed bed_;
  std::unique_ptr<KeyedStore> keyed_;
  NexmarkSource source_;
};

std::vector<uint64_t> UpTo(uint64_t events) {
  std::vector<uint64_t> ids(events);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

TEST(NexmarkSourceTest, MakesEachEventOnceAtAnyParallelism) {
  for (int splits : {1, 7, 64}) {
    for (uint64_t group : {1, 250}) {
      const NexmarkOptions options{.events = 23'250, .splits = splits, .out_of_order_group = group};
      for (int parallelism : {1, 2, 3, 8}) {
        std::vector<uint64_t> ids;
        for (int subtask = 0; subtask < parallelism; ++subtask) {
          GeneratorRun run(options, subtask, parallelism);
          run.Drain();
          run.AddIds(ids);
          if (run.source().idle()) EXPECT_TRUE(run.out.emitted.empty());
        }
        std::sort(ids.begin(), ids.end());
        EXPECT_EQ(ids, UpTo(options.events)) << splits << " splits, " << parallelism;
      }
    }
  }
}

TEST(NexmarkSourceTest, SharesItsSplitsEvenly) {
  const NexmarkOptions options{.events = 64'000};
  for (int parallelism : {2, 4, 8}) {
    for (int subtask = 0; subtask < parallelism; ++subtask) {
      GeneratorRun run(options, subtask, parallelism);
      run.Drain();
      EXPECT_EQ(run.out.Rows<NexmarkEvent>().size(), options.events / parallelism);
      EXPECT_EQ(run.source().progress().done_bytes, run.source().progress().total_bytes);
    }
  }
}

TEST(NexmarkSourceTest, GoesOnAtAnotherParallelism) {
  const NexmarkOptions options{.events = 40'000, .rate = 1'234'567, .splits = 16};
  std::vector<uint64_t> ids;
  std::vector<StateSnapshot> snapshots;
  MemorySnapshots store;
  int before = 0;
  // Every attempt makes a part, of single blocks too, and the last one all that is left.
  for (int parallelism : {2, 1, 4, 3}) {
    std::vector<StateSnapshot> next;
    for (int subtask = 0; subtask < parallelism; ++subtask) {
      GeneratorRun run(options, subtask, parallelism, snapshots, before > 0 ? &store : nullptr);
      for (int polls = 0; parallelism != 3 && polls < 3 + subtask; ++polls) {
        run.bed().clock.now += 777;
        run.Poll();
      }
      while (parallelism == 3 && run.Poll()) run.bed().clock.now += 10'000;
      run.AddIds(ids);
      next.push_back(run.Checkpoint(store));
    }
    snapshots = std::move(next);
    before = parallelism;
  }
  EXPECT_GT(ids.size(), 0u);
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(ids, UpTo(options.events));
}

TEST(NexmarkSourceTest, KeepsItsRateAndSaysWhenToAskAgain) {
  GeneratorRun run({.events = 100'000, .rate = 10'000});
  const Timestamp start = run.bed().clock.now;
  while (run.Poll()) {
    if (run.last.kind == PollResult::kIdle) run.bed().clock.now = run.last.next_poll;
  }
  EXPECT_NEAR(static_cast<double>(run.bed().clock.now - start), 10e6, 0.2e6);
}

TEST(NexmarkSourceTest, WithoutANumberOfEventsItDoesNotEnd) {
  GeneratorRun run({.events = 0});
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(run.Poll());
  EXPECT_EQ(run.source().progress().total_bytes, 0u);
}

TEST(NexmarkSourceTest, RowsPassThroughTheirCodec) {
  GeneratorRun run({.events = 500});
  run.Drain();
  const auto codec = MakeRowCodec<NexmarkEvent>();
  size_t rows = 0;
  for (const auto& emitted : run.out.emitted) {
    std::string bytes;
    codec->EncodeBatch(*emitted.batch, bytes);
    StatusOr<BatchPtr> decoded = codec->DecodeBatch(CopyToSlab(bytes));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ((*decoded)->view_bytes(), emitted.batch->view_bytes());
    JsonParser parser;
    for (size_t i = 0; i < emitted.batch->rows(); ++i, ++rows) {
      JsonWriter before;
      JsonWriter after;
      JsonWriter again;
      codec->WriteJson(*emitted.batch, i, before);
      codec->WriteJson(**decoded, i, after);
      EXPECT_EQ(before.text(), after.text());
      const SlabPtr line = CopyToSlab(before.text());
      StatusOr<JsonValue> json = parser.Parse(line->view());
      ASSERT_TRUE(json.ok()) << json.status();
      NexmarkEvent event;
      SlabArena arena;
      ASSERT_TRUE(Codec<NexmarkEvent>::ReadJson(*json, event, arena).ok());
      Codec<NexmarkEvent>::WriteJson(event, again);
      EXPECT_EQ(again.text(), before.text());
    }
    bytes.resize(bytes.size() - 1);
    EXPECT_FALSE(codec->DecodeBatch(CopyToSlab(bytes)).ok());
  }
  EXPECT_EQ(rows, 500u);
}

TEST(NexmarkSourceTest, OptionsOutOfTheirRangeAreNamed) {
  EXPECT_TRUE(CheckNexmarkOptions({}).ok());
  const auto message = [](const NexmarkOptions& options) {
    return std::string(CheckNexmarkOptions(options).message());
  };
  EXPECT_THAT(message({.splits = 0}), AllOf(HasSubstr("splits is 0"), HasSubstr("1 to 1024")));
  EXPECT_THAT(message({.rate = -1}), HasSubstr("rate is -1"));
  EXPECT_THAT(message({.out_of_order_group = 1906}), HasSubstr("multiple of 953"));
  EXPECT_THAT(message({.events = 5'000'000'000'000, .event_delay = Seconds(1)}),
              HasSubstr("events is 5000000000000"));
  EXPECT_THAT(message({.hot_auction_ratio = 0}), HasSubstr("hot_auction_ratio is 0"));
  // Up to its end neither numbers nor times overflow.
  const NexmarkOptions far{.base_time = 4'000'000'000'000'000'000, .event_delay = Seconds(1)};
  ASSERT_TRUE(CheckNexmarkOptions(far).ok());
  EXPECT_GT(NexmarkGenerator(far).EarliestFrom(NexmarkEventsMax(far)), far.base_time);
}

}  // namespace
}  // namespace weir
