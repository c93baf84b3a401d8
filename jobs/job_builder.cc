#include "jobs/job_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace weir {

bool IsValidName(std::string_view name) {
  auto ok = [](unsigned char c) { return std::isalnum(c) || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= 64 && std::isalnum(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), ok);
}

int GraphDraft::AddStage(StageSpec spec, StageCode code) {
  if (!IsValidName(spec.name)) {
    AddError(spec.name, "a stage's name is 1 to 64 letters, digits, '_' and '-'");
  } else if (built_.graph.FindStage(spec.name) >= 0) {
    AddError(spec.name, "there are two stages of this name, and it is the identity of their state");
  }
  built_.graph.stages.push_back(std::move(spec));
  built_.stages.push_back(std::move(code));
  policy_chosen_.push_back(false);
  return static_cast<int>(built_.stages.size()) - 1;
}

void GraphDraft::AddEdge(int from, int port, int to, int input_port, Partitioning partitioning,
                         EdgeCode code) {
  built_.graph.edges.push_back({from, port, to, input_port, partitioning, code.codec->schema()});
  built_.edges.push_back(std::move(code));
}

void GraphDraft::AddError(std::string_view stage, std::string_view what) {
  errors_.push_back(fmt::format("stage '{}': {}", stage, what));
}

void GraphDraft::NotePlugin(std::string_view stage, const PluginResource& plugin) {
  const auto [at, added] = plugins_.try_emplace(
      plugin.name, Plugin{std::string(stage), plugin.file.path, plugin.file.sha256});
  const Plugin& first = at->second;
  if (added || first.sha256 == plugin.file.sha256) return;
  AddError(stage, fmt::format("there are two plugins of the name '{}' in this job: {}, and {} in "
                              "stage '{}'; give one of them another name",
                              plugin.name, plugin.file.path, first.path, first.stage));
}

void GraphDraft::NotePluginOutputs(std::string_view stage, std::string_view plugin,
                                   const std::vector<std::string>& outputs) {
  for (const std::string& output : outputs) {
    const Status added = plugin_routes_->Add(plugin, output);
    if (!added.ok()) AddError(stage, std::string(added.message()));
  }
}

int GraphDraft::PortOf(int stage, std::string_view output) {
  if (IsBroken(stage)) return 1;
  const std::vector<std::string>& outputs = built_.graph.stages[stage].outputs;
  const auto found = std::find(outputs.begin(), outputs.end(), output);
  if (found == outputs.end()) {
    AddError(name_of(stage), outputs.empty()
                                 ? fmt::format("has no side output '{}', nor any other", output)
                                 : fmt::format("has no side output '{}'; its side outputs are: {}",
                                               output, fmt::join(outputs, ", ")));
  }
  return static_cast<int>(found - outputs.begin()) + 1;
}

bool GraphDraft::IsBroken(int stage) const {
  const StageCode& code = built_.stages[stage];
  return !code.source && !code.op && !code.sink;
}

bool GraphDraft::IsRead(int stage, int port) const {
  return std::any_of(built_.graph.edges.begin(), built_.graph.edges.end(),
                     [&](const EdgeSpec& edge) { return edge.from == stage && edge.port == port; });
}

void GraphDraft::set_on_failure(int stage, FailurePolicy policy) {
  built_.graph.stages[stage].on_failure = policy;
  policy_chosen_[stage] = true;
}

JobBuilder::JobBuilder(std::string name) {
  if (!IsValidName(name)) {
    draft_.errors_.push_back(
        fmt::format("'{}' is no name for a job: 1 to 64 letters, digits, '_' and '-'", name));
  }
  draft_.built_.graph.job = std::move(name);
}

void JobBuilder::DeadLetters(std::string_view name, SinkSpec<DeadLetter> sink) {
  if (dead_letters_.make) draft_.AddError(name, "the job has dead letters already");
  dead_letter_name_ = std::string(name);
  dead_letters_ = std::move(sink);
}

void JobBuilder::Use(BuiltJob job) { used_ = std::move(job); }

StatusOr<BuiltJob> JobBuilder::Build() {
  if (used_) return *std::move(used_);
  BuiltJob& built = draft_.built_;
  std::vector<StageSpec>& stages = built.graph.stages;
  if (stages.empty() && draft_.errors_.empty()) {
    draft_.errors_.push_back("the job has no stages: start with JobBuilder::From()");
  }
  for (size_t i = 0; i < stages.size(); ++i) {
    const int stage = static_cast<int>(i);
    if (stages[i].role != StageRole::kSink && !draft_.IsRead(stage, 0)) {
      draft_.AddError(stages[i].name, "nothing reads its output: end the stream with To()");
    }
    for (size_t port = 1; port <= stages[i].outputs.size(); ++port) {
      if (draft_.IsRead(stage, static_cast<int>(port))) continue;
      const std::string& output = stages[i].outputs[port - 1];
      draft_.AddError(stages[i].name,
                      fmt::format("nothing reads its side output '{}': take it with Side(\"{}\"), "
                                  "and end that stream with To()",
                                  output, output));
    }
  }
  // Only now all plugins are known.
  for (const auto& [stage, route] : draft_.rule_routes_) {
    const Status unique = draft_.plugin_routes_->CheckRule(route);
    if (!unique.ok()) draft_.AddError(stage, std::string(unique.message()));
  }
  const int readers = static_cast<int>(stages.size());
  if (dead_letters_.make) {
    const int sink = draft_.AddSink(dead_letter_name_, dead_letters_);
    stages[sink].on_failure = FailurePolicy::kFail;  // there is nowhere else to go
    for (int from = 0; from < readers; ++from) {
      if (stages[from].on_failure != FailurePolicy::kDeadLetter) continue;
      draft_.AddEdge(from, kDeadLetterPort, sink, 0, Partitioning::kForward,
                     {MakeRowCodec<DeadLetter>(), nullptr});
    }
  } else {
    for (int i = 0; i < readers; ++i) {
      if (stages[i].on_failure != FailurePolicy::kDeadLetter) continue;
      if (draft_.policy_chosen_[i]) {
        draft_.AddError(stages[i].name,
                        "sends rows to the dead letters, but the job has none: "
                        "call JobBuilder::DeadLetters()");
      }
      stages[i].on_failure = FailurePolicy::kFail;
    }
  }
  if (!draft_.errors_.empty()) {
    return absl::InvalidArgumentError(fmt::format("{}", fmt::join(draft_.errors_, "\n")));
  }
  return std::move(built);
}

}  // namespace weir
