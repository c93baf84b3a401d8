// The ready-made main job: source -> rebatch -> dedup -> plugins -> router -> files, on any
// newline-delimited JSON; on request some or all of it to a PostgreSQL table instead of files. What
// a plugin puts out beside its main output goes to the files at once, by the route
// "<plugin>-<output>".
#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>

#include "jobs/job.h"
#include "jobs/postgres.h"

namespace {

template <class T>
std::optional<T> ParseNumber(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<weir::Timestamp> ParseTime(std::string_view text) {
  if (const auto number = ParseNumber<int64_t>(text)) return weir::FromEpochNumber(*number);
  return weir::ParseRfc3339(text);
}

// Where to begin, and whether to go on when all has been read.
void ReadWhatToReplay(weir::Parameters& params, weir::FileSourceOptions& source) {
  source.watch = params.Time(
      "watch", "look for new files in the folder this often, and do not end; 0s: do not", 0);
  if (source.watch < 0) params.AddError("watch", "must not be negative");

  const std::string time =
      params.Text("from_time", "leave out events of an earlier time; RFC 3339 or epoch", "");
  if (!time.empty()) {
    const std::optional<weir::Timestamp> from = ParseTime(time);
    if (!from) params.AddError("from_time", "'" + time + "' is no time");
    source.from_time = from.value_or(weir::kMinTimestamp);
  }

  const std::string position = params.Text(
      "from_position",
      "FILE:OFFSET, leave out files that sort before this one, and its lines before the byte", "");
  if (position.empty()) return;
  const size_t colon = position.rfind(':');
  const std::optional<uint64_t> offset =
      colon == position.npos ? std::nullopt
                             : ParseNumber<uint64_t>(std::string_view(position).substr(colon + 1));
  if (!offset || colon == 0) {
    params.AddError("from_position", "'" + position + "' is no FILE:OFFSET");
    return;
  }
  source.from_file = position.substr(0, colon);
  source.from_offset = *offset;
}

// To the files, but what goes to a table.
void Deliver(weir::Stream<weir::Event> events, weir::SinkSpec<weir::Event> files,
             const weir::PostgresParameters& postgres) {
  if (postgres.options.connection.empty()) {
    events.To("files", std::move(files));
    return;
  }
  weir::SinkSpec<weir::Event> table = weir::EventPostgresSink(postgres.options, postgres.columns);
  if (postgres.routes.empty()) {
    events.To("postgres", std::move(table));
    return;
  }
  const auto is_for_table = [routes = postgres.routes](const weir::Event& event) {
    return std::find(routes.begin(), routes.end(), event.route) != routes.end();
  };
  events.Filter("for-postgres", is_for_table).To("postgres", std::move(table));
  events.Filter("for-files", std::not_fn(is_for_table)).To("files", std::move(files));
}

void Build(weir::JobBuilder& job, weir::Parameters& params) {
  weir::FileSourceOptions source;
  source.input = params.Path("input", "a file or a folder of .jsonl, .jsonl.gz, .jsonl.zst");
  source.rate = params.Number("rate", "events per second, 0: as fast as it goes", 0);
  if (source.rate < 0) params.AddError("rate", "must not be negative");
  ReadWhatToReplay(params, source);

  weir::EventFields fields;
  fields.id = params.List("id", "fields of the event's id, joined; without it the whole line");
  fields.time =
      params.Text("time", "field of the event's time, RFC 3339 or epoch; without it, arrival", "");
  fields.type = params.Text("type", "field of the event's type", "");
  if (source.from_time != weir::kMinTimestamp && fields.time.empty()) {
    params.AddError("from_time", "needs the field of the event's time: name it with 'time'");
  }
  fields.tenant = params.Text("tenant", "field of the event's tenant", "");
  fields.priority = params.Text("priority", "field of the event's priority, an integer", "");

  const weir::Duration window =
      params.Time("window", "ids are remembered for this long, of event time", weir::Hours(24));
  if (window <= 0 || window % 8 != 0)
    params.AddError("window", "must be a positive multiple of 8 microseconds");

  const std::vector<weir::PluginResource> plugins =
      params.Plugins("plugins", "names of plugins, in the order in which events pass them");
  weir::PluginOptions plugin_options;
  plugin_options.budget =
      params.Time("plugin_budget", "that a plugin may take for a batch before it is reported",
                  plugin_options.budget);
  if (plugin_options.budget <= 0) params.AddError("plugin_budget", "must be positive");
  const std::vector<std::string> isolated =
      params.List("isolate", "names of plugins that run in a process of their own");
  weir::PluginOptions isolation = plugin_options;
  isolation.isolate = true;
  isolation.timeout = params.Time(
      "isolate_timeout", "for one event; an isolated plugin that takes longer is started again",
      isolation.timeout);
  isolation.memory =
      params.Size("isolate_memory", "that an isolated plugin may allocate", isolation.memory);
  for (const std::string& name : isolated) {
    if (std::none_of(plugins.begin(), plugins.end(),
                     [&](const auto& plugin) { return plugin.name == name; })) {
      params.AddError("isolate", "'" + name + "' is none of the plugins");
    }
  }

  const std::string out =
      params.Path("out", "the folder of the results, one folder in it per route");
  weir::FileSinkOptions sink = weir::FileSinkParameters(params);
  sink.directory = out;
  const weir::PostgresParameters postgres = weir::ReadPostgresParameters(params);
  const weir::Resource routes =
      params.File("routes", "rules in YAML; without it everything goes to 'warehouse'");

  const auto id = [](const weir::Event& event) { return event.id; };
  const auto tenant = [](const weir::Event& event) { return event.tenant; };
  weir::Stream<weir::Event> batches =
      job.From("source", weir::EventFiles(source, fields)).Rebatch("rebatch");
  weir::Stream<weir::Event> events = fields.tenant.empty()
                                         ? batches.Dedup("dedup", {.window = window}, id)
                                         : batches.Dedup("dedup", {.window = window}, id, tenant);
  std::vector<weir::Stream<weir::Event>> sides;
  for (const weir::PluginResource& plugin : plugins) {
    // So that no plugin's name can be that of another stage.
    const bool isolate = std::count(isolated.begin(), isolated.end(), plugin.name) > 0;
    events = events.Plugin("plugin-" + plugin.name, plugin, fields,
                           isolate ? isolation : plugin_options);
    for (const std::string& output : events.SideNames()) sides.push_back(events.Side(output));
  }
  events = events.Route("router", routes);
  // What plugins put out on the side has its route already, and passes nothing else.
  for (const weir::Stream<weir::Event>& side : sides) events = events.Union(side);
  Deliver(events, weir::EventFileSink(sink), postgres);
  sink.directory = out + "/dead-letters";
  sink.by_partition = false;
  sink.time_partition = "";  // what is in there is looked for by its error, not by its time
  job.DeadLetters("dead-letters", weir::DeadLetterFileSink(sink));
}

}  // namespace

WEIR_JOB(event_pipeline, Build)
