// The states of isolated plugins, which are kept on this side: values go to the plugin's process
// with the events, and come back with their answers.
#include <gmock/gmock.h>

#include "state/keyed_store.h"
#include "tests/operators/isolated_bed.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(IsolatedStateTest, StateIsKeptHere) {
  OperatorBed around;
  auto store = MakeHeapKeyedStore({"stage", around.context.key_groups}, {});
  ASSERT_TRUE(store.ok());
  IsolatedBed bed("rogue", {{"tally", "true"}}, Isolated(), store->get());
  bed.Run({{"keep", "a"},
           {"keep", "b"},
           {"segv", "a"},
           {"keep", "a"},
           {"fail", "a"},
           {"rubbish", "a"},
           {"keep", "a"},
           {"keep", "b"}});
  bed.Run({{"keep", "a"}, {"abort", "b"}, {"keep", "b"}});
  EXPECT_THAT(bed.Payloads(),
              ElementsAre(R"({"id":"0","n":1})", R"({"id":"1","n":1})", R"({"id":"3","n":2})",
                          R"({"id":"6","n":3})", R"({"id":"7","n":2})", R"({"id":"0","n":4})",
                          R"({"id":"2","n":3})"));
  EXPECT_EQ(bed.Errors().size(), 4);
  EXPECT_EQ(bed.Count("count.events"), 7);
}

TEST(IsolatedStateTest, LargeValuesAreHandedOverInParts) {
  OperatorBed around;
  auto store = MakeHeapKeyedStore({"stage", around.context.key_groups}, {});
  ASSERT_TRUE(store.ok());
  IsolatedBed bed("stateful", {}, Isolated(), store->get());
  PluginBed here("stateful");
  std::vector<Act> texts, reads;  // 12 MB of values for a batch
  for (int i = 0; i < 200; ++i) {
    const std::string tenant = "t" + std::to_string(i);
    texts.push_back({"text", tenant, R"({"id":")" + std::string(60'000 + i, 'x') + "\"}"});
    for (const char* act : {"count", "cut-text", "read"}) reads.push_back({act, tenant});
  }
  for (int i = 199; i >= 0; i -= 7) reads.push_back({"read", "t" + std::to_string(i)});
  for (const std::vector<Act>* acts : {&texts, &reads, &reads}) bed.Run(*acts), here.Run(*acts);
  EXPECT_EQ(bed.Payloads(), here.Payloads());
}

TEST(IsolatedStateTest, AKeyThatIsTooLongFailsItsEventAlone) {
  OperatorBed around;
  auto store = MakeHeapKeyedStore({"stage", around.context.key_groups}, {});
  ASSERT_TRUE(store.ok());
  IsolatedBed bed("rogue", {{"tally", "true"}}, Isolated(), store->get());
  bed.Run(
      {{"keep", "a"}, {"keep", std::string(limits::kStateKeyBytesMax + 1, 'x')}, {"keep", "a"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("key")));
}

// How many bytes of values are read between two writes, at most.
class MeasuredStore final : public KeyedStore {
 public:
  explicit MeasuredStore(std::unique_ptr<KeyedStore> below) : below_(std::move(below)) {}
  size_t most_read() const { return most_read_; }

  StatusOr<StateId> Register(std::string name, Schema value, std::optional<Schema> sub_key,
                             StateOptions options) override {
    return below_->Register(std::move(name), std::move(value), std::move(sub_key), options);
  }
  const Schema* written_schema(StateId state) const override {
    return below_->written_schema(state);
  }
  Status Prefetch(StateId state, std::span<const StateKey> keys) override {
    return below_->Prefetch(state, keys);
  }
  StatusOr<std::optional<std::string_view>> Get(StateId state, const StateKey& key,
                                                std::string_view sub_key) override {
    auto value = below_->Get(state, key, sub_key);
    if (value.ok() && *value) read_ += (*value)->size();
    most_read_ = std::max(most_read_, read_);
    return value;
  }
  Status Put(StateId state, const StateKey& key, std::string_view sub_key,
             std::string_view value) override {
    read_ = 0;
    return below_->Put(state, key, sub_key, value);
  }
  Status Delete(StateId state, const StateKey& key, std::string_view sub_key) override {
    return below_->Delete(state, key, sub_key);
  }
  Status Scan(StateId state, const StateKey& key, std::string_view from,
              const EntryVisitor& visit) override {
    return below_->Scan(state, key, from, visit);
  }
  Status ScanAll(StateId state, const KeyVisitor& visit) override {
    return below_->ScanAll(state, visit);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return below_->Freeze(checkpoint);
  }
  uint64_t bytes() const override { return below_->bytes(); }
  uint64_t memory_bytes() const override { return below_->memory_bytes(); }

 private:
  const std::unique_ptr<KeyedStore> below_;
  size_t read_ = 0;
  size_t most_read_ = 0;
};

TEST(IsolatedStateTest, OnlySoManyValuesAreHeldForABatch) {
  OperatorBed around;
  auto heap = MakeHeapKeyedStore({"stage", around.context.key_groups}, {});
  ASSERT_TRUE(heap.ok());
  MeasuredStore store(*std::move(heap));
  IsolatedBed bed("stateful", {}, Isolated(), &store);
  std::vector<Act> texts;  // 24 MB of values for a batch
  for (int i = 0; i < 400; ++i) {
    texts.push_back({"text", "t" + std::to_string(i),
                     R"({"id":")" + std::string(60'000, static_cast<char>('a' + i % 26)) + "\"}"});
  }
  bed.Run(texts);
  std::vector<Act> cuts, reads;
  for (int i = 0; i < 400; ++i) {
    cuts.push_back({"cut-text", "t" + std::to_string(i)});
    reads.push_back({"read", "t" + std::to_string(i)});
  }
  bed.Run(cuts);
  EXPECT_GT(store.most_read(), limits::kIsolatedRequestBytes / 2);
  EXPECT_LT(store.most_read(), limits::kIsolatedRequestBytes + (128 << 10));
  bed.Run(reads);
  const std::vector<std::string> payloads = bed.Payloads();
  ASSERT_EQ(payloads.size(), 400);
  for (int i = 0; i < 400; ++i) {
    EXPECT_EQ(payloads[i], R"({"says":"0/0.000000/'id':')" +
                               std::string(60'000, static_cast<char>('a' + i % 26)) + R"('}"})");
  }
}

TEST(IsolatedStateTest, OnlySoMuchOfWhatWasWrittenWaitsToBeSettled) {
  auto plugin = LoadIsolated("stateful");
  ASSERT_TRUE(plugin.ok()) << plugin.status();
  std::mutex mutex;
  std::condition_variable changed;
  bool woken = false;
  IsolatedCaller caller(
      *plugin, RealEnvironment().clock,
      [&] {
        std::lock_guard lock(mutex);
        woken = true;
        changed.notify_all();
      },
      [](std::string_view) {});
  constexpr uint32_t kEvents = 1000;  // that write 60 MB
  const BatchPtr batch = Events(
      std::vector<Act>(kEvents, Act{"text", "t", R"({"id":")" + std::string(60'000, 'x') + "\"}"}));
  uint32_t next = 0;
  int answers = 0;
  while (next < kEvents) {
    auto call = std::make_unique<IsolatedCall>();
    call->events = Batch<Event>::Of(*batch).values();
    call->next = next;
    call->key_of_event.assign(kEvents, 0);
    call->values.resize((*plugin)->declaration().states.size());
    caller.Submit(std::move(call));
    {
      std::unique_lock lock(mutex);
      ASSERT_TRUE(
          changed.wait_for(lock, std::chrono::microseconds(2 * kPatience), [&] { return woken; }));
      woken = false;
    }
    const std::unique_ptr<IsolatedCall> answered = caller.Take();
    ASSERT_NE(answered, nullptr) << caller.status();
    EXPECT_GT(answered->next, next);
    EXPECT_LT(answered->log.size(), 3 * limits::kIsolatedRequestBytes);
    next = answered->next;
    ++answers;
  }
  EXPECT_GT(answers, 2);
}

}  // namespace
}  // namespace weir::testing
