#include "testing/test_plugin.h"

#include <gmock/gmock.h>

#include "testing/gtest.h"

namespace weir::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// tests/plugins/unruly.cc does what an event's type says.
TestPluginOptions Unruly() {
  TestPluginOptions options;
  options.folders = {WEIR_TEST_PLUGINS};
  options.fields = {{"id"}, "t", "type", "tenant", ""};
  return options;
}

TEST(TestPluginTest, RunsAPluginOnLines) {
  TestPlugin plugin("unruly", Unruly());
  plugin.Add(R"({"id":"a","type":"keep","t":"2026-01-02T00:00:00Z"})")
      .Add(R"({"id":"b","type":"drop"})")
      .Add(R"({"id":"c","type":"fail"})")
      .Add(R"({"id":"d","type":"emit","tenant":"{\"id\":\"e\"}"})");
  WEIR_ASSERT_OK(plugin.Run());
  EXPECT_THAT(plugin.Lines(), ElementsAre(R"({"id":"a","type":"keep","t":"2026-01-02T00:00:00Z"})",
                                          R"({"id":"e"})"));
  const std::vector<OwnedEvent> events = plugin.Events();
  EXPECT_EQ(events[0].id, "a");
  EXPECT_EQ(events[0].time, ParseRfc3339("2026-01-02T00:00:00Z"));
  EXPECT_EQ(events[1].id, "e");
  EXPECT_EQ(events[1].time, events[0].time + Seconds(3)) << "that of the event it came from";
  ASSERT_EQ(plugin.DeadLetters().size(), 1u);
  EXPECT_THAT(plugin.DeadLetters()[0].error, HasSubstr("no such airport"));
  EXPECT_EQ(plugin.DeadLetters()[0].record, R"({"id":"c","type":"fail"})");
  EXPECT_EQ(plugin.job().Counters("plugin").dropped, 1u);
}

TEST(TestPluginTest, SettingsReachThePlugin) {
  TestPluginOptions options = Unruly();
  options.settings["many"] = "2";
  TestPlugin plugin("unruly", options);
  plugin.Add(R"({"id":"a","type":"many"})");
  WEIR_ASSERT_OK(plugin.Run());
  EXPECT_EQ(plugin.Lines().size(), 2u);
  options.settings["may"] = "2";
  EXPECT_THAT(std::string(TestPlugin("unruly", options).Run().message()), HasSubstr("may"));
}

TEST(TestPluginTest, TellsWhatIsWrongWithTheTest) {
  TestPlugin unknown("nobody", Unruly());
  EXPECT_THAT(std::string(unknown.Run().message()), HasSubstr("plugin 'nobody' is missing"));
  TestPlugin plugin("unruly", Unruly());
  plugin.Add("no event");
  EXPECT_EQ(plugin.Run().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(plugin.Run().message()), HasSubstr("line no event"));
  EXPECT_THAT(plugin.Lines(), IsEmpty());
}

}  // namespace
}  // namespace weir::testing
