// Every operator, source and sink that a job can name, through the conformance kit. The stages are
// made as a job makes them; a test tells which kinds and connectors have been forgotten.
#include "testing/conformance.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "jobs/job.h"
#include "testing/gtest.h"
#include "testing/temp_dir.h"
#include "tests/operators/conformance_harness.h"
#include "tests/operators/file_sink_harness.h"
#include "tests/operators/line_source_harness.h"
#include "tests/operators/plugin_harness.h"

namespace weir {
namespace {

using testing::CaseOf;
using testing::ExpectConforms;
using testing::InputScript;
using testing::RowOrder;
using testing::StageCase;

struct Order {
  std::string_view customer;
  int64_t amount = 0;
  BOOST_DESCRIBE_CLASS(Order, (), (customer, amount), (), ())
};

constexpr Timestamp kStart = 1'767'225'600'000'000;

InputScript Orders() {
  InputScript input;
  input
      .Rows<Order>({{{"ada", 1}, kStart + 1},
                    {{"bob", 2}, kStart + 2},
                    {{"ada", -3}, kStart + 3},
                    {{"", 4}, kStart + 4}})
      .Rows<Order>({{{"cy", 5}, kStart + 5}})
      .Rows<Order>({{{"ada", 6}, kStart + 6}, {{"bob", -7}, kStart + 7}})
      .Watermark(kStart + Seconds(2))
      .Advance(Seconds(3))
      .Rows<Order>({{{"ada", 8}, kStart + Seconds(3)}, {{"dan", 9}, kStart + Seconds(4)}})
      .Watermark(kStart + Seconds(10))
      .Advance(Seconds(30));
  return input;
}

Event MakeEvent(std::string_view id, std::string_view type, std::string_view payload,
                Timestamp time) {
  Event event;
  event.id = id;
  event.tenant = id.substr(0, 1);
  event.type = type;
  event.payload = payload;
  event.time = time;
  return event;
}

// Types as the plugin of the tests knows them, which others do not mind.
InputScript Events() {
  const Timestamp t = kStart;
  auto row = [&](std::string_view id, std::string_view type, Timestamp time) {
    return std::pair(MakeEvent(id, type, R"({"id":"x","delay":70})", time), time);
  };
  InputScript input;
  input.Rows<Event>({row("a1", "keep", t + 1), row("b1", "drop", t + 2), row("a1", "fail", t + 3)})
      .Rows<Event>({row("b1", "many", t + 4), row("c1", "emit-then-throw", t + 5)})
      .Watermark(t + Seconds(1))
      .Advance(Seconds(2))
      .Rows<Event>({row("c1", "fields", t + Hours(30)), row("d1", "keep", t + Hours(30) + 1)})
      .Watermark(t + Hours(30))
      // A time of long ago: late for dedup, and behind the watermark for everybody.
      .Rows<Event>({row("a1", "keep", t + 9), row("d1", "keep", t + Hours(30) + 2)});
  return input;
}

// Greets each customer once, and again when its timers fire.
struct Greeter {
  TimerKind kind = TimerKind::kEventTime;
  ValueState<int64_t> orders;
  MapState<int64_t, int64_t> amounts;

  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(orders, ValueState<int64_t>::Register(store, "orders"));
    WEIR_ASSIGN_OR_RETURN(amounts, (MapState<int64_t, int64_t>::Register(store, "amounts")));
    return absl::OkStatus();
  }
  Status Process(const Order& order, ProcessContext<Order>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, orders.Get(context.key()));
    WEIR_RETURN_IF_ERROR(orders.Set(context.key(), before.value_or(0) + 1));
    WEIR_RETURN_IF_ERROR(amounts.Put(context.key(), order.amount, context.time()));
    context.Emit({order.customer, before.value_or(0)});
    WEIR_RETURN_IF_ERROR(context.SetTimer(kind, context.time() + Seconds(order.amount)));
    if (order.amount < 0) return absl::InvalidArgumentError("a negative amount");
    return absl::OkStatus();
  }
  Status OnTimer(TimerKind, Timestamp, ProcessContext<Order>& context) {
    WEIR_ASSIGN_OR_RETURN(auto count, orders.Get(context.key()));
    context.Emit({context.Keep(context.key().bytes), 1000 + count.value_or(0)});
    return absl::OkStatus();
  }
};

PluginResource Unruly() {
  PluginResource plugin;
  plugin.name = "unruly";
  plugin.file.path = testing::PluginPath("unruly");
  plugin.file.bytes = *ReadFile(RealEnvironment().disk, plugin.file.path);
  plugin.file.sha256 = Sha256Hex(plugin.file.bytes);
  return plugin;
}

constexpr const char* kRules = R"(
match: all
rules:
  - {when: {type: [keep, many]}, to: [kept, all]}
  - {when: {payload.delay: {min: 60}}, to: delayed}
)";

class ConformanceOfStages : public ::testing::Test {
 protected:
  ConformanceOfStages() {
    WriteInput();
    JobBuilder job("everything");
    FileSourceOptions files{.input = in_};
    files.batch_rows = 3;
    files.split_range_bytes = 96;
    const EventFields fields{{"id"}, "t", "", "", ""};
    FileSinkOptions sink{.directory = out_};
    sink.block_bytes = 32;  // so that many are on their way at once
    sink.in_flight_blocks_max = 1;
    sink.open_parts_max = 2;
    FileSinkOptions flat = sink;
    flat.by_partition = false;

    auto orders = job.From("JsonFiles", JsonFiles<Order>(files));
    auto by_customer = [](const Order& o) { return o.customer; };
    orders
        .Map("map",
             [](const Order& o, SlabArena& arena) -> StatusOr<Order> {
               if (o.amount < 0) return absl::InvalidArgumentError("a negative amount");
               return Order{arena.Copy("to " + std::string(o.customer)), o.amount * 2};
             })
        .Filter("filter",
                [](const Order& o) -> StatusOr<bool> {
                  if (o.amount < 0) throw std::runtime_error("a negative amount");
                  return o.amount % 2 == 0;
                })
        .FlatMap<Order>("flat_map",
                        [](const Order& o, Collector<Order>& out) -> Status {
                          for (int64_t i = 0; i < std::abs(o.amount); ++i) {
                            out.Emit({o.customer, i});
                          }
                          if (o.amount < 0) return absl::InvalidArgumentError("negative");
                          return absl::OkStatus();
                        })
        .Rebatch("rebatch", {.rows = 3, .delay = Seconds(2)})
        .KeyBy(by_customer)
        .Process<Order>("process", Greeter())
        .KeyBy(by_customer)
        .Process<Order>("process-by-clock", Greeter{.kind = TimerKind::kProcessingTime})
        .To("JsonFileSink", JsonFileSink<Order>(flat));
    auto limited =
        orders.Rebatch("rebatch-by-key", {.rows = 2, .delay = Seconds(2)}, by_customer)
            .Sample("sample", {.share = 0.5, .seed = 7})
            .Sample("sample-by-key", {.share = 0.5, .seed = 3}, by_customer)
            .Throttle("throttle", {.rows = 1, .per = Seconds(2), .over = OverLimit::kSide},
                      by_customer);
    limited
        .Async<Order>("async", {.concurrency = 2, .timeout = Hours(1)},
                      [](const Order& o) -> StatusOr<Order> {
                        if (o.amount < 0) return absl::InvalidArgumentError("negative");
                        return Order{o.customer, o.amount + 1};
                      })
        .To("answers", Blackhole<Order>());
    orders
        .Async<Order>("async-calls-back", {.concurrency = 2, .ordered = false, .retries = 2},
                      [](const Order& o, AsyncReply<Order> reply) {
                        if (o.amount < 0) return reply(absl::UnavailableError("negative"));
                        reply(Order{o.customer, o.amount + 1});
                      })
        .To("called-back", Blackhole<Order>());
    limited.Side<Order>(kThrottledPort).To("throttled", Blackhole<Order>());
    orders.To("JsonStdout", JsonStdout<Order>());
    orders.To("Blackhole", Blackhole<Order>());
    job.From("EventFiles", EventFiles(files, fields))
        .Dedup("dedup", {.window = Hours(8)}, [](const Event& e) { return e.id; })
        .Plugin("plugin", Unruly(), fields)
        .Route("router", *ParseRouterRules(kRules, "rules"))
        .To("EventFileSink", EventFileSink(sink));
    FileSinkOptions open = flat;  // parts are written on across checkpoints
    open.part_bytes = 1 << 20;
    open.manifest = true;
    orders.To("open-parts", JsonFileSink<Order>(open));
    open.part_bytes = 64;  // a few blocks
    orders.To("small-parts", JsonFileSink<Order>(open));
    job.From("Nexmark", Nexmark({.events = 100, .rate = 50, .splits = 4}))
        .To("nothing", Blackhole<NexmarkEvent>());
    job.DeadLetters("DeadLetterFileSink", DeadLetterFileSink(flat));
    auto built = job.Build();
    EXPECT_TRUE(testing::IsOk(built));
    job_ = *std::move(built);
  }

  // Files that overlap in time are read in the order of time.
  void WriteInput() {
    std::string lines[3];
    for (int i = 0; i < 30; ++i) {
      lines[i % 3] += testing::EventLine("e" + std::to_string(i), 1'700'000'000 + i);
    }
    lines[1] += "no event\n";
    testing::WriteBytes(in_ + "/plain.jsonl", lines[0]);
    testing::WriteBytes(in_ + "/gzip.jsonl.gz", testing::Gzip(lines[1]));
    testing::WriteBytes(in_ + "/zstd.jsonl.zst", testing::Zstd(lines[2]));
  }

  StageCase Stage(std::string_view name) { return CaseOf(job_, name); }
  // An operator whose rows have keys, in their order.
  StageCase Stage(std::string_view name, InputScript input, std::string key) {
    StageCase stage = CaseOf(job_, name);
    stage.input = std::move(input);
    stage.order = RowOrder::kSamePerKey;
    stage.key = std::move(key);
    return stage;
  }
  // What a reader finds in `out_`, as JSON.
  StageCase FileSinkStage(std::string_view name, InputScript input) {
    StageCase stage = CaseOf(job_, name);
    stage.input = std::move(input);
    stage.reset = [this] {
      std::filesystem::remove_all(out_);
      std::filesystem::create_directories(out_);
    };
    stage.read = [this]() -> StatusOr<std::vector<std::string>> {
      std::vector<std::string> rows;
      for (const auto& [partition, lines] : testing::Committed(out_)) {
        for (const std::string& line : lines) rows.push_back(partition + ": " + line);
      }
      return rows;
    };
    return stage;
  }

  testing::TempDir dir_;
  const std::string in_ = dir_ / "in";
  const std::string out_ = dir_ / "out";
  BuiltJob job_;
};

TEST_F(ConformanceOfStages, Map) { ExpectConforms(Stage("map", Orders(), "customer"), 7); }

TEST_F(ConformanceOfStages, Filter) { ExpectConforms(Stage("filter", Orders(), "customer"), 4); }

TEST_F(ConformanceOfStages, FlatMap) {
  ExpectConforms(Stage("flat_map", Orders(), "customer"), 35);
}

TEST_F(ConformanceOfStages, Rebatch) { ExpectConforms(Stage("rebatch", Orders(), "customer"), 9); }

TEST_F(ConformanceOfStages, RebatchByKey) {
  ExpectConforms(Stage("rebatch-by-key", Orders(), "customer"), 9);
}

TEST_F(ConformanceOfStages, Sample) {
  StageCase stage = Stage("sample", Orders(), "customer");
  stage.rescales = false;  // rows are chosen anew at another parallelism
  ExpectConforms(stage, 5);
}

TEST_F(ConformanceOfStages, SampleByKey) {
  ExpectConforms(Stage("sample-by-key", Orders(), "customer"), 4);
}

TEST_F(ConformanceOfStages, Throttle) {
  StageCase stage = Stage("throttle", Orders(), "customer");
  stage.keyed_in_files = true;  // its buckets expire
  ExpectConforms(stage, 9);
}

TEST_F(ConformanceOfStages, Async) {
  StageCase stage = Stage("async", Orders(), "customer");
  stage.outside_max = Seconds(1);  // its threads are slow on a machine that is busy
  ExpectConforms(stage, 7);
}

// A client that answers at once, with retries for which time has to pass.
TEST_F(ConformanceOfStages, AsyncCallsBack) {
  StageCase stage = Stage("async-calls-back", Orders(), "customer");
  stage.order = RowOrder::kAny;
  stage.outside_max = Milliseconds(1);
  ExpectConforms(stage, 7);
}

TEST_F(ConformanceOfStages, Process) {
  StageCase stage = Stage("process", Orders(), "customer");
  stage.compare_clock = true;
  ExpectConforms(stage, 14);
}

TEST_F(ConformanceOfStages, ProcessByClock) {
  StageCase stage = Stage("process-by-clock", Orders(), "customer");
  stage.compare_clock = true;
  ExpectConforms(stage, 14);
}

TEST_F(ConformanceOfStages, Dedup) { ExpectConforms(Stage("dedup", Events(), "id"), 5); }

TEST_F(ConformanceOfStages, Plugin) {
  StageCase stage = Stage("plugin", Events(), "id");
  stage.late_output = true;  // a plugin sets times as it likes
  ExpectConforms(stage, 8);
}

TEST_F(ConformanceOfStages, Router) { ExpectConforms(Stage("router", Events(), "id"), 19); }

TEST_F(ConformanceOfStages, EventFileSink) {
  InputScript input;
  auto row = [](std::string_view route, std::string_view payload) {
    Event event = MakeEvent("a", "", payload, kStart);
    event.route = route;
    return std::pair(event, kStart);
  };
  input.Rows<Event>({row("x", R"({"n":1})"), row("y", R"({"n":2})"), row("no/label", "{}")})
      .Rows<Event>({row("x", R"({"n":3})"), row("z", R"({"n":4})"), row("x", "{\n}")})
      .Rows<Event>({row("y", R"({"n":5})"), row("z", R"({"n":6})"), row("x", R"({"n":7})")});
  ExpectConforms(FileSinkStage("EventFileSink", input), 7);
}

TEST_F(ConformanceOfStages, JsonFileSink) {
  ExpectConforms(FileSinkStage("JsonFileSink", Orders()), 9);
}

TEST_F(ConformanceOfStages, FileSinkWithOpenParts) {
  ExpectConforms(FileSinkStage("open-parts", Orders()), 9);
}

TEST_F(ConformanceOfStages, FileSinkWithSmallOpenParts) {
  ExpectConforms(FileSinkStage("small-parts", Orders()), 9);
}

TEST_F(ConformanceOfStages, DeadLetterFileSink) {
  InputScript input;
  input.Rows<DeadLetter>({{{"map", "bad", "{}"}, 1}, {{"map", "worse", "\xff\xfe"}, 2}})
      .Rows<DeadLetter>({{{"sum", "bad", ""}, 3}});
  ExpectConforms(FileSinkStage("DeadLetterFileSink", input), 3);
}

TEST_F(ConformanceOfStages, JsonStdout) {
  const std::string path = dir_ / "stdout";
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND, 0600);
  ASSERT_GE(fd, 0);
  StageCase stage = Stage("JsonStdout");
  ASSERT_FALSE(stage.exactly_once);
  stage.input = Orders();
  // The same sink on another descriptor: that of the test is not the sink's.
  stage.code.sink = [fd] {
    return std::make_unique<StdoutSink>(std::make_unique<JsonLines<Order>>(), fd);
  };
  stage.reset = [fd] { ASSERT_EQ(ftruncate(fd, 0), 0); };
  stage.read = [path]() -> StatusOr<std::vector<std::string>> {
    WEIR_ASSIGN_OR_RETURN(const std::string text, ReadFile(RealEnvironment().disk, path));
    return testing::Lines(text);
  };
  ExpectConforms(stage, 9);
  close(fd);
}

TEST_F(ConformanceOfStages, Blackhole) {
  StageCase stage = Stage("Blackhole");
  stage.input = Orders();
  ExpectConforms(stage, 0);
}

TEST_F(ConformanceOfStages, EventFiles) { ExpectConforms(Stage("EventFiles"), 30); }

TEST_F(ConformanceOfStages, JsonFiles) {
  StageCase stage = Stage("JsonFiles");
  stage.late_output = true;  // rows without a time have that of their arrival
  ExpectConforms(stage, 30);
}

TEST_F(ConformanceOfStages, Nexmark) {
  StageCase stage = Stage("Nexmark");
  stage.freeze_max = Milliseconds(50);
  ExpectConforms(stage, 100);
}

// What the headers of jobs/ can make: kinds of operators, and functions that make a source or a
// sink.
std::set<std::string> WhatJobsCanMake() {
  std::set<std::string> made;
  for (const char* name : {"stream.h", "stream.cc", "connectors.h"}) {
    std::ifstream in(std::string(WEIR_SOURCE_DIR) + "/jobs/" + name);
    EXPECT_TRUE(in) << name;
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const bool connectors = std::string_view(name) == "connectors.h";
    const std::regex what(connectors ? R"((?:Source|Sink)Spec<\w+> ([A-Z]\w+)\()"
                                     : R"re(\.kind = "(\w+)")re");
    for (std::sregex_iterator it(text.begin(), text.end(), what), end; it != end; ++it) {
      made.insert((*it)[1]);
    }
  }
  made.erase("LineFiles");     // internal
  made.erase("LinesToFiles");  // internal
  return made;
}

TEST_F(ConformanceOfStages, NoneIsForgotten) {
  // By the name of the stage's kind, or of the connector: each of them has a test above.
  std::set<std::string> tested;
  for (const StageSpec& stage : job_.graph.stages) {
    // Stages named in small letters are only there for others.
    if (stage.role == StageRole::kOperator) tested.insert(stage.kind);
    if (stage.role != StageRole::kOperator && std::isupper(stage.name[0])) {
      tested.insert(stage.name);
    }
  }
  EXPECT_EQ(WhatJobsCanMake(), tested);
  const auto* suite = ::testing::UnitTest::GetInstance()->current_test_suite();
  std::set<std::string> tests;
  for (int i = 0; i < suite->total_test_count(); ++i) {
    tests.insert(suite->GetTestInfo(i)->name());
  }
  for (std::string name : tested) {
    // "flat_map" is tested by FlatMap.
    std::string test;
    for (size_t i = 0; i < name.size(); ++i) {
      if (name[i] == '_') continue;
      const bool first = i == 0 || name[i - 1] == '_';
      test += first ? static_cast<char>(std::toupper(name[i])) : name[i];
    }
    EXPECT_EQ(tests.count(test), 1u) << "no test " << test << " for " << name;
  }
}

}  // namespace
}  // namespace weir
