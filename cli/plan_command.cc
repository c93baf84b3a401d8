#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "cli/commands.h"
#include "runtime/execution_plan.h"

namespace weir::cli {
namespace {

std::string Guarantee(const StageSpec& stage) {
  if (stage.role != StageRole::kSink) return "";
  if (!stage.exactly_once) return "at least once";
  return stage.can_revoke ? "exactly once, can revoke" : "exactly once";
}

// Which of a stage's outputs it is: nothing for the main one.
std::string PortText(const StageSpec& stage, int port) {
  if (port == 0) return "";
  if (port == kDeadLetterPort) return " (rejected)";
  const auto index = static_cast<size_t>(port) - 1;
  return index < stage.outputs.size() ? fmt::format(" ({})", stage.outputs[index])
                                      : fmt::format(" (port {})", port);
}

void PrintText(const JobGraph& graph, const ExecutionPlan& plan) {
  std::cout << fmt::format("{}: {} stages, {} tasks\n\n", graph.job, graph.stages.size(),
                           plan.tasks());
  size_t width = 16;
  for (const StageSpec& stage : graph.stages) width = std::max(width, stage.name.size());
  std::cout << fmt::format("{:<{}} {:<10} {:>11}  {:<28} {:<12} {}\n", "stage", width, "kind",
                           "parallelism", "reads from", "rejected", "guarantee");
  for (size_t s = 0; s < graph.stages.size(); ++s) {
    const StageSpec& stage = graph.stages[s];
    std::string inputs;
    for (const EdgeSpec& edge : graph.edges) {
      if (edge.to != static_cast<int>(s)) continue;
      if (!inputs.empty()) inputs += ", ";
      inputs += graph.stages[edge.from].name;
      inputs += PortText(graph.stages[edge.from], edge.port);
      if (edge.partitioning == Partitioning::kKeyed) inputs += " (keyed)";
    }
    std::cout << fmt::format("{:<{}} {:<10} {:>11}  {:<28} {:<12} {}\n", stage.name, width,
                             stage.kind, plan.parallelism, inputs, ToString(stage.on_failure),
                             Guarantee(stage));
  }
  const char* heading = "\ncomponents:\n";
  for (const StageSpec& stage : graph.stages) {
    if (stage.component.empty()) continue;
    std::cout << std::exchange(heading, "")
              << fmt::format("  {:<{}} {}{}\n", stage.name, width, stage.component,
                             stage.keyed_state ? ", with keyed state" : "");
  }
  std::cout << "\ntask groups:\n";
  for (const TaskGroup& group : plan.groups) {
    std::cout << fmt::format("  {} x {}\n", plan.parallelism, GroupName(graph, group));
  }
}

void PrintJson(const JobGraph& graph, const ExecutionPlan& plan) {
  JsonWriter json;
  json.StartObject();
  json.Key("job");
  json.String(graph.job);
  json.Key("fingerprint");
  json.String(fmt::format("{:016x}", graph.Fingerprint()));
  json.Key("stages");
  json.StartArray();
  for (size_t s = 0; s < graph.stages.size(); ++s) {
    const StageSpec& stage = graph.stages[s];
    json.StartObject();
    json.Key("name");
    json.String(stage.name);
    json.Key("kind");
    json.String(stage.kind);
    json.Key("component");
    json.String(stage.component);
    json.Key("parallelism");
    json.Int(plan.parallelism);
    json.Key("task_group");
    json.Int(plan.group_of[s]);
    json.Key("on_failure");
    json.String(ToString(stage.on_failure));
    json.Key("options");
    json.String(stage.options);
    json.Key("guarantee");
    json.String(Guarantee(stage));
    json.EndObject();
  }
  json.EndArray();
  json.Key("edges");
  json.StartArray();
  for (const EdgeSpec& edge : graph.edges) {
    json.StartObject();
    json.Key("from");
    json.String(graph.stages[edge.from].name);
    json.Key("to");
    json.String(graph.stages[edge.to].name);
    json.Key("port");
    json.Int(edge.port);
    json.Key("rejected_rows");
    json.Bool(edge.port == kDeadLetterPort);
    json.Key("partitioning");
    json.String(ToString(edge.partitioning));
    json.Key("schema");
    json.String(edge.schema.ToText());
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  std::cout << json.text() << "\n";
}

void PrintDot(const JobGraph& graph, const ExecutionPlan& plan) {
  std::cout << "digraph \"" << graph.job << "\" {\n  rankdir=LR; node [shape=box];\n";
  for (const StageSpec& stage : graph.stages) {
    std::cout << fmt::format("  \"{}\" [label=\"{}\\n{}{}{} x {}\"];\n", stage.name, stage.name,
                             stage.kind, stage.component.empty() ? "" : " ", stage.component,
                             plan.parallelism);
  }
  for (const EdgeSpec& edge : graph.edges) {
    std::cout << fmt::format("  \"{}\" -> \"{}\" [label=\"{}\"{}];\n", graph.stages[edge.from].name,
                             graph.stages[edge.to].name, ToString(edge.partitioning),
                             edge.port == kDeadLetterPort ? ", style=dashed" : "");
  }
  std::cout << "}\n";
}

}  // namespace

int Plan(const PlanFlags& flags) {
  int exit_code = kDone;
  std::optional<LoadedJob> job = LoadJob(flags.job, exit_code);
  if (!job) return exit_code;
  const ExecutionPlan plan = MakeExecutionPlan(job->built.graph, flags.parallelism);
  if (flags.output == "json") {
    PrintJson(job->built.graph, plan);
  } else if (flags.output == "dot") {
    PrintDot(job->built.graph, plan);
  } else {
    PrintText(job->built.graph, plan);
  }
  return FinishOutput(kDone);
}

}  // namespace weir::cli
