// JobBuilder: the start of every job definition. Streams (jobs/stream.h) do the rest.
//
//   void Build(weir::JobBuilder& job, weir::Parameters& params) {
//     const std::string input = params.Path("input", "a folder of flights");
//     job.From("flights", weir::JsonFiles<Flight>({.input = input}))
//         .Filter("late", [](const Flight& f) { return f.delay >= 60; })
//         .To("files", weir::JsonFileSink<Flight>({.directory = params.Text("out", "a folder")}));
//   }
//   WEIR_JOB(late_flights, Build)
//
// Every stage is named first; the name is the identity of its state in checkpoints. Errors do not
// stop the builder: Build() reports all of them at once, by stage. Not thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/built_job.h"
#include "jobs/parameters.h"
#include "jobs/plugin_routes.h"

namespace weir {

// What a source or a sink is, ready to become a stage: made by JsonFiles(), JsonFileSink() and the
// like (jobs/connectors.h).
template <class T>
struct SourceSpec {
  std::string kind = "source";
  std::string options;  // as text, for the fingerprint
  std::function<std::unique_ptr<Source>()> make;
  std::function<Status(Environment&, std::string_view job_id)> check;
  std::function<StatusOr<FoldersRead>(Environment&)> reads;  // as StageCode has it
};

template <class T>
struct SinkSpec {
  std::string kind = "sink";
  std::string options;
  bool exactly_once = true;
  bool can_revoke = false;
  // Stage names are part of file names, so a sink is told its own.
  std::function<std::unique_ptr<Sink>()> make;
  SinkLines lines;  // as StageCode has it
  std::function<Status(Environment&, std::string_view job_id)> check;
  // As StageCode has it (jobs/built_job.h).
  std::function<StatusOr<CheckpointId>(Environment&, std::string_view job_id,
                                       std::string_view stage)>
      last_committed;
  std::string writes;
  // Where it commits to, as StageSpec has it; empty: what it writes, else its options.
  std::string place;
};

template <class T>
class Stream;

// The graph while it is being built; shared by a builder and its streams.
class GraphDraft {
 public:
  int AddStage(StageSpec spec, StageCode code);
  template <class T>
  int AddSink(std::string_view name, const SinkSpec<T>& sink) {
    return AddStage({.name = std::string(name),
                     .kind = sink.kind,
                     .role = StageRole::kSink,
                     .options = sink.options,
                     .exactly_once = sink.exactly_once,
                     .can_revoke = sink.can_revoke,
                     .place = !sink.place.empty()   ? sink.place
                              : sink.writes.empty() ? sink.options
                                                    : "directory=" + sink.writes},
                    {.sink = sink.make,
                     .lines = sink.lines,
                     .check = sink.check,
                     .writes = sink.writes,
                     .last_committed = sink.last_committed});
  }
  void AddEdge(int from, int port, int to, int input_port, Partitioning partitioning,
               EdgeCode code);
  void AddError(std::string_view stage, std::string_view what);

  std::string_view name_of(int stage) const { return built_.graph.stages[stage].name; }
  // A stage runs this plugin. An error if another stage has another one of the same name: messages,
  // counters and routes go by it.
  void NotePlugin(std::string_view stage, const PluginResource& plugin);
  // A plugin's outputs beside the main one, whose routes have to be theirs alone.
  void NotePluginOutputs(std::string_view stage, std::string_view plugin,
                         const std::vector<std::string>& outputs);
  // A router's rules send events to this route.
  void NoteRuleRoute(std::string_view stage, std::string_view route) {
    rule_routes_.emplace_back(stage, route);
  }
  // Whole once the job is built; outlives this.
  std::shared_ptr<const PluginRoutes> plugin_routes() const { return plugin_routes_; }
  // The port of one of the stage's side outputs. An error, and any port, if there is none.
  int PortOf(int stage, std::string_view output);
  const std::vector<std::string>& side_names(int stage) const {
    return built_.graph.stages[stage].outputs;
  }
  void set_on_failure(int stage, FailurePolicy policy);

 private:
  friend class JobBuilder;
  bool IsRead(int stage, int port) const;
  // It has no code: it stands for a stage that could not be made, and an error was added.
  bool IsBroken(int stage) const;
  BuiltJob built_;
  std::vector<bool> policy_chosen_;  // beside built_.stages
  struct Plugin {
    std::string stage, path, sha256;
  };
  std::map<std::string, Plugin> plugins_;  // by name
  const std::shared_ptr<PluginRoutes> plugin_routes_ = std::make_shared<PluginRoutes>();
  std::vector<std::pair<std::string, std::string>> rule_routes_;  // stage and route
  std::vector<std::string> errors_;
};

class JobBuilder {
 public:
  explicit JobBuilder(std::string name);

  // A new source. The stream must not outlive the builder.
  template <class T>
  Stream<T> From(std::string_view name, SourceSpec<T> spec);

  // Where rows go that a stage cannot take. Without it, such a row ends the job, unless its stage
  // drops them.
  void DeadLetters(std::string_view name, SinkSpec<DeadLetter> sink);

  // In place of all of these: a job that was put together otherwise, with code for the part that is
  // asked for (Parameters::part).
  void Use(BuiltJob job);

  // The job, or InvalidArgument with all errors, a line each. Called once.
  StatusOr<BuiltJob> Build();

 private:
  GraphDraft draft_;
  std::optional<BuiltJob> used_;
  std::string dead_letter_name_;
  SinkSpec<DeadLetter> dead_letters_;
};

// True for names of jobs and stages: letters, digits, '_' and '-', at most 64 of them, a letter or
// digit first.
bool IsValidName(std::string_view name);

}  // namespace weir
