// TestPlugin: a plugin on lines in memory, without a job and without files. A TestJob of three
// stages, "lines", "plugin" and "out": what it says of time, crashes and failures holds here, too.
//
//   TestPlugin plugin("redact", {.folders = {"build/plugins"}, .settings = {{"field", "card"}}});
//   plugin.Add(R"({"id":1,"card":"4111"})");
//   WEIR_ASSERT_OK(plugin.Run());
//   EXPECT_EQ(plugin.Lines(), std::vector<std::string>{R"({"id":1,"card":"***"})"});
//   EXPECT_TRUE(plugin.DeadLetters().empty());
//
// The plugin is the shared library as a job loads it. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "operators/event_reader.h"
#include "testing/test_job.h"

namespace weir::testing {

// An event that owns its bytes.
struct OwnedEvent {
  std::string id, tenant, type, route, payload;
  Timestamp time = 0;
  int64_t priority = 0;

  BOOST_DESCRIBE_CLASS(OwnedEvent, (), (id, tenant, type, route, payload, time, priority), (), ())
};

struct TestPluginOptions {
  std::vector<std::string> folders;             // where lib<name>.so is looked for
  std::map<std::string, std::string> settings;  // the plugin's own
  EventFields fields;                           // what is read from lines
  TestJobOptions job;
};

class TestPlugin {
 public:
  TestPlugin(const std::string& name, TestPluginOptions options);

  // One line of the input. Without a time in it, an event's is a second after the last one's.
  TestPlugin& Add(std::string_view line);
  // The watermark, and what else a source may say.
  TestSource<Event>& source() { return source_; }

  // As TestJob has them; InvalidArgument for a line that is no event.
  Status Process();
  Status Run();
  TestJob& job() { return job_; }

  // What has come out, and the lines of it.
  std::vector<OwnedEvent> Events();
  std::vector<std::string> Lines();
  std::vector<FailedRow> DeadLetters() const { return job_.DeadLetters(); }

 private:
  const TestPluginOptions options_;
  TestJob job_;
  TestSource<Event> source_;
  TestSink<Event> out_;
  EventReader reader_;
  Timestamp last_time_;
  Status wrong_line_;
};

}  // namespace weir::testing
