// What tests of routing rules ask: where an event goes by a rules file, and what is wrong with one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "operators/transforms/rule_program.h"

namespace weir::testing {

using Labels = std::vector<std::string>;

inline std::shared_ptr<const RouterRules> Rules(std::string_view yaml) {
  auto rules = ParseRouterRules(yaml, "rules.yaml");
  EXPECT_TRUE(rules.ok()) << rules.status();
  return rules.ok() ? *rules : nullptr;
}

// The errors, a line each.
inline std::vector<std::string> Errors(std::string_view yaml) {
  auto rules = ParseRouterRules(yaml, "rules.yaml");
  EXPECT_FALSE(rules.ok());
  if (rules.ok()) return {};
  EXPECT_EQ(rules.status().code(), absl::StatusCode::kInvalidArgument);
  std::vector<std::string> lines(1);
  for (char c : std::string(rules.status().message())) {
    if (c == '\n') {
      lines.emplace_back();
    } else {
      lines.back() += c;
    }
  }
  return lines;
}

// Where an event goes; {"<broken>"} if its payload is not JSON and a rule had to know.
inline Labels Match(const RouterRules& rules, Event event, std::string_view payload = "{}") {
  const SlabPtr slab = CopyToSlab(payload);
  event.payload = slab->view();
  Batch<Event> batch;
  batch.Add(event, 0);
  PayloadFields fields;
  RouteMatches matches;
  rules.Match(batch, fields, matches);
  EXPECT_EQ(matches.ends, std::vector<uint32_t>{static_cast<uint32_t>(matches.routes.size())});
  if (!matches.failures.empty()) return {"<broken>"};
  Labels labels;
  for (uint16_t route : matches.routes) labels.emplace_back(rules.label(route));
  return labels;
}

inline Labels MatchPayload(std::string_view condition, std::string_view payload) {
  const auto rules =
      Rules("default: no\nrules: [{when: {" + std::string(condition) + "}, to: yes}]");
  return rules ? Match(*rules, {}, payload) : Labels{};
}

inline const Labels kYes = {"yes"};
inline const Labels kNo = {"no"};

// Whether the condition holds for the event.
inline bool Holds(std::string_view condition, const Event& event, std::string_view payload = "{}") {
  const auto rules =
      Rules("default: no\nrules: [{name: r, when: {" + std::string(condition) + "}, to: yes}]");
  return rules != nullptr && Match(*rules, event, payload) == kYes;
}

}  // namespace weir::testing
