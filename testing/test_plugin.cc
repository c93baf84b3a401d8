#include "testing/test_plugin.h"

#include <fmt/format.h>

#include "jobs/job.h"

namespace weir::testing {
namespace {

constexpr const char* kParameter = "plugins";

TestJob MakeJob(const std::string& name, const TestPluginOptions& options) {
  Parameters::Values values = {{kParameter, name}};
  for (const auto& [key, value] : options.settings) {
    values[fmt::format("plugin.{}.{}", name, key)] = value;
  }
  TestJobOptions job = options.job;
  job.plugin_folders = options.folders;
  const EventFields fields = options.fields;
  return TestJob(
      [fields](JobBuilder& builder, Parameters& parameters) {
        const std::vector<PluginResource> plugins = parameters.Plugins(kParameter, "the plugin");
        auto lines = builder.From("lines", EventFiles({.input = "-"}, fields));
        for (const PluginResource& plugin : plugins) {
          lines = lines.Plugin("plugin", plugin, fields);
        }
        lines.To("out", Blackhole<Event>());
        builder.DeadLetters("dead-letters", Blackhole<DeadLetter>());
      },
      std::move(values), std::move(job));
}

}  // namespace

TestPlugin::TestPlugin(const std::string& name, TestPluginOptions options)
    : options_(std::move(options)),
      job_(MakeJob(name, options_)),
      source_(job_.Source<Event>("lines")),
      out_(job_.Sink<Event>("out")),
      reader_(options_.fields),
      last_time_(options_.job.start) {}

TestPlugin& TestPlugin::Add(std::string_view line) {
  const SlabPtr slab = CopyToSlab(line);  // with room behind it for the parser
  Event event;
  std::optional<Timestamp> time;
  if (Status status = reader_.Read(slab->view(), event, time); !status.ok()) {
    if (wrong_line_.ok()) wrong_line_ = Annotate(status, fmt::format("line {}", line));
    return *this;
  }
  event.time = last_time_ = time.value_or(last_time_ + Seconds(1));
  source_.Add(event, event.time);
  SlabSet copied;
  reader_.Release(copied);  // the source has made its own copy
  return *this;
}

Status TestPlugin::Process() {
  WEIR_RETURN_IF_ERROR(wrong_line_);
  return job_.Process();
}

Status TestPlugin::Run() {
  WEIR_RETURN_IF_ERROR(wrong_line_);
  return job_.Run();
}

std::vector<OwnedEvent> TestPlugin::Events() {
  std::vector<OwnedEvent> events;
  for (const Event& event : out_.Rows()) {
    events.push_back({std::string(event.id), std::string(event.tenant), std::string(event.type),
                      std::string(event.route), std::string(event.payload), event.time,
                      event.priority});
  }
  return events;
}

std::vector<std::string> TestPlugin::Lines() {
  std::vector<std::string> lines;
  for (OwnedEvent& event : Events()) lines.push_back(std::move(event.payload));
  return lines;
}

}  // namespace weir::testing
