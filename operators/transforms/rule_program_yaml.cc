// ParseRouterRules(): reads a rules file and tells everything that is wrong with it at once.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <map>

#include "core/limits.h"
#include "operators/partition_label.h"
#include "operators/transforms/rule_conditions_yaml.h"
#include "operators/transforms/rule_program.h"
#include "operators/transforms/rule_yaml.h"

namespace weir {
namespace {

class RulesParser {
 public:
  RulesParser(std::string_view file_name, RulePorts ports)
      : yaml_(file_name), conditions_(yaml_), ports_(std::move(ports)) {}

  StatusOr<std::shared_ptr<const RuleProgram>> Parse(std::string_view yaml);

 private:
  void ParseTop(const YAML::Node& root);
  void ParseRule(const YAML::Node& node);
  std::string ParseName(const YAML::Node& node, RouterRule& rule);
  std::vector<std::string> ParseLabels(const YAML::Node& node, std::string_view what);
  int ParsePort(const YAML::Node& node);
  std::vector<uint16_t> RoutesTo(const YAML::Node& at, const std::vector<std::string>& labels,
                                 int port);
  void CheckReachable();

  RuleYaml yaml_;
  ConditionReader conditions_;
  RulePorts ports_;
  bool match_all_ = false;
  std::vector<RouterRule> rules_;
  std::vector<bool> takes_all_;  // beside rules_
  std::map<std::string, int> names_;
  std::set<std::string> labels_;
  std::vector<Route> routes_;
  std::map<std::pair<std::string, int>, uint16_t> route_index_;
  std::vector<uint16_t> fallback_;
};

StatusOr<std::shared_ptr<const RuleProgram>> RulesParser::Parse(std::string_view yaml) {
  yaml_.Load(yaml, [this](const YAML::Node& root) { ParseTop(root); });
  if (!yaml_.ok()) return yaml_.Errors();
  return std::make_shared<RuleProgram>(match_all_, std::move(routes_), std::move(rules_),
                                       conditions_.TakePaths(), std::move(fallback_),
                                       std::move(ports_.names));
}

void RulesParser::ParseTop(const YAML::Node& root) {
  static constexpr std::string_view kKeys[] = {"match", "default", "rules"};
  bool has_default = false;
  yaml_.EachMember(root, "rules file",
                   [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
                     if (key == "match") {
                       match_all_ = value.IsScalar() && value.Scalar() == "all";
                       if (!match_all_ && !(value.IsScalar() && value.Scalar() == "first")) {
                         yaml_.Error(value, "match: expected 'first' or 'all'");
                       }
                     } else if (key == "default") {
                       has_default = true;
                       if (value.IsScalar() && value.Scalar() == "none") return;
                       fallback_ = RoutesTo(value, ParseLabels(value, "default"), 0);
                     } else if (key == "rules") {
                       if (!value.IsSequence())
                         return yaml_.Error(value, "rules: expected a list of rules");
                       for (const YAML::Node& rule : value) {
                         if (!yaml_.Spend(rule)) return;
                         ParseRule(rule);
                       }
                     } else {
                       yaml_.Error(at,
                                   fmt::format("unknown key '{}'{}", key, Suggestion(key, kKeys)));
                     }
                   });
  if (!has_default) fallback_ = RoutesTo(root, {std::string(kDefaultRoute)}, 0);
  if (!match_all_) CheckReachable();
}

// What the rule's percentages have as their salt: its name, empty if it has none.
std::string RulesParser::ParseName(const YAML::Node& node, RouterRule& rule) {
  rule.name = fmt::format("rule {}", rules_.size() + 1);
  const YAML::Node name = node.IsMap() ? node["name"] : YAML::Node(YAML::NodeType::Undefined);
  if (!name) return "";
  if (!name.IsScalar() || name.Scalar().empty()) {
    yaml_.Error(name, "name: expected a text");
    return "";
  }
  rule.name = name.Scalar();
  const auto [first, fresh] = names_.emplace(rule.name, RuleYaml::LineOf(name));
  if (!fresh) {
    yaml_.Error(name, fmt::format("the name '{}' is taken by the rule on line {}", rule.name,
                                  first->second));
  }
  return rule.name;
}

void RulesParser::ParseRule(const YAML::Node& node) {
  static constexpr std::string_view kKeys[] = {"name", "when", "to", "port"};
  RouterRule rule;
  rule.line = RuleYaml::LineOf(node);
  std::string salt = ParseName(node, rule);
  std::vector<std::string> labels;
  bool has_to = false;
  bool has_port = false;
  bool takes_all = node.IsMap();
  int port = 0;
  yaml_.EachMember(
      node, rule.name, [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "when") {
          takes_all = value.IsMap() && value.size() == 0;
          rule.when = conditions_.ReadWhen(value);
        } else if (key == "to") {
          has_to = true;
          labels = ParseLabels(value, "to");
        } else if (key == "port") {
          has_port = true;
          port = ParsePort(value);
        } else if (key != "name") {
          yaml_.Error(
              at, fmt::format("{}: unknown key '{}'{}", rule.name, key, Suggestion(key, kKeys)));
        }
      });
  if (node.IsMap() && !has_to) {
    if (port > 0) {
      labels = {ports_.names[port - 1]};
    } else if (!has_port) {
      yaml_.Error(node,
                  fmt::format("{}: 'to' is missing, the label of the events it takes", rule.name));
    }
  }
  rule.routes = RoutesTo(node, labels, port);
  if (salt.empty()) salt = fmt::format("{}", fmt::join(labels, ","));
  ConditionReader::Salt(rule.when, salt);
  rules_.push_back(std::move(rule));
  takes_all_.push_back(takes_all);
}

std::vector<std::string> RulesParser::ParseLabels(const YAML::Node& node, std::string_view what) {
  std::vector<std::string> labels;
  yaml_.EachScalar(node, what, [&](const YAML::Node& scalar) {
    const std::string label = scalar.IsScalar() ? scalar.Scalar() : "";
    if (!IsPartitionLabel(label)) {
      return yaml_.Error(
          scalar, fmt::format("{}: '{}' cannot be a label, which names a folder: {}", what,
                              label.substr(0, kPartitionLabelCharsMax), kPartitionLabelRule));
    }
    if (label == "dead-letters") {
      return yaml_.Error(scalar, fmt::format("{}: 'dead-letters' is the folder of rows that "
                                             "failed; choose another label",
                                             what));
    }
    if (label == "none") {
      return yaml_.Error(scalar, fmt::format("{}: 'none' is no label; it stands alone, and only "
                                             "behind 'default'",
                                             what));
    }
    if (std::find(labels.begin(), labels.end(), label) != labels.end()) {
      return yaml_.Error(scalar, fmt::format("{}: '{}' stands here twice", what, label));
    }
    labels.push_back(label);
  });
  return labels;
}

int RulesParser::ParsePort(const YAML::Node& node) {
  std::vector<std::string>& names = ports_.names;
  const std::string name = node.IsScalar() ? node.Scalar() : "";
  const auto found = std::find(names.begin(), names.end(), name);
  if (found != names.end()) return static_cast<int>(found - names.begin()) + 1;
  if (ports_.any && IsPartitionLabel(name) && names.size() < limits::kRoutePortsMax) {
    names.push_back(name);
    return static_cast<int>(names.size());
  }
  yaml_.Error(node,
              names.empty()
                  ? fmt::format("port: the job declares no ports, so there is no '{}'; rules may "
                                "add labels, never a port",
                                name)
                  : fmt::format("port: the job does not declare '{}'; there are {}. Rules may add "
                                "labels, never a port",
                                name, fmt::join(names, ", ")));
  return 0;
}

std::vector<uint16_t> RulesParser::RoutesTo(const YAML::Node& at,
                                            const std::vector<std::string>& labels, int port) {
  std::vector<uint16_t> routes;
  for (const std::string& label : labels) {
    auto found = route_index_.find({label, port});
    if (found == route_index_.end()) {
      const bool full = labels_.size() == limits::kSinkPartitionsMax && !labels_.contains(label);
      if (full || routes_.size() > UINT16_MAX) {
        yaml_.Error(at, fmt::format("'{}' is one route more than the {} there may be", label,
                                    full ? limits::kSinkPartitionsMax : routes_.size()));
        return routes;
      }
      labels_.insert(label);
      found =
          route_index_.emplace(std::pair(label, port), static_cast<uint16_t>(routes_.size())).first;
      routes_.push_back({label, port});
    }
    routes.push_back(found->second);
  }
  return routes;
}

void RulesParser::CheckReachable() {
  const size_t taker = std::find(takes_all_.begin(), takes_all_.end(), true) - takes_all_.begin();
  for (size_t i = taker + 1; i < rules_.size(); ++i) {
    yaml_.Error(rules_[i].line,
                fmt::format("{} is never reached: '{}' on line {} takes every event, and the first "
                            "match counts",
                            rules_[i].name, rules_[taker].name, rules_[taker].line));
  }
}

}  // namespace

StatusOr<std::shared_ptr<const RuleProgram>> ParseRouterRules(std::string_view yaml,
                                                              std::string_view file_name,
                                                              RulePorts ports) {
  return RulesParser(file_name, std::move(ports)).Parse(yaml);
}

}  // namespace weir
