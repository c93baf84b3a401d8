// RuleProgram: the rules of a YAML file (docs/routing.md), compiled.
//
//   match: first            # the first rule that holds (default), or all that do
//   default: warehouse      # label of events that no rule takes (default: warehouse); "none" drops
//   rules:                  # and counts them
//     - name: big-delays    # optional; for messages, and the salt of its percentages
//       when: {type: departure, tenant: [ATL, ORD], priority: {min: 2}, payload.delay: {min: 60}}
//       to: alerts          # a label or a list of labels
//       port: urgent        # optional: leaves by this port of the stage, which the job declares
//
// All conditions of a rule must hold; a rule without any always does. Labels are those of
// partition_label.h; "dead-letters" and "none" are taken.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "operators/transforms/router_rules.h"
#include "operators/transforms/rule_conditions.h"

namespace weir {

struct RouterRule {
  std::string name;
  int line = 0;
  RuleCondition when;  // all of its parts; those that cost most come last
  std::vector<uint16_t> routes;
};

// What becomes of one event, for people.
struct RouteExplanation {
  struct Rule {
    std::string name;
    int line = 0;
    bool matched = false;
    bool counts = false;  // matched, and no earlier one takes the event alone
    std::string why_not;  // the first condition that fails, with its line; empty if matched
    std::vector<Route> to;
  };
  std::vector<Rule> rules;
  std::vector<Route> routes;  // where the event goes
  bool by_default = false;    // because no rule took it
  Status failure;             // the event is rejected: a rule could not read its payload
};

class RuleProgram final : public RouterRules {
 public:
  // Rules and `fallback` name `routes` by index, and `paths` by FieldTest::slot.
  RuleProgram(bool match_all, std::vector<Route> routes, std::vector<RouterRule> rules,
              std::vector<std::string> paths, std::vector<uint16_t> fallback,
              std::vector<std::string> ports);

  void Match(const Batch<Event>& batch, PayloadFields& payload,
             RouteMatches& matches) const override;
  size_t rules() const override { return rules_.size(); }

  // The name of a port but 0.
  std::string_view port_name(int port) const { return ports_[port - 1]; }
  // REQUIRES: padding behind the payload.
  RouteExplanation Explain(const Event& event) const;

 private:
  // Rules by the text that they ask one field for, where many do: only those that ask for an
  // event's own text are judged, beside those that ask for none. In the order of the file.
  struct Index {
    RuleField field = RuleField::kType;
    std::unordered_map<std::string_view, std::vector<uint32_t>, TextHash>
        by_text;  // views of rules_
    std::vector<uint32_t> others;
  };
  void BuildIndex();
  // Adds the routes of the event; a failure leaves none.
  Status MatchOne(const Event& event, PayloadFields& payload, std::vector<uint16_t>& routes) const;
  // Judges rule `rule`. True: it is known where the event goes.
  bool Try(uint32_t rule, const Event& event, PayloadFields& payload, size_t begin,
           std::vector<uint16_t>& routes, bool& broken) const;

  const std::vector<RouterRule> rules_;
  const JsonPaths paths_;
  const std::vector<std::string> ports_;
  const std::vector<uint16_t> fallback_;  // empty: none
  std::unique_ptr<Index> index_;          // null: every rule is judged in turn
};

// Which ports rules may name: those that the stage declares, from port 1 on, or any.
struct RulePorts {
  std::vector<std::string> names;
  bool any = false;
};

// InvalidArgument has all errors of the file at once, a line each: "rules.yaml:12: ...".
StatusOr<std::shared_ptr<const RuleProgram>> ParseRouterRules(std::string_view yaml,
                                                              std::string_view file_name,
                                                              RulePorts ports = {});

// Every event goes to `label`, as without a rules file. REQUIRES: IsPartitionLabel(label).
std::shared_ptr<const RouterRules> RouteEverythingTo(std::string_view label);

}  // namespace weir
