#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>
#include <sstream>

#include "cli/commands.h"
#include "core/environment.h"
#include "core/json.h"
#include "jobs/parameters.h"
#include "operators/event_reader.h"
#include "operators/transforms/rule_program.h"

namespace weir::cli {
namespace {

// The lines of --event. Unavailable if they cannot be read.
StatusOr<std::vector<std::string>> ReadEvents(const std::string& flag) {
  std::string text = flag;
  if (flag == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
    if (std::cin.bad()) return absl::UnavailableError("standard input cannot be read");
  } else if (flag.starts_with('@')) {
    StatusOr<std::string> file = ReadFile(RealEnvironment().disk, flag.substr(1));
    if (!file.ok()) {
      return absl::UnavailableError(
          fmt::format("--event {}: {}", flag, std::string(file.status().message())));
    }
    text = *std::move(file);
  }
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (line.find_first_not_of(" \t\r") != std::string::npos) lines.push_back(line);
  }
  if (lines.empty()) {
    return absl::InvalidArgumentError(fmt::format("--event {}: there is no event in it", flag));
  }
  return lines;
}

std::string Shown(const RuleProgram& rules, const std::vector<::weir::Route>& routes) {
  std::string text;
  for (const ::weir::Route& route : routes) {
    text += (text.empty() ? "" : ", ") + route.label;
    if (route.port != 0) text += fmt::format(" by port {}", rules.port_name(route.port));
  }
  return text;
}

void PrintText(const RuleProgram& rules, const RouteExplanation& explanation) {
  size_t width = 8;
  for (const auto& rule : explanation.rules) width = std::max(width, rule.name.size());
  for (const auto& rule : explanation.rules) {
    std::string what = rule.why_not;
    if (rule.matched) {
      what = "matches, to " + Shown(rules, rule.to);
      if (!rule.counts && explanation.failure.ok()) what += "; an earlier rule takes the event";
    }
    std::cout << fmt::format("{} {:<{}}  line {:<4} {}\n", rule.counts ? "->" : "  ", rule.name,
                             width, rule.line, what);
  }
  if (!explanation.failure.ok()) {
    std::cout << fmt::format("route: dead-letters ({})\n",
                             std::string(explanation.failure.message()));
  } else if (explanation.routes.empty()) {
    std::cout << "route: none; no rule takes the event, and it is dropped\n";
  } else {
    std::cout << fmt::format("route: {}{}\n", Shown(rules, explanation.routes),
                             explanation.by_default ? " (the default: no rule takes it)" : "");
  }
}

void WriteRoutes(const RuleProgram& rules, const std::vector<::weir::Route>& routes,
                 JsonWriter& json) {
  json.StartArray();
  for (const ::weir::Route& route : routes) {
    json.StartObject();
    json.Key("label");
    json.String(route.label);
    json.Key("port");
    if (route.port == 0) {
      json.Null();
    } else {
      json.String(rules.port_name(route.port));
    }
    json.EndObject();
  }
  json.EndArray();
}

void WriteTextOrNull(std::string_view key, std::string_view text, JsonWriter& json) {
  json.Key(key);
  if (text.empty()) {
    json.Null();
  } else {
    json.String(text);
  }
}

// A line of JSON.
void PrintJson(const RuleProgram& rules, const RouteExplanation& explanation) {
  JsonWriter json;
  json.StartObject();
  json.Key("routes");
  WriteRoutes(rules, explanation.routes, json);
  json.Key("by_default");
  json.Bool(explanation.by_default);
  WriteTextOrNull("dead_letter", std::string(explanation.failure.message()), json);
  json.Key("rules");
  json.StartArray();
  for (const auto& rule : explanation.rules) {
    json.StartObject();
    json.Key("name");
    json.String(rule.name);
    json.Key("line");
    json.Int(rule.line);
    json.Key("matched");
    json.Bool(rule.matched);
    json.Key("taken");
    json.Bool(rule.counts);
    json.Key("to");
    WriteRoutes(rules, rule.to, json);
    WriteTextOrNull("failed", rule.why_not, json);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  std::cout << json.text() << "\n";
}

// What becomes of a line: as the source and the router of a job do it.
RouteExplanation ExplainLine(const RuleProgram& rules, EventReader& reader, bool has_time,
                             const std::string& line) {
  const SlabPtr slab = CopyToSlab(line);
  Event event;
  std::optional<Timestamp> time;
  if (Status status = reader.Read(slab->view(), event, time); !status.ok()) {
    RouteExplanation explanation;
    explanation.failure = status;
    return explanation;
  }
  // Without a usable time an event has that of the events before it, or of its arrival.
  event.time = has_time && time ? *time : RealEnvironment().clock.Now();
  return rules.Explain(event);
}

}  // namespace

int Route(const RouteFlags& flags) {
  StatusOr<Resource> file = LocalResources()(flags.rules);
  if (!file.ok()) return PrintError(Annotate(file.status(), "--rules")), kConfiguration;
  // Which ports a job declares is not known here: a rule may name any.
  StatusOr<std::shared_ptr<const RuleProgram>> rules =
      ParseRouterRules(file->bytes, flags.rules, {.any = true});
  if (!rules.ok()) return PrintError(rules.status()), kConfiguration;
  StatusOr<std::vector<std::string>> lines = ReadEvents(flags.event);
  if (!lines.ok()) {
    return PrintError(lines.status()), absl::IsUnavailable(lines.status()) ? kUnreachable : kUsage;
  }
  EventReader reader({flags.id, flags.time, flags.type, flags.tenant, flags.priority});
  for (size_t i = 0; i < lines->size(); ++i) {
    const RouteExplanation explanation =
        ExplainLine(**rules, reader, !flags.time.empty(), (*lines)[i]);
    if (flags.output == "json") {
      PrintJson(**rules, explanation);
      continue;
    }
    if (i > 0) std::cout << "\n";
    if (lines->size() > 1) std::cout << fmt::format("event {}:\n", i + 1);
    PrintText(**rules, explanation);
  }
  return FinishOutput(kDone);
}

}  // namespace weir::cli
