// Every kind of stage that can reject a row, with each policy, in a whole job: where the row goes,
// what is counted, and that nothing else of it is left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <stdexcept>

#include "jobs/job.h"
#include "runtime/local_job.h"
#include "testing/temp_dir.h"
#include "tests/operators/file_sink_harness.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kEvents = 10;
constexpr int kBad = 4;  // the event that the stage under test cannot take

bool IsBad(const Event& event) { return event.id == std::to_string(kBad); }

// Counts events in one state over all of them. A bad one has written and emitted when it fails.
class CountAll {
 public:
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count_, ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  Status Process(const Event& event, ProcessContext<Event>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(context.key()));
    const int64_t count = before.value_or(0) + 1;
    WEIR_RETURN_IF_ERROR(count_.Set(context.key(), count));
    Event counted = event;
    counted.payload = context.Keep("count " + std::to_string(count));
    context.Emit(counted);
    if (IsBad(event)) throw std::runtime_error("no counting of this");
    return absl::OkStatus();
  }

 private:
  ValueState<int64_t> count_;
};

struct Kind {
  std::string name;
  // Adds the stage under test, named "stage".
  std::function<Stream<Event>(Stream<Event>)> add;
  std::string error;                 // part of what is told of the bad row
  std::string bad_line;              // its line in the input; empty: like the others
  std::vector<std::string> outputs;  // empty: the good lines, as they are
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

std::string Line(int i) {
  // An hour apart, so that dedup's floor moves on.
  return fmt::format(R"({{"id":"{}","time":"2024-03-01T{:02}:00:00Z"}})", i, i);
}

Stream<Event> Wreck(Stream<Event> events, std::string_view payload, std::string_view route) {
  return events.Map("wreck", [payload, route](const Event& event, SlabArena& arena) {
    Event changed = event;
    changed.route = "all";
    if (!IsBad(event)) return changed;
    if (!payload.empty()) changed.payload = arena.Copy(payload);
    changed.route = route;
    return changed;
  });
}

std::vector<Kind> Kinds() {
  std::vector<Kind> kinds;
  kinds.push_back({"source", [](Stream<Event> s) { return s; }, "a.jsonl", "{broken \xff"});
  kinds.push_back({"map",
                   [](Stream<Event> s) {
                     return s.Map("stage", [](const Event& e) -> StatusOr<Event> {
                       if (IsBad(e)) return absl::InvalidArgumentError("no mapping of this");
                       return e;
                     });
                   },
                   "no mapping of this"});
  kinds.push_back({"filter",
                   [](Stream<Event> s) {
                     return s.Filter("stage", [](const Event& e) {
                       if (IsBad(e)) throw std::runtime_error("no saying");
                       return true;
                     });
                   },
                   "no saying"});
  kinds.push_back({"flat_map",
                   [](Stream<Event> s) {
                     return s.FlatMap<Event>("stage", [](const Event& e, Collector<Event>& out) {
                       out.Emit(e);
                       if (IsBad(e)) throw 7;
                     });
                   },
                   "no std::exception"});
  Kind process{"process",
               [](Stream<Event> s) {
                 return s.KeyBy([](const Event&) { return 1; }).Process<Event>("stage", CountAll());
               },
               "no counting of this"};
  for (int i = 1; i < kEvents; ++i) process.outputs.push_back("count " + std::to_string(i));
  kinds.push_back(process);
  kinds.push_back({"key",
                   [](Stream<Event> s) {
                     return s
                         .KeyBy([](const Event& e) {
                           if (IsBad(e)) throw std::runtime_error("no key");
                           return 1;
                         })
                         .Process<Event>("stage", CountAll());
                   },
                   "no key", "", process.outputs});
  kinds.push_back({"dedup",
                   [](Stream<Event> s) {
                     return s.Rebatch("one-by-one", {.rows = 1})
                         .Dedup("stage", {.window = Milliseconds(8)},
                                [](const Event& e) { return e.id; });
                   },
                   "late", R"({"id":"4","time":"2024-02-01T00:00:00Z"})"});
  kinds.push_back({"router",
                   [](Stream<Event> s) {
                     auto rules =
                         ParseRouterRules("rules: [{when: {payload.x: 1}, to: x}]", "rules.yaml");
                     WEIR_CHECK(rules.ok());
                     return Wreck(s, "{broken", "all").Route("stage", *rules);
                   },
                   "payload"});
  return kinds;
}

class FailurePolicyTest : public ::testing::TestWithParam<std::tuple<Kind, FailurePolicy, bool>> {
 protected:
  FailurePolicyTest() {
    std::filesystem::create_directories(dir_ / "input");
    options_.data_dir = dir_ / "data";
    options_.identity.job_name = "job";
    options_.encode_edges = std::get<2>(GetParam());
  }
  void WriteInput(const std::string& bad_line) {
    std::ofstream file(dir_ / "input/a.jsonl", std::ios::binary);
    for (int i = 0; i < kEvents; ++i) {
      file << (i == kBad && !bad_line.empty() ? bad_line : Line(i)) << "\n";
    }
  }
  Stream<Event> Source() {
    // One event a poll, so that the watermark follows.
    return builder_.From("source", EventFiles({.input = dir_ / "input", .batch_rows = 1},
                                              {.id = {"id"}, .time = "time"}));
  }
  void Run() {
    builder_.DeadLetters("dead-letters", DeadLetterFileSink({.directory = dir_ / "out/dead-letters",
                                                             .by_partition = false}));
    auto built = builder_.Build();
    ASSERT_TRUE(built.ok()) << built.status();
    auto local = LocalJob::Prepare(*built, options_, RealEnvironment());
    ASSERT_TRUE(local.ok()) << local.status();
    result_ = (*local)->Run({});
  }
  const OperatorStatus& Of(const std::string& stage) {
    for (const OperatorStatus& op : result_.status.operators) {
      if (op.name == stage) return op;
    }
    ADD_FAILURE() << "no stage " << stage;
    return result_.status.operators[0];
  }
  // The lines of all committed files of a folder of the output.
  std::vector<std::string> Written(const std::string& folder) {
    std::vector<std::string> lines;
    std::error_code none;
    for (const auto& file : std::filesystem::directory_iterator(dir_ / ("out/" + folder), none)) {
      if (!file.is_regular_file()) continue;
      for (std::string& line : testing::Lines(testing::Decompress(file.path()))) {
        lines.push_back(std::move(line));
      }
    }
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  void Expect(const std::string& stage, FailurePolicy policy, const std::string& error,
              const std::string& record, std::vector<std::string> outputs) {
    if (policy == FailurePolicy::kFail) {
      EXPECT_EQ(result_.state, RunState::kFailed);
      EXPECT_EQ(result_.status.restarts, 0) << "the row will not be better the next time";
      EXPECT_THAT(std::string(result_.status.failure.message()),
                  AllOf(HasSubstr("stage '" + stage + "'"), HasSubstr(error), HasSubstr(record)));
      EXPECT_THAT(Written("all"), IsEmpty());
      EXPECT_THAT(Written("dead-letters"), IsEmpty());
      return;
    }
    EXPECT_EQ(result_.state, RunState::kFinished) << result_.status.failure;
    std::sort(outputs.begin(), outputs.end());
    EXPECT_EQ(Written("all"), outputs);
    const StageCounters& counted = Of(stage).completed;
    const bool drops = policy == FailurePolicy::kDrop;
    EXPECT_EQ(counted.dropped, drops ? 1u : 0u);
    EXPECT_EQ(counted.dead_letters, drops ? 0u : 1u);
    const std::vector<std::string> letters = Written("dead-letters");
    ASSERT_EQ(letters.size(), drops ? 0u : 1u);
    EXPECT_EQ(Of("dead-letters").completed.records_in, letters.size());
    for (const OperatorStatus& op : result_.status.operators) {
      if (op.name == stage) continue;
      EXPECT_EQ(op.completed.dropped + op.completed.dead_letters, 0u) << op.name;
    }
    if (drops) return;
    EXPECT_THAT(letters[0], AllOf(HasSubstr(R"("operator":")" + stage + "\""), HasSubstr(error)));
  }
  static std::vector<std::string> GoodLines() {
    std::vector<std::string> lines;
    for (int i = 0; i < kEvents; ++i) {
      if (i != kBad) lines.push_back(Line(i));
    }
    return lines;
  }

  testing::TempDir dir_;
  JobBuilder builder_{"job"};
  LocalJobOptions options_;
  LocalJobResult result_;
};

TEST_P(FailurePolicyTest, OfASourceOrAnOperator) {
  const auto& [kind, policy, encode] = GetParam();
  WriteInput(kind.bad_line);
  Stream<Event> source = Source();
  if (kind.name == "source") source.OnFailure(policy);
  Stream<Event> stage = kind.add(source);
  if (kind.name != "source") stage.OnFailure(policy);
  stage
      .Map("route",
           [](const Event& event) {
             Event routed = event;
             routed.route = "all";
             return routed;
           })
      .To("files", EventFileSink({.directory = dir_ / "out"}));
  Run();
  Expect(kind.name == "source" ? "source" : "stage", policy, kind.error,
         kind.name == "router"   ? "{broken"
         : kind.bad_line.empty() ? Line(kBad)
                                 : kind.bad_line,
         kind.outputs.empty() ? GoodLines() : kind.outputs);
}

constexpr FailurePolicy kPolicies[] = {FailurePolicy::kDeadLetter, FailurePolicy::kDrop,
                                       FailurePolicy::kFail};
auto NameOf = [](const auto& info) {
  std::string name = std::get<0>(info.param).name + "_" +
                     std::string(ToString(std::get<1>(info.param))) +
                     (std::get<2>(info.param) ? "_encoded" : "");
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
};
INSTANTIATE_TEST_SUITE_P(EveryKind, FailurePolicyTest,
                         ::testing::Combine(::testing::ValuesIn(Kinds()),
                                            ::testing::ValuesIn(kPolicies), ::testing::Bool()),
                         NameOf);

class SinkPolicyTest : public FailurePolicyTest {};

TEST_P(SinkPolicyTest, OfASinkThatTheJobChose) {
  const auto& [kind, policy, encode] = GetParam();
  WriteInput("");
  const std::string payload = kind.name == "line_feed" ? "{\n}" : "";
  Wreck(Source(), payload, kind.name == "label" ? "../away" : "all")
      .To("files", EventFileSink({.directory = dir_ / "out"}))
      .OnFailure(policy);
  Run();
  Expect("files", policy, kind.error, payload.empty() ? Line(kBad) : payload, GoodLines());
  EXPECT_FALSE(std::filesystem::exists(dir_ / "away"));
}

INSTANTIATE_TEST_SUITE_P(
    EveryKind, SinkPolicyTest,
    ::testing::Combine(::testing::Values(Kind{"label", nullptr, "cannot name a folder"},
                                         Kind{"line_feed", nullptr, "line feed"}),
                       ::testing::ValuesIn(kPolicies), ::testing::Values(false)),
    NameOf);

}  // namespace
}  // namespace weir
