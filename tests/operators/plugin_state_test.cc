// What a plugin keeps, puts out on the side and counts, and how long it takes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/plugin.h"
#include "state/keyed_state.h"
#include "testing/memory_snapshots.h"
#include "tests/operators/plugin_harness.h"
#include "tests/support/failing_store.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Says(const std::string& text) { return R"({"says":")" + text + "\"}"; }

TEST(PluginStateTest, EachKeyHasItsValuesAndEventsSeeThoseInFront) {
  PluginBed bed("stateful");
  bed.Run({{"count", "a"}, {"count", "b"}, {"count", "a"}, {"read", "a"}, {"read", "c"}});
  EXPECT_THAT(bed.Payloads(), ElementsAre(Says("1"), Says("1"), Says("2"), Says("2/1.000000/none"),
                                          Says("0/0.000000/none")));
  bed.out.Clear();
  bed.Run({{"count", "a"}, {"text", "b", R"({"b":1})"}, {"cut-text", "b"}, {"read", "b"}});
  EXPECT_THAT(bed.Payloads(), ElementsAre(Says("3"), Says("1/0.500000/'b':1}")));
}

TEST(PluginStateTest, EventsWithoutTheMemberShareAKey) {
  PluginBed bed("stateful");
  bed.Run({{"count", ""}, {"count", ""}});
  EXPECT_THAT(bed.Payloads(), ElementsAre(Says("1"), Says("2")));
}

TEST(PluginStateTest, TheKeyIsTheMemberThatThePluginNames) {
  PluginBed by_id("stateful", {{"key", "id"}});
  by_id.Run({{"count", "a"}, {"count", "a"}});
  EXPECT_THAT(by_id.Payloads(), ElementsAre(Says("1"), Says("1")));
  PluginBed by_type("stateful", {{"key", "type"}});
  by_type.Run({{"count", "a"}, {"count", "b"}, {"read", "a"}});
  EXPECT_THAT(by_type.Payloads(), ElementsAre(Says("1"), Says("2"), Says("0/0.000000/none")));
}

TEST(PluginStateTest, ValuesCanBeRemoved) {
  PluginBed bed("stateful");
  bed.Run({{"count", "a"}, {"text", "a"}, {"clear", "a"}, {"read", "a"}, {"count", "a"}});
  EXPECT_THAT(bed.Payloads(),
              ElementsAre(Says("1"), Says("gone"), Says("0/0.000000/none"), Says("1")));
}

TEST(PluginStateTest, AnEventThatFailsLeavesNeitherStateNorOutputsNorCounts) {
  PluginBed bed("stateful");
  bed.Run({{"count", "a"}, {"count-then-throw", "a"}, {"count-then-rubbish", "a"}, {"count", "a"}});
  EXPECT_THAT(bed.Payloads(), ElementsAre(Says("1"), Says("2")));
  EXPECT_THAT(bed.Payloads(1), IsEmpty());
  EXPECT_THAT(bed.Errors(),
              ElementsAre("plugin stateful 3.0: after all that",
                          HasSubstr("plugin stateful 3.0: emitted a line that is no event")));
  EXPECT_EQ(bed.Counted("count.tally"), 4u);
  EXPECT_EQ(bed.Counted("count.steps"), 20u);
}

TEST(PluginStateTest, WrongUseIsTheEventsFault) {
  PluginBed bed("stateful");
  bed.Run({{"large-value"},
           {"wrong-state"},
           {"wrong-size"},
           {"wrong-output"},
           {"wrong-counter"},
           {"swallow"},
           {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("6"));
  EXPECT_THAT(
      bed.Errors(),
      ElementsAre(HasSubstr("wrote 70000 bytes into state 'text', at most 65536 are allowed"),
                  HasSubstr("used state 7, and has declared 3"),
                  HasSubstr("wrote 4 bytes into state 'seen', whose values have 8"),
                  HasSubstr("to output 3, and has declared 2 beside the main one"),
                  HasSubstr("used counter 2, and has declared 2"), HasSubstr("used state 7")));
}

TEST(PluginStateTest, APluginWithoutThemCannotUseThem) {
  PluginBed bed("raw");
  bed.Run({{"state"}, {"count"}, {"keep"}});
  EXPECT_THAT(bed.Errors(), ElementsAre("plugin raw 1: read a state, and has declared none",
                                        "plugin raw 1: used counter 0, and has declared 0"));
  EXPECT_THAT(bed.Ids(), ElementsAre("2"));
}

TEST(PluginStateTest, AKeyThatIsTooLongIsTheEventsFault) {
  PluginBed bed("stateful");
  const std::string tenant(limits::kStateKeyBytesMax + 1, 't');
  bed.Run({{"count", "a"}, {"count", tenant}, {"keep", tenant}, {"count", "a"}});
  EXPECT_THAT(bed.Payloads(), SizeIs(3));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("state 'seen': its key has")));
}

TEST(PluginStateTest, StatesAreRestoredByNameAndType) {
  PluginBed first("stateful");
  first.Run({{"count", "a"}, {"count", "a"}, {"text", "a", R"({"t":1})"}});
  MemorySnapshots snapshots;
  const auto snapshot = first.store->Freeze(1)->Write(snapshots);
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  std::vector<std::string> schemas;
  for (const StateSchema& schema : snapshot->schemas) {
    schemas.push_back(schema.state + ":" + schema.schema.ToText());
  }
  EXPECT_THAT(schemas, ElementsAre("seen:int", "mean:double", "text:string"));

  const auto restored = [&](const PluginSettings& settings) {
    auto second = std::make_unique<PluginBed>("stateful", settings);
    second->store = *MakeHeapKeyedStore({"stage", {}}, RestoreFor(0, 1, {*snapshot}, snapshots));
    second->bed.context.keyed = second->store.get();
    return second;
  };
  auto same = restored({});
  ASSERT_TRUE(same->op->Open(same->bed.context).ok());
  same->Run({{"read", "a"}});
  EXPECT_THAT(same->Payloads(), ElementsAre(Says("2/1.000000/{'t':1}")));
}

TEST(PluginStateTest, AStateOfAnotherTypeIsRefused) {
  auto store = *MakeHeapKeyedStore({"stage", {}}, Restore{});
  auto number = ValueState<double>::Register(*store, "seen");
  ASSERT_TRUE(number.ok() && number->Set(MakeStateKey("a"), 0.5).ok());
  MemorySnapshots snapshots;
  const auto snapshot = store->Freeze(1)->Write(snapshots);
  ASSERT_TRUE(snapshot.ok());
  auto restored = *MakeHeapKeyedStore({"stage", {}}, RestoreFor(0, 1, {*snapshot}, snapshots));
  PluginDeclaration declaration;
  declaration.key = PluginDeclaration::Key::kId;
  declaration.states = {{"seen", PluginDeclaration::ValueType::kInteger, 0}};
  const auto refused = PluginStates::Open(declaration, *restored);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("seen"));
}

TEST(PluginStateTest, TheKeysOfABatchArePrefetchedAtOnceAndAFailingStoreIsNobodysFault) {
  for (bool FailingStore::*fault :
       {&FailingStore::fail_get, &FailingStore::fail_put, &FailingStore::fail_prefetch}) {
    FailingStore store;
    PluginBed bed("stateful");
    bed.bed.context.keyed = &store;
    ASSERT_TRUE(bed.op->Open(bed.bed.context).ok());
    bed.Run({{"count", "a"}, {"count", "b"}});
    EXPECT_EQ(store.prefetched, 6u) << "two keys in each of three states";
    store.*fault = true;
    EXPECT_EQ(bed.op->Process(0, Events({{"count", "a"}}), bed.out).status().code(),
              absl::StatusCode::kUnavailable);
  }
}

TEST(PluginStateTest, WaitsForAStoreThatIsBusy) {
  FailingStore store;
  PluginBed bed("stateful");
  bed.bed.context.keyed = &store;
  ASSERT_TRUE(bed.op->Open(bed.bed.context).ok());
  store.busy = true;
  EXPECT_EQ(bed.op->Process(0, Events({{"count", "a"}}), bed.out).value(), Progress::kBlocked);
  EXPECT_EQ(bed.op->Resume(bed.out).value(), Progress::kBlocked);
  EXPECT_THAT(bed.out.emitted, IsEmpty());
  store.busy = false;
  EXPECT_EQ(bed.op->Resume(bed.out).value(), Progress::kDone);
  EXPECT_THAT(bed.Payloads(), ElementsAre(Says("1")));
}

TEST(PluginOutputsTest, SideOutputsHavePortsAndRoutes) {
  PluginBed bed("stateful");
  BatchPtr batch = Events({{"alert", "t", R"({"x":1})"}, {"both", "t"}, {"keep"}, {"drop"}});
  const char* bytes = Batch<Event>::Of(*batch)[0].payload.data();
  bed.Run(std::move(batch));
  EXPECT_THAT(bed.Ids(), ElementsAre("1", "2"));
  const auto alerts = bed.out.Rows<Event>(1);
  ASSERT_THAT(alerts, SizeIs(2));
  EXPECT_EQ(alerts[0].payload.data(), bytes);  // kept, and not copied
  EXPECT_EQ(alerts[0].route, "stateful-alerts");
  EXPECT_EQ(alerts[1].payload, R"({"id":"alert"})");
  EXPECT_EQ(alerts[1].id, "alert");
  EXPECT_EQ(alerts[1].priority, 9);
  const auto copies = bed.out.Rows<Event>(2);
  ASSERT_THAT(copies, SizeIs(1));
  EXPECT_EQ(copies[0].route, "stateful-copies");
  EXPECT_EQ(bed.bed.counters.dropped, 1u);
}

TEST(PluginOutputsTest, EveryOutputGoesThroughTheCodec) {
  PluginBed bed("stateful");
  bed.Run({{"both", "t"}, {"alert", "t"}, {"count", "t"}});
  const auto codec = MakeRowCodec<Event>();
  for (const auto& emitted : bed.out.emitted) {
    std::string bytes;
    codec->EncodeBatch(*emitted.batch, bytes);
    auto decoded = codec->DecodeBatch(CopyToSlab(bytes));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ((*decoded)->rows(), emitted.batch->rows());
    EXPECT_EQ((*decoded)->view_bytes(), emitted.batch->view_bytes());
    EXPECT_EQ(Batch<Event>::Of(**decoded)[0].route, Batch<Event>::Of(*emitted.batch)[0].route);
  }
}

TEST(PluginCountersTest, AreKeptByVersion) {
  PluginBed bed("stateful");
  bed.Run({{"keep"}, {"both"}, {"alert"}, {"drop"}, {"count", "a"}, {"count-then-throw", "a"}});
  std::map<std::string, uint64_t> counted(bed.bed.counters.named().begin(),
                                          bed.bed.counters.named().end());
  counted.erase("3.0/micros");
  EXPECT_EQ(counted, (std::map<std::string, uint64_t>{{"3.0/in", 6},
                                                      {"3.0/kept", 2},
                                                      {"3.0/changed", 2},
                                                      {"3.0/dropped", 1},
                                                      {"3.0/failed", 1},
                                                      {"3.0/emitted", 6},
                                                      {"3.0/batches-over-budget", 0},
                                                      {"3.0/count.tally", 2},
                                                      {"3.0/count.steps", 10}}));
}

TEST(PluginBudgetTest, ASlowPluginIsCountedAndTold) {
  PluginBed bed("unruly", {}, AllFields(), {.budget = Milliseconds(10)});
  bed.clock.look_micros = Milliseconds(10);
  bed.Run({{"keep"}});
  EXPECT_THAT(bed.log, IsEmpty());
  EXPECT_EQ(bed.Counted("micros"), 10'000u);
  bed.clock.look_micros = Milliseconds(11);
  for (int batch = 0; batch < 3; ++batch) bed.Run({{"keep"}});
  bed.clock.look_micros = Milliseconds(25);
  bed.Run({{"keep"}});
  EXPECT_EQ(bed.Counted("batches-over-budget"), 4u);
  EXPECT_EQ(bed.Counted("micros"), 68'000u);
  // Not each of them: the first, the second, the fourth, ...
  const std::string told = "plugin unruly 2.1.0 took longer than its budget of 10ms for a batch ";
  EXPECT_THAT(bed.log, ElementsAre(told + "(1 so far, the worst 11.0 ms)",
                                   told + "(2 so far, the worst 11.0 ms)",
                                   told + "(4 so far, the worst 25.0 ms)"));
}

std::string ErrorOf(const PluginSettings& settings) {
  const auto library = LoadPlugin("stateful");
  EXPECT_TRUE(library.ok()) << library.status();
  const auto instance = (*library)->Create(settings);
  return instance.ok() ? "" : std::string(instance.status().message());
}

TEST(PluginDeclarationTest, IsWhatThePluginSays) {
  const auto library = LoadPlugin("stateful");
  const auto instance = (*library)->Create({{"ttl_minutes", "60"}});
  ASSERT_TRUE(instance.ok()) << instance.status();
  EXPECT_EQ(ToText(instance->declaration()),
            "key=tenant states=[seen:integer,mean:number,text:bytes/1h] outputs=[alerts,copies] "
            "counters=[tally,steps]");
}

TEST(PluginDeclarationTest, EverythingThatIsWrongIsTold) {
  EXPECT_EQ(ErrorOf({}), "");
  EXPECT_THAT(ErrorOf({{"key", "none"}}),
              HasSubstr("state 'seen': the plugin is keyed by nothing"));
  EXPECT_THAT(ErrorOf({{"declare", "twice"}}),
              AllOf(HasSubstr("a state 'seen' twice"), HasSubstr("an output 'alerts' twice"),
                    HasSubstr("a counter 'tally' twice"), HasSubstr("it is keyed twice")));
  EXPECT_THAT(ErrorOf({{"declare", "names"}}),
              AllOf(HasSubstr("'no/name' is no name of a state"),
                    HasSubstr("'' is no name of an output"), HasSubstr("is no name of a counter"),
                    HasSubstr("'negative' has a negative time to live"),
                    HasSubstr("keyed by an unknown member (9)")));
  EXPECT_THAT(ErrorOf({{"declare", "many"}}),
              AllOf(HasSubstr("a state 's13', and may have 16 at most"),
                    HasSubstr("an output 'o14', and may have 16 at most"),
                    HasSubstr("a counter 'c30', and may have 32 at most")));
}

TEST(PluginDeclarationTest, EveryInstanceDeclaresTheSame) {
  const auto library = LoadPlugin("stateful");
  const PluginSettings settings{{"declare", "fickle"}};
  const auto checked = (*library)->Create(settings);
  ASSERT_TRUE(checked.ok());
  PluginOperator op(*library, settings, checked->declaration(), AllFields(), {});
  OperatorBed bed;
  const Status opened = op.Open(bed.context);
  EXPECT_THAT(std::string(opened.message()),
              AllOf(HasSubstr("plugin stateful 3.0 declares other things"), HasSubstr(",n")));
}

}  // namespace
}  // namespace weir::testing
