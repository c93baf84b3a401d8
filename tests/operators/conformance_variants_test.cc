// Stages in those of their forms that behave otherwise than the ones of conformance_test.cc:
// plugins with states and in processes of their own, routers with ports and with predicates.
#include <gmock/gmock.h>

#include "jobs/job.h"
#include "testing/conformance.h"
#include "testing/gtest.h"
#include "tests/operators/plugin_harness.h"

namespace weir {
namespace {

using testing::CaseOf;
using testing::InputScript;
using testing::RowOrder;
using testing::StageCase;

constexpr Timestamp kStart = 1'767'225'600'000'000;

std::pair<Event, Timestamp> Row(std::string_view tenant, std::string_view type, Timestamp after,
                                std::string_view payload = R"({"id":"x","delay":70})") {
  Event event;
  event.id = tenant;
  event.tenant = tenant;
  event.type = type;
  event.payload = payload;
  event.priority = static_cast<int64_t>(tenant.size());
  event.time = kStart + after;
  return {event, event.time};
}

// By types that tests/plugins/stateful.cc knows.
InputScript Acts() {
  InputScript input;
  input
      .Rows<Event>({Row("a", "count", 1), Row("bb", "count", 2), Row("a", "read", 3),
                    Row("a", "count-then-throw", 4)})
      .Rows<Event>({Row("bb", "alert", 5), Row("a", "both", 6), Row("c", "text", 7)})
      .Watermark(kStart + Seconds(1))
      .Advance(Seconds(2))
      .Rows<Event>({Row("a", "count", Seconds(2)), Row("bb", "clear", Seconds(2) + 1)})
      .Rows<Event>({Row("c", "read", Seconds(3)), Row("bb", "read", Seconds(3) + 1),
                    Row("a", "count-then-rubbish", Seconds(3) + 2), Row("a", "read", Seconds(4))})
      .Watermark(kStart + Seconds(5))
      .Rows<Event>({Row("a", "count", 9)});
  return input;
}
constexpr size_t kRowsOfActs = 13;

// By types that tests/plugins/unruly.cc knows.
InputScript Unruliness() {
  InputScript input;
  input.Rows<Event>({Row("a", "keep", 1), Row("bb", "many", 2), Row("a", "fail", 3)})
      .Watermark(kStart + Seconds(1))
      .Rows<Event>({Row("c", "emit-then-throw", Seconds(2)), Row("a", "drop", Seconds(3))})
      .Advance(Seconds(2))
      .Rows<Event>({Row("c", "keep", Seconds(4))});
  return input;
}
constexpr size_t kRowsOfUnruliness = 5;

InputScript Kinds() {
  InputScript input;
  input.Rows<Event>({Row("a", "keep", 1), Row("bb", "other", 2), Row("a", "many", 3, "no JSON")})
      .Watermark(kStart + Seconds(1))
      .Rows<Event>({Row("bb", "many", Seconds(2)), Row("c", "odd", Seconds(3), "{}")});
  return input;
}

constexpr const char* kRules = R"(
rules:
  - {when: {payload.delay: {min: 60}}, to: slow}
)";
constexpr const char* kOtherRules = R"(
match: all
rules:
  - {when: {type: [keep, many]}, to: all}
  - {when: {type: keep}, to: kept, port: side}
)";

PluginResource Plugin(std::string_view name) {
  PluginResource plugin;
  plugin.name = name;
  plugin.file.path = testing::PluginPath(name);
  plugin.file.bytes = *ReadFile(RealEnvironment().disk, plugin.file.path);
  plugin.file.sha256 = Sha256Hex(plugin.file.bytes);
  return plugin;
}

class ConformanceOfVariants : public ::testing::Test {
 protected:
  ConformanceOfVariants() {
    JobBuilder job("variants");
    const EventFields fields{{"id"}, "t", "", "", ""};
    // By the kit's clock, which goes on while a process does not.
    PluginOptions isolated;
    isolated.isolate = true;
    isolated.timeout = Hours(1);
    auto events = job.From("events", EventFiles({.input = "-"}, fields));
    auto end = [](std::string_view stage, Stream<Event> stream) {
      stream.To("after-" + std::string(stage), Blackhole<Event>());
      for (const std::string& port : stream.SideNames()) {
        stream.Side(port).To(fmt::format("{}-of-{}", port, stage), Blackhole<Event>());
      }
    };
    end("stateful", events.Plugin("stateful", Plugin("stateful"), fields));
    end("isolated", events.Plugin("isolated", Plugin("unruly"), fields, isolated));
    end("isolated-stateful",
        events.Plugin("isolated-stateful", Plugin("stateful"), fields, isolated));
    end("predicates", events.Route("predicates",
                                   RuleSet()
                                       .When({.label = "kept", .port = "side"},
                                             [](const Event& e) { return e.type == "keep"; })
                                       .When("long",
                                             [](const Event& e) -> StatusOr<bool> {
                                               if (e.type == "odd")
                                                 return absl::InvalidArgumentError("odd");
                                               return e.tenant.size() > 1;
                                             })
                                       .When({.label = "kept", .port = "side"},
                                             [](const Event& e) { return e.type != "other"; })
                                       .MatchAll()
                                       .OtherwiseDrop(),
                                   {"side"}));
    Resource rules{.name = "rules", .path = "rules.yaml", .bytes = kRules, .sha256 = ""};
    end("router", events.Route("router", rules, {"side"}));
    auto built = job.Build();
    EXPECT_TRUE(testing::IsOk(built));
    job_ = *std::move(built);
  }

  StageCase Stage(std::string_view name, InputScript input) {
    StageCase stage = CaseOf(job_, name);
    stage.input = std::move(input);
    stage.order = RowOrder::kSamePerKey;
    stage.key = "tenant";
    stage.late_output = true;         // a plugin sets times as it likes
    stage.outside_max = Seconds(10);  // to start a process
    return stage;
  }

  void ExpectConforms(const StageCase& stage, size_t rows) {
    const testing::ConformanceReport report = testing::CheckConformance(stage);
    EXPECT_TRUE(report.ok()) << report.ToText();
    EXPECT_EQ(report.rows, rows) << report.ToText();
    EXPECT_GE(report.restores, 6) << report.ToText();
  }

  BuiltJob job_;
};

TEST_F(ConformanceOfVariants, PluginWithStates) {
  ExpectConforms(Stage("stateful", Acts()), kRowsOfActs);
}

TEST_F(ConformanceOfVariants, IsolatedPlugin) {
  ExpectConforms(Stage("isolated", Unruliness()), kRowsOfUnruliness);
}

TEST_F(ConformanceOfVariants, IsolatedPluginWithStates) {
  ExpectConforms(Stage("isolated-stateful", Acts()), kRowsOfActs);
}

TEST_F(ConformanceOfVariants, RouterWithPredicatesAndPorts) {
  StageCase stage = Stage("predicates", Kinds());
  stage.late_output = false;
  ExpectConforms(stage, 5);
}

TEST_F(ConformanceOfVariants, RouterWhoseRulesAreReloaded) {
  InputScript input;
  input.Rows<Event>({Row("a", "keep", 1), Row("bb", "other", 2), Row("a", "many", 3, "no JSON")})
      .Reload(kOtherRules)
      .Rows<Event>({Row("bb", "keep", 4), Row("a", "many", 5, "no JSON")})
      .Reload(kRules)
      .Reload(kOtherRules)
      .Watermark(kStart + Seconds(1))
      .Rows<Event>({Row("a", "keep", Seconds(2)), Row("c", "odd", Seconds(3))})
      .Reload(kRules)
      .Rows<Event>({Row("c", "odd", Seconds(4)), Row("bb", "keep", Seconds(4))});
  StageCase stage = Stage("router", std::move(input));
  stage.late_output = false;
  ExpectConforms(stage, 10);
}

}  // namespace
}  // namespace weir
