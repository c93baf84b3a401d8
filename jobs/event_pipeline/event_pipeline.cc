// The ready-made main job: source -> rebatch -> dedup -> plugins -> router -> files, on any
// newline-delimited JSON.
#include "jobs/job.h"

namespace {

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  weir::FileSourceOptions source;
  source.input = params.Path("input", "a file or a folder of .jsonl, .jsonl.gz, .jsonl.zst");
  source.rate = params.Number("rate", "events per second, 0: as fast as it goes", 0);
  if (source.rate < 0) params.AddError("rate", "must not be negative");

  weir::EventFields fields;
  fields.id = params.List("id", "fields of the event's id, joined; without it the whole line");
  fields.time =
      params.Text("time", "field of the event's time, RFC 3339 or epoch; without it, arrival", "");
  fields.type = params.Text("type", "field of the event's type", "");
  fields.tenant = params.Text("tenant", "field of the event's tenant", "");
  fields.priority = params.Text("priority", "field of the event's priority, an integer", "");

  const weir::Duration window =
      params.Time("window", "ids are remembered for this long, of event time", weir::Hours(24));
  if (window <= 0 || window % 8 != 0)
    params.AddError("window", "must be a positive multiple of 8 microseconds");

  const std::vector<weir::PluginResource> plugins =
      params.Plugins("plugins", "names of plugins, in the order in which events pass them");

  const std::string out =
      params.Path("out", "the folder of the results, one folder in it per route");
  weir::FileSinkOptions sink = weir::FileSinkParameters(params);
  sink.directory = out;
  const weir::Resource file =
      params.File("routes", "rules in YAML; without it everything goes to 'warehouse'");
  auto rules = weir::RouteEverythingTo("warehouse");
  if (file.given()) {
    auto parsed = weir::ParseRouterRules(file.bytes, file.path);
    if (parsed.ok()) {
      rules = *parsed;
    } else {
      params.AddError("routes", "\n" + std::string(parsed.status().message()));
    }
  }

  weir::Stream<weir::Event> events =
      job.From("source", weir::EventFiles(source, fields))
          .Rebatch("rebatch")
          .Dedup("dedup", {.window = window}, [](const weir::Event& event) { return event.id; });
  for (const weir::PluginResource& plugin : plugins) {
    // So that no plugin's name can be that of another stage.
    events = events.Plugin("plugin-" + plugin.name, plugin, fields);
  }
  events.Route("router", rules).To("files", weir::EventFileSink(sink));
  sink.directory = out + "/dead-letters";
  sink.by_partition = false;
  sink.time_partition = "";  // what is in there is looked for by its error, not by its time
  job.DeadLetters("dead-letters", weir::DeadLetterFileSink(sink));
}

}  // namespace

WEIR_JOB(event_pipeline, Build)
