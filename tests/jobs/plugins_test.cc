// Plugins as a job names them: found, with their settings, and made stages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "jobs/job.h"
#include "testing/temp_dir.h"

namespace weir {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

Parameters Make(Parameters::Values values, std::vector<std::string> folders = {WEIR_TEST_PLUGINS}) {
  return Parameters(std::move(values), LocalResources(), "", PluginsIn(std::move(folders)));
}

TEST(PluginParametersTest, PluginsComeInOrderWithTheirSettings) {
  Parameters p = Make({{"plugins", "unruly,raw"},
                       {"plugin.raw.b", "2"},
                       {"plugin.raw.a.x", ""},
                       {"plugin.unruly.many", "1"}});
  const auto plugins = p.Plugins("plugins", "");
  ASSERT_THAT(plugins, SizeIs(2));
  EXPECT_EQ(plugins[0].name, "unruly");
  EXPECT_THAT(plugins[0].settings, ElementsAre(Pair("many", "1")));
  EXPECT_THAT(plugins[1].settings, ElementsAre(Pair("a.x", ""), Pair("b", "2")));
  EXPECT_EQ(plugins[1].file.path, std::string(WEIR_TEST_PLUGINS) + "/libraw.so");
  EXPECT_THAT(p.Errors(), IsEmpty());
  // They travel with the job: by name, wherever they were.
  ASSERT_THAT(p.resources(), SizeIs(2));
  EXPECT_EQ(p.resources()[1].name, "plugin raw");
  EXPECT_EQ(p.resources()[1].sha256, Sha256Hex(plugins[1].file.bytes));
}

TEST(PluginParametersTest, TheFirstFolderThatHasItCounts) {
  testing::TempDir first, second;
  std::ofstream(first.path() + "/libx.so") << "first";
  std::ofstream(second.path() + "/libx.so") << "second";
  std::ofstream(second.path() + "/liby.so") << "y";
  Parameters p = Make({{"plugins", "x,y,z"}}, {first.path(), second.path()});
  const auto plugins = p.Plugins("plugins", "");
  ASSERT_THAT(plugins, SizeIs(2));
  EXPECT_EQ(plugins[0].file.bytes, "first");
  EXPECT_EQ(plugins[1].file.bytes, "y");
  EXPECT_THAT(p.Errors(), ElementsAre(AllOf(HasSubstr("'z' is missing"), HasSubstr("libz.so"),
                                            HasSubstr(first.path()), HasSubstr(second.path()))));
}

TEST(PluginParametersTest, AllErrorsAreToldAtOnce) {
  Parameters p = Make({{"plugins", "raw,../raw,raw,absent,unruly"},
                       {"plugin.absent.a", "1"},
                       {"plugin.unruly.many", "1"},
                       {"plugin.fussy.text", "1"},
                       {"plugin.NAME.KEY", "1"},
                       {"plugin.raw.", "1"}});
  EXPECT_THAT(p.Plugins("plugins", ""), SizeIs(2));
  EXPECT_THAT(p.Errors(),
              ElementsAre(HasSubstr("'../raw' is no name"), HasSubstr("'raw' is named twice"),
                          HasSubstr("'absent' is missing"),
                          HasSubstr("unknown parameter 'plugin.NAME.KEY'"),
                          HasSubstr("unknown parameter 'plugin.fussy.text'"),
                          HasSubstr("unknown parameter 'plugin.raw.'")));
}

TEST(PluginParametersTest, WithoutALoaderThereAreNone) {
  Parameters p({{"plugins", "raw"}}, LocalResources());
  EXPECT_THAT(p.Plugins("plugins", ""), IsEmpty());
  EXPECT_THAT(p.Errors(), ElementsAre(HasSubstr("'raw'")));
}

TEST(PluginParametersTest, AJobThatTakesNoPluginsKnowsNoSettings) {
  Parameters p = Make({{"plugin.raw.a", "1"}});
  EXPECT_THAT(p.Errors(), ElementsAre(HasSubstr("unknown parameter 'plugin.raw.a'; --help")));
}

StatusOr<BuiltJob> JobWith(const std::string& name, Parameters::Values values) {
  values["plugins"] = name;
  Parameters p = Make(values);
  JobBuilder job("job");
  Stream<Event> events = job.From("source", EventFiles({.input = "in"}, {}));
  for (const PluginResource& plugin : p.Plugins("plugins", "")) {
    events = events.Plugin(plugin.name, plugin, {}).OnFailure(FailurePolicy::kDrop);
  }
  events.To("sink", Blackhole<Event>());
  return job.Build();
}

TEST(PluginStageTest, WhatShapesItsOutputIsInTheFingerprint) {
  const auto one = JobWith("fussy", {{"plugin.fussy.text", "a"}});
  const auto same = JobWith("fussy", {{"plugin.fussy.text", "a"}});
  const auto other = JobWith("fussy", {{"plugin.fussy.text", "b"}});
  ASSERT_TRUE(one.ok() && same.ok() && other.ok());
  EXPECT_EQ(one->graph.Fingerprint(), same->graph.Fingerprint());
  EXPECT_NE(one->graph.Fingerprint(), other->graph.Fingerprint());
  const StageSpec& stage = one->graph.stages[1];
  EXPECT_EQ(stage.kind, "plugin");
  EXPECT_EQ(stage.on_failure, FailurePolicy::kDrop);
  EXPECT_THAT(stage.options, AllOf(HasSubstr("name=fussy version=0.1 sha256="),
                                   HasSubstr(R"(settings={"text":"a"})")));
}

TEST(PluginStageTest, WhatIsWrongWithAPluginIsAnErrorOfItsStage) {
  const auto settings = JobWith("fussy", {});
  EXPECT_EQ(settings.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(
      std::string(settings.status().message()),
      AllOf(HasSubstr("stage 'fussy': plugin fussy 0.1: "), HasSubstr("'text' is missing")));
  EXPECT_THAT(std::string(JobWith("misnamed", {}).status().message()),
              AllOf(HasSubstr("stage 'misnamed'"), HasSubstr("somebody_else")));
}

class StatefulStageTest : public ::testing::Test {
 protected:
  PluginResource Plugin(const std::string& name, PluginSettings settings = {}) {
    Parameters::Values values{{"plugins", name}};
    for (const auto& [key, value] : settings) values["plugin." + name + "." + key] = value;
    Parameters p = Make(values);
    return p.Plugins("plugins", "").at(0);
  }
  std::string Errors() {
    const auto built = job_.Build();
    return built.ok() ? "" : std::string(built.status().message());
  }

  JobBuilder job_{"job"};
  Stream<Event> events_ = job_.From("source", EventFiles({.input = "in"}, {}));
};

TEST_F(StatefulStageTest, IsKeyedByTheMemberThatThePluginNames) {
  Stream<Event> plugin = events_.Plugin("p", Plugin("stateful"), {});
  plugin.To("sink", Blackhole<Event>());
  plugin.Side("alerts").To("alerts", Blackhole<Event>());
  plugin.Side("copies").To("copies", Blackhole<Event>());
  const auto built = job_.Build();
  ASSERT_TRUE(built.ok()) << built.status();
  const StageSpec& stage = built->graph.stages[1];
  EXPECT_TRUE(stage.keyed_state);
  ASSERT_TRUE(stage.key);
  EXPECT_EQ(stage.key->ToText(), "struct{tenant:string}");
  EXPECT_EQ(stage.component, "stateful 3.0");
  EXPECT_THAT(stage.outputs, ElementsAre("alerts", "copies"));
  EXPECT_THAT(stage.options, AllOf(HasSubstr("key=tenant states=[seen:integer,mean:number"),
                                   HasSubstr("budget=5s")));
  EXPECT_EQ(built->graph.edges[0].partitioning, Partitioning::kKeyed);
  Batch<Event> batch;
  batch.Add({.id = "1", .tenant = "a"}, 0);
  batch.Add({.id = "2", .tenant = "b"}, 0);
  batch.Add({.id = "3", .tenant = "a"}, 0);
  built->edges[0].hash_keys(batch);
  EXPECT_THAT(batch.key_hashes(),
              ElementsAre(MakeStateKey("a").hash, MakeStateKey("b").hash, MakeStateKey("a").hash));
  // The edges know the ports.
  std::vector<int> ports;
  for (const EdgeSpec& edge : built->graph.edges) {
    if (edge.from == 1) ports.push_back(edge.port);
  }
  EXPECT_THAT(ports, ElementsAre(0, 1, 2));
  const auto parsed = JobGraph::Parse(built->graph.Serialize());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->stages[1].component, "stateful 3.0");
  EXPECT_EQ(parsed->stages[1].outputs, stage.outputs);
}

TEST_F(StatefulStageTest, APluginWithoutStateIsNotKeyed) {
  events_.Plugin("p", Plugin("unruly"), {}).To("sink", Blackhole<Event>());
  const auto built = job_.Build();
  ASSERT_TRUE(built.ok()) << built.status();
  EXPECT_FALSE(built->graph.stages[1].keyed_state);
  EXPECT_FALSE(built->graph.stages[1].key);
  EXPECT_EQ(built->graph.edges[0].partitioning, Partitioning::kForward);
}

TEST_F(StatefulStageTest, EverySideOutputIsReadAndNoOther) {
  Stream<Event> plugin = events_.Plugin("p", Plugin("stateful"), {});
  plugin.To("sink", Blackhole<Event>());
  plugin.Side("alerts").To("alerts", Blackhole<Event>());
  plugin.Side("alarms").To("alarms", Blackhole<Event>());
  events_.Side("x").To("x", Blackhole<Event>());
  EXPECT_THAT(
      Errors(),
      AllOf(
          HasSubstr("stage 'p': has no side output 'alarms'; its side outputs are: alerts, copies"),
          HasSubstr("stage 'source': has no side output 'x', nor any other"),
          HasSubstr("stage 'p': nothing reads its side output 'copies': take it with "
                    "Side(\"copies\")")));
}

TEST_F(StatefulStageTest, APluginThatCannotBeMadeIsTheOnlyError) {
  Stream<Event> plugin = events_.Plugin("p", Plugin("stateful", {{"key", "none"}}), {});
  plugin.To("sink", Blackhole<Event>());
  plugin.Side("alerts").To("alerts", Blackhole<Event>());
  EXPECT_THAT(Errors(), ::testing::MatchesRegex("stage 'p': plugin stateful 3.0: state 'seen'.*"));
}

TEST_F(StatefulStageTest, TwoPluginsOfOneNameAreAnError) {
  const PluginResource first = Plugin("unruly");
  PluginResource second = Plugin("unruly");
  events_.Plugin("a", first, {}).Plugin("b", second, {}).To("sink", Blackhole<Event>());
  JobBuilder other("other");
  second.file.path = "/elsewhere/libunruly.so";
  second.file.bytes += '\0';  // as good a library as before
  second.file.sha256 = Sha256Hex(second.file.bytes);
  other.From("source", EventFiles({.input = "in"}, {}))
      .Plugin("a", first, {})
      .Plugin("b", second, {})
      .To("sink", Blackhole<Event>());
  EXPECT_EQ(Errors(), "");  // one plugin, twice
  EXPECT_THAT(std::string(other.Build().status().message()),
              AllOf(HasSubstr("stage 'b': there are two plugins of the name 'unruly'"),
                    HasSubstr("/elsewhere/libunruly.so"), HasSubstr(first.file.path),
                    HasSubstr("stage 'a'")));
}

// Of the plugin "stateful": its routes are "<name>-alerts" and "<name>-copies".
TEST_F(StatefulStageTest, ARuleMayNotSendEventsWhereAPluginPutsOut) {
  const auto with_rules = [this](std::string rules) {
    JobBuilder job("job");
    Stream<Event> events = job.From("source", EventFiles({.input = "in"}, {}));
    // The plugin comes behind the router, too.
    Stream<Event> routed = events.Route("router", Resource{"rules.yaml", "/r.yaml", rules, ""});
    Stream<Event> plugin = routed.Plugin("p", Plugin("stateful"), {});
    plugin.To("sink", Blackhole<Event>());
    plugin.Side("alerts").Union(plugin.Side("copies")).To("aside", Blackhole<Event>());
    return job.Build();
  };
  EXPECT_EQ(with_rules("rules: [{to: stateful-copies}]").status(),
            absl::InvalidArgumentError(
                "stage 'router': a rule sends events to 'stateful-copies', which is the route of "
                "output 'copies' of plugin 'stateful': name another route in the rule, or give the "
                "output another name"));
  const StatusOr<BuiltJob> built = with_rules("rules: [{to: stateful-others}]");
  ASSERT_TRUE(built.ok()) << built.status();
  // Nor when they are read again.
  const auto& compile = built->stages[1].reloadable->compile;
  EXPECT_TRUE(compile("rules: [{to: stateful}]").ok());
  EXPECT_THAT(std::string(compile("rules: [{to: stateful-alerts}]").status().message()),
              AllOf(HasSubstr("/r.yaml"), HasSubstr("output 'alerts' of plugin 'stateful'")));
}

TEST(PluginRoutesTest, ARouteIsThatOfOneOutput) {
  PluginRoutes routes;
  EXPECT_TRUE(routes.Add("a", "b-c").ok());
  EXPECT_TRUE(routes.Add("a", "b").ok());
  EXPECT_TRUE(routes.Add("a", "b-c").ok()) << "the same plugin in another stage";
  EXPECT_EQ(routes.Add("a-b", "c"),
            absl::InvalidArgumentError(
                "output 'c' of plugin 'a-b' has the route 'a-b-c', and so has output 'b-c' of "
                "plugin 'a': give one of the plugins, or of their outputs, another name"));
  EXPECT_TRUE(routes.CheckRule("a-c").ok());
  EXPECT_THAT(std::string(routes.CheckRule("a-b-c").message()), HasSubstr("'b-c' of plugin 'a'"));
}

}  // namespace
}  // namespace weir
