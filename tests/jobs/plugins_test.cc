// Plugins as a job names them: found, with their settings, and made stages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "jobs/job.h"
#include "tests/support/temp_dir.h"

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

}  // namespace
}  // namespace weir
