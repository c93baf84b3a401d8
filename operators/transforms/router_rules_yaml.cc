// ParseRouterRules(): reads a rules file and tells everything that is wrong with it at once.
#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <span>

#include "core/limits.h"
#include "operators/partition_label.h"
#include "operators/transforms/router_rules.h"

namespace weir {
namespace {

constexpr std::string_view kPayloadPrefix = "payload.";

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

// "; did you mean 'tenant'?" or the known words.
std::string Suggestion(std::string_view word, std::span<const std::string_view> known) {
  if (word.size() <= 32) {
    for (std::string_view candidate : known) {
      if (EditDistance(word, candidate) <= (word.size() < 5 ? 1 : 2)) {
        return fmt::format("; did you mean '{}'?", candidate);
      }
    }
  }
  return fmt::format("; there are {}", fmt::join(known, ", "));
}

template <class T>
std::optional<T> ParseNumber(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.empty() || ((digits[0] < '0' || digits[0] > '9') && digits[0] != '.')) {
    return std::nullopt;  // "inf" and "nan" are texts
  }
  // JSON has no such numbers, so whoever writes 00501 means the text.
  if (digits.size() > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9') {
    return std::nullopt;
  }
  T value;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<RuleNumber> ParseRuleNumber(std::string_view text) {
  if (const auto value = ParseNumber<int64_t>(text)) return static_cast<RuleNumber>(*value);
  if (const auto value = ParseNumber<uint64_t>(text)) return static_cast<RuleNumber>(*value);
  if (const auto value = ParseNumber<double>(text)) return static_cast<RuleNumber>(*value);
  return std::nullopt;
}

bool IsPlain(const YAML::Node& node) { return node.Tag() == "?"; }

class RulesParser {
 public:
  explicit RulesParser(std::string_view file_name) : file_name_(file_name) {}

  std::shared_ptr<const RouterRules> Parse(std::string_view yaml);
  Status Errors();

 private:
  void Error(int line, std::string message) { errors_.emplace(line, std::move(message)); }
  void Error(const YAML::Node& at, std::string message) { Error(LineOf(at), std::move(message)); }
  static int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }

  // False once the file has unfolded to more values than it may.
  bool Spend(const YAML::Node& at);
  // Calls fn(key, key node, value) for each member; duplicate and odd keys are errors.
  template <class Fn>
  void EachMember(const YAML::Node& map, std::string_view what, Fn fn);
  // Calls fn(node) for the scalar, or for each element of the list.
  template <class Fn>
  void EachScalar(const YAML::Node& node, std::string_view what, Fn fn);

  void ParseTop(const YAML::Node& root);
  void ParseRule(const YAML::Node& node);
  void ParseWhen(const YAML::Node& node, std::vector<RuleCondition>& conditions);
  void ParseTexts(const YAML::Node& node, std::string_view key, RuleCondition& condition);
  void ParsePriority(const YAML::Node& node, RuleCondition& condition);
  void ParsePayload(const YAML::Node& node, std::string_view key, RuleCondition& condition);
  void ParseBounds(const YAML::Node& node, std::string_view key, bool integers,
                   RuleCondition& condition);
  RuleScalar ParseScalar(const YAML::Node& node);
  std::vector<uint16_t> ParseLabels(const YAML::Node& node, std::string_view what);
  void CheckReachable();

  struct Origin {
    int line = 0;
    bool takes_every_event = false;
  };

  const std::string_view file_name_;
  std::multimap<int, std::string> errors_;  // by line
  size_t spent_ = 0;
  bool match_all_ = false;
  std::vector<RouterRule> rules_;
  std::vector<Origin> origins_;  // of rules_
  std::map<std::string, int> names_;
  std::vector<std::string> labels_;
  std::map<std::string, uint16_t> label_index_;
  std::vector<uint16_t> fallback_;
};

bool RulesParser::Spend(const YAML::Node& at) {
  if (++spent_ == limits::kRulesValuesMax + 1) {
    Error(at, fmt::format("the file unfolds to more than {} values; use fewer aliases",
                          limits::kRulesValuesMax));
  }
  return spent_ <= limits::kRulesValuesMax;
}

template <class Fn>
void RulesParser::EachMember(const YAML::Node& map, std::string_view what, Fn fn) {
  if (!map.IsMap()) return Error(map, fmt::format("{}: expected 'key: value' members", what));
  std::set<std::string> seen;
  for (const auto& member : map) {
    const YAML::Node& key = member.first;
    if (!Spend(key)) return;
    if (!key.IsScalar()) {
      Error(key, fmt::format("{}: a key must be a word", what));
    } else if (!seen.insert(key.Scalar()).second) {
      Error(key, fmt::format("{}: '{}' stands here twice", what, key.Scalar()));
    } else {
      fn(key.Scalar(), key, member.second);
    }
  }
}

template <class Fn>
void RulesParser::EachScalar(const YAML::Node& node, std::string_view what, Fn fn) {
  if (node.IsSequence() && node.size() == 0) {
    return Error(node, fmt::format("{}: the list is empty", what));
  }
  auto one = [&](const YAML::Node& scalar) {
    if (!Spend(scalar)) return false;
    if (scalar.IsScalar() || scalar.IsNull()) {
      fn(scalar);
    } else {
      Error(scalar, fmt::format("{}: expected a value or a list of values", what));
    }
    return true;
  };
  if (!node.IsSequence()) {
    one(node);
    return;
  }
  for (const YAML::Node& element : node) {
    if (!one(element)) return;
  }
}

std::shared_ptr<const RouterRules> RulesParser::Parse(std::string_view yaml) {
  if (yaml.size() > limits::kRulesFileBytesMax) {
    Error(1, fmt::format("the file has {} bytes; a rules file has at most {}", yaml.size(),
                         limits::kRulesFileBytesMax));
    return nullptr;
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(yaml));
    if (documents.size() > 1) {
      Error(documents[1], "a second YAML document begins; a rules file is one");
    }
    if (documents.empty() || documents[0].IsNull()) {
      Error(1, "the file is empty; without rules, leave the parameter out");
    } else {
      ParseTop(documents[0]);
    }
  } catch (const YAML::Exception& error) {
    Error(std::max(error.mark.line, 0) + 1, "not YAML: " + error.msg);
  } catch (const std::exception& error) {
    Error(1, fmt::format("not YAML: {}", error.what()));
  }
  if (!errors_.empty()) return nullptr;
  return std::make_shared<RouterRules>(match_all_, std::move(rules_), std::move(labels_),
                                       std::move(fallback_));
}

void RulesParser::ParseTop(const YAML::Node& root) {
  static constexpr std::string_view kKeys[] = {"match", "default", "rules"};
  bool has_default = false;
  EachMember(root, "rules file",
             [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
               if (key == "match") {
                 match_all_ = value.IsScalar() && value.Scalar() == "all";
                 if (!match_all_ && !(value.IsScalar() && value.Scalar() == "first")) {
                   Error(value, "match: expected 'first' or 'all'");
                 }
               } else if (key == "default") {
                 has_default = true;
                 if (value.IsScalar() && value.Scalar() == "none") return;
                 fallback_ = ParseLabels(value, "default");
               } else if (key == "rules") {
                 if (!value.IsSequence()) return Error(value, "rules: expected a list of rules");
                 for (const YAML::Node& rule : value) {
                   if (!Spend(rule)) return;
                   ParseRule(rule);
                 }
               } else {
                 Error(at, fmt::format("unknown key '{}'{}", key, Suggestion(key, kKeys)));
               }
             });
  if (!has_default) fallback_ = ParseLabels(YAML::Node("warehouse"), "default");
  if (!match_all_) CheckReachable();
}

void RulesParser::ParseRule(const YAML::Node& node) {
  static constexpr std::string_view kKeys[] = {"name", "when", "to"};
  const size_t number = rules_.size() + 1;
  RouterRule rule;
  rule.name = fmt::format("rule {}", number);
  if (node.IsMap()) {
    const YAML::Node name = node["name"];
    if (name && name.IsScalar() && !name.Scalar().empty()) {
      rule.name = name.Scalar();
      const auto [first, fresh] = names_.emplace(rule.name, LineOf(name));
      if (!fresh) {
        Error(name, fmt::format("the name '{}' is taken by the rule on line {}", rule.name,
                                first->second));
      }
    } else if (name) {
      Error(name, "name: expected a text");
    }
  }
  bool takes_every_event = true;
  bool has_to = false;
  EachMember(
      node, rule.name, [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "when") {
          takes_every_event = value.IsMap() && value.size() == 0;
          ParseWhen(value, rule.conditions);
        } else if (key == "to") {
          has_to = true;
          rule.labels = ParseLabels(value, "to");
        } else if (key != "name") {
          Error(at, fmt::format("{}: unknown key '{}'{}", rule.name, key, Suggestion(key, kKeys)));
        }
      });
  if (node.IsMap() && !has_to) {
    Error(node, fmt::format("{}: 'to' is missing, the label of the events it takes", rule.name));
  }
  std::stable_sort(rule.conditions.begin(), rule.conditions.end(),
                   [](const RuleCondition& a, const RuleCondition& b) {
                     return a.field != RuleCondition::Field::kPayload &&
                            b.field == RuleCondition::Field::kPayload;
                   });
  origins_.push_back({LineOf(node), node.IsMap() && takes_every_event});
  rules_.push_back(std::move(rule));
}

void RulesParser::ParseWhen(const YAML::Node& node, std::vector<RuleCondition>& conditions) {
  static constexpr std::string_view kKeys[] = {"tenant", "type", "priority", "payload.<member>"};
  EachMember(node, "when",
             [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
               RuleCondition& condition = conditions.emplace_back();
               if (key == "tenant" || key == "type") {
                 condition.field =
                     key == "type" ? RuleCondition::Field::kType : RuleCondition::Field::kTenant;
                 ParseTexts(value, key, condition);
               } else if (key == "priority") {
                 condition.field = RuleCondition::Field::kPriority;
                 ParsePriority(value, condition);
               } else if (key.starts_with(kPayloadPrefix) && key.size() > kPayloadPrefix.size()) {
                 condition.field = RuleCondition::Field::kPayload;
                 condition.path = key.substr(kPayloadPrefix.size());
                 ParsePayload(value, key, condition);
               } else {
                 Error(at, fmt::format("unknown condition '{}'{}", key, Suggestion(key, kKeys)));
               }
             });
}

void RulesParser::ParseTexts(const YAML::Node& node, std::string_view key,
                             RuleCondition& condition) {
  EachScalar(node, key, [&](const YAML::Node& scalar) {
    if (scalar.IsNull()) return Error(scalar, fmt::format("{}: expected a text", key));
    condition.texts.push_back(scalar.Scalar());
  });
}

void RulesParser::ParsePriority(const YAML::Node& node, RuleCondition& condition) {
  if (node.IsMap()) return ParseBounds(node, "priority", true, condition);
  EachScalar(node, "priority", [&](const YAML::Node& scalar) {
    const auto number =
        scalar.IsScalar() && IsPlain(scalar) ? ParseNumber<int64_t>(scalar.Scalar()) : std::nullopt;
    if (!number) return Error(scalar, "priority: expected an integer");
    condition.integers.push_back(*number);
  });
}

void RulesParser::ParsePayload(const YAML::Node& node, std::string_view key,
                               RuleCondition& condition) {
  if (node.IsMap()) return ParseBounds(node, key, false, condition);
  EachScalar(node, key,
             [&](const YAML::Node& scalar) { condition.scalars.push_back(ParseScalar(scalar)); });
}

void RulesParser::ParseBounds(const YAML::Node& node, std::string_view what, bool integers,
                              RuleCondition& condition) {
  static constexpr std::string_view kKeys[] = {"min", "max", "exists"};
  const std::span<const std::string_view> known(kKeys, integers ? 2 : 3);
  EachMember(
      node, what, [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        if (key == "min" || key == "max") {
          std::optional<RuleNumber> number;
          if (value.IsScalar() && IsPlain(value)) {
            if (!integers) {
              number = ParseRuleNumber(value.Scalar());
            } else if (const auto integer = ParseNumber<int64_t>(value.Scalar())) {
              number = static_cast<RuleNumber>(*integer);
            }
          }
          if (!number) {
            return Error(value, fmt::format("{}.{}: expected {}", what, key,
                                            integers ? "an integer" : "a number"));
          }
          (key == "min" ? condition.min : condition.max) = number;
        } else if (key == "exists" && !integers) {
          const std::string text = value.IsScalar() ? value.Scalar() : "";
          if (text != "true" && text != "false") {
            return Error(value, fmt::format("{}.exists: expected true or false", what));
          }
          condition.exists = text == "true";
        } else {
          Error(at, fmt::format("{}: unknown key '{}'{}", what, key, Suggestion(key, known)));
        }
      });
  if (node.size() == 0) Error(node, fmt::format("{}: the condition is empty", what));
  if (condition.min && condition.max && *condition.min > *condition.max) {
    Error(node, fmt::format("{}: min is greater than max, so no event can match", what));
  }
  if (condition.exists == false && (condition.min || condition.max)) {
    Error(node,
          fmt::format("{}: what does not exist has no min or max, so no event can match", what));
  }
}

RuleScalar RulesParser::ParseScalar(const YAML::Node& node) {
  RuleScalar scalar;
  if (node.IsNull()) return scalar;
  scalar.text = node.Scalar();
  scalar.kind = RuleScalar::Kind::kText;
  if (!IsPlain(node)) return scalar;
  if (scalar.text == "true" || scalar.text == "false") {
    scalar.kind = RuleScalar::Kind::kBool;
    scalar.truth = scalar.text == "true";
  } else if (const auto number = ParseRuleNumber(scalar.text)) {
    scalar.kind = RuleScalar::Kind::kNumber;
    scalar.number = *number;
  }
  return scalar;
}

std::vector<uint16_t> RulesParser::ParseLabels(const YAML::Node& node, std::string_view what) {
  std::vector<uint16_t> indexes;
  EachScalar(node, what, [&](const YAML::Node& scalar) {
    const std::string label = scalar.IsScalar() ? scalar.Scalar() : "";
    if (!IsPartitionLabel(label)) {
      return Error(scalar,
                   fmt::format("{}: '{}' cannot be a label, which names a folder: {}", what,
                               label.substr(0, kPartitionLabelCharsMax), kPartitionLabelRule));
    }
    if (label == "dead-letters") {
      return Error(scalar, fmt::format("{}: 'dead-letters' is the folder of rows that failed; "
                                       "choose another label",
                                       what));
    }
    if (label == "none") {
      return Error(scalar, fmt::format("{}: 'none' is no label; it stands alone, and only behind "
                                       "'default'",
                                       what));
    }
    auto found = label_index_.find(label);
    if (found == label_index_.end()) {
      if (labels_.size() == limits::kSinkPartitionsMax) {
        return Error(scalar, fmt::format("{}: '{}' is one label more than the {} there may be",
                                         what, label, limits::kSinkPartitionsMax));
      }
      found = label_index_.emplace(label, static_cast<uint16_t>(labels_.size())).first;
      labels_.push_back(label);
    }
    if (std::find(indexes.begin(), indexes.end(), found->second) != indexes.end()) {
      return Error(scalar, fmt::format("{}: '{}' stands here twice", what, label));
    }
    indexes.push_back(found->second);
  });
  return indexes;
}

void RulesParser::CheckReachable() {
  size_t taker = 0;
  while (taker < rules_.size() && !origins_[taker].takes_every_event) ++taker;
  for (size_t i = taker + 1; i < rules_.size(); ++i) {
    Error(origins_[i].line,
          fmt::format("{} is never reached: '{}' on line {} takes every event, and the first "
                      "match counts",
                      rules_[i].name, rules_[taker].name, origins_[taker].line));
  }
}

Status RulesParser::Errors() {
  std::string text;
  size_t told = 0;
  for (const auto& [line, message] : errors_) {
    if (told++ == limits::kRulesErrorsMax) {
      text += fmt::format("\n{}: and {} errors more", file_name_,
                          errors_.size() - limits::kRulesErrorsMax);
      break;
    }
    text += fmt::format("{}{}:{}: {}", text.empty() ? "" : "\n", file_name_, line, message);
  }
  return absl::InvalidArgumentError(text);
}

}  // namespace

StatusOr<std::shared_ptr<const RouterRules>> ParseRouterRules(std::string_view yaml,
                                                              std::string_view file_name) {
  RulesParser parser(file_name);
  if (auto rules = parser.Parse(yaml)) return rules;
  return parser.Errors();
}

}  // namespace weir
