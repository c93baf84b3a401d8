#include "operators/transforms/rule_conditions_yaml.h"

#include <re2/re2.h>

#include <algorithm>

#include "core/limits.h"

namespace weir {
namespace {

constexpr std::string_view kTextAsks[] = {"in", "prefix", "matches", "exists", "percent", "salt"};
constexpr std::string_view kPriorityAsks[] = {"in", "min", "max", "above", "below"};
constexpr std::string_view kTimeAsks[] = {"min", "max", "above", "below"};
constexpr std::string_view kPayloadAsks[] = {"in",     "min",     "max",    "above",   "below",
                                             "prefix", "matches", "exists", "percent", "salt"};
constexpr RuleFieldForm kForms[] = {
    {"id", RuleField::kId, true, kTextAsks},
    {"tenant", RuleField::kTenant, true, kTextAsks},
    {"type", RuleField::kType, true, kTextAsks},
    {"priority", RuleField::kPriority, true, kPriorityAsks},
    {"time", RuleField::kTime, false, kTimeAsks},
    {"payload.", RuleField::kPayload, true, kPayloadAsks},
};
constexpr std::string_view kCombinations[] = {"all", "any", "not"};
constexpr std::string_view kKeys[] = {"tenant",           "type", "id",  "priority", "time",
                                      "payload.<member>", "all",  "any", "not"};

const RuleFieldForm* FormOf(std::string_view key) {
  for (const RuleFieldForm& form : kForms) {
    const bool payload = form.field == RuleField::kPayload;
    if (payload ? key.starts_with(form.name) && key.size() > form.name.size() : key == form.name) {
      return &form;
    }
  }
  return nullptr;
}

}  // namespace

std::span<const RuleFieldForm> RuleFieldForms() { return kForms; }
std::span<const std::string_view> RuleCombinations() { return kCombinations; }

RuleCondition ConditionReader::ReadAll(const YAML::Node& node, std::string_view what, int depth) {
  RuleCondition all;
  all.line = RuleYaml::LineOf(node);
  yaml_.EachMember(
      node, what, [&](const std::string& key, const YAML::Node& at, const YAML::Node& value) {
        RuleCondition& condition = all.parts.emplace_back();
        condition.line = RuleYaml::LineOf(at);
        condition.text = fmt::format("{}: {}", key, OnOneLine(value));
        if (const RuleFieldForm* form = FormOf(key)) {
          ReadField(*form, key, value, condition);
        } else if (std::find(std::begin(kCombinations), std::end(kCombinations), key) !=
                   std::end(kCombinations)) {
          ReadCombination(key, value, depth + 1, condition);
        } else {
          yaml_.Error(at, fmt::format("unknown condition '{}'{}", key, Suggestion(key, kKeys)));
        }
      });
  std::stable_sort(
      all.parts.begin(), all.parts.end(),
      [](const RuleCondition& a, const RuleCondition& b) { return CostOf(a) < CostOf(b); });
  if (depth > 0) {
    all.text = OnOneLine(node);
    if (node.IsMap() && node.size() == 0) {
      yaml_.Error(node, fmt::format("{}: the condition is empty, and would always hold", what));
    }
  }
  return all;
}

void ConditionReader::ReadCombination(const std::string& key, const YAML::Node& value, int depth,
                                      RuleCondition& condition) {
  if (depth > limits::kRulesDepthMax) {
    return yaml_.Error(value, fmt::format("{}: conditions lie more than {} deep in each other", key,
                                          limits::kRulesDepthMax));
  }
  if (key == "not") {
    condition.kind = RuleCondition::Kind::kNot;
    condition.parts.push_back(ReadAll(value, key, depth));
    return;
  }
  condition.kind = key == "any" ? RuleCondition::Kind::kAny : RuleCondition::Kind::kAll;
  yaml_.EachElement(value, key, [&](const YAML::Node& element) {
    condition.parts.push_back(ReadAll(element, key, depth));
  });
}

void ConditionReader::ReadField(const RuleFieldForm& form, const std::string& key,
                                const YAML::Node& value, RuleCondition& condition) {
  condition.kind = RuleCondition::Kind::kTest;
  FieldTest& test = condition.test;
  test.field = form.field;
  if (form.field == RuleField::kPayload) {
    test.slot = SlotOf(key.substr(form.name.size()));
  }
  if (!value.IsMap()) {
    if (form.values) return ReadValues(form, key, value, test);
    return yaml_.Error(value, fmt::format("{}: expected {{{}}}", key, fmt::join(form.asks, ", ")));
  }
  bool salted = false;
  yaml_.EachMember(
      value, key, [&](const std::string& ask, const YAML::Node& at, const YAML::Node& asked) {
        salted |= ask == "salt";
        if (std::find(form.asks.begin(), form.asks.end(), ask) == form.asks.end()) {
          return yaml_.Error(
              at, fmt::format("{}: unknown key '{}'{}", key, ask, Suggestion(ask, form.asks)));
        }
        ReadAsk(form, key, ask, asked, test);
      });
  if (value.size() == 0) yaml_.Error(value, fmt::format("{}: the condition is empty", key));
  if (salted && !test.percent_threshold) {
    yaml_.Error(value, fmt::format("{}: a salt is of use with percent only", key));
  }
  CheckPossible(value, key, test);
}

void ConditionReader::ReadAsk(const RuleFieldForm& form, std::string_view field,
                              const std::string& ask, const YAML::Node& value, FieldTest& test) {
  const std::string what = fmt::format("{}.{}", field, ask);
  auto bound = [&]() {
    if (form.field == RuleField::kTime) return yaml_.Time(value, what);
    return form.field == RuleField::kPriority ? yaml_.Integer(value, what)
                                              : yaml_.Number(value, what);
  };
  if (ask == "in") {
    ReadValues(form, what, value, test);
  } else if (ask == "min") {
    test.min = bound();
  } else if (ask == "max") {
    test.max = bound();
  } else if (ask == "above") {
    test.above = bound();
  } else if (ask == "below") {
    test.below = bound();
  } else if (ask == "prefix") {
    yaml_.EachScalar(value, what, [&](const YAML::Node& scalar) {
      if (!scalar.IsScalar() || scalar.Scalar().empty()) {
        return yaml_.Error(scalar, fmt::format("{}: expected a text that is not empty", what));
      }
      test.prefixes.push_back(scalar.Scalar());
    });
  } else if (ask == "matches") {
    ReadPattern(what, value, test);
  } else if (ask == "exists") {
    test.exists = yaml_.Flag(value, what);
  } else if (ask == "percent") {
    const std::optional<RuleNumber> percent = yaml_.Number(value, what);
    if (percent && (*percent < 0 || *percent > 100)) {
      yaml_.Error(value, fmt::format("{}: expected a number from 0 to 100", what));
    }
    test.percent_threshold = PercentThreshold(static_cast<double>(percent.value_or(0)));
  } else {
    WEIR_CHECK(ask == "salt");
    if (!value.IsScalar() || value.Scalar().empty()) {
      return yaml_.Error(value, fmt::format("{}: expected a text that is not empty", what));
    }
    test.salt = Hash64(value.Scalar());
  }
}

void ConditionReader::ReadValues(const RuleFieldForm& form, std::string_view what,
                                 const YAML::Node& value, FieldTest& test) {
  test.has_values = true;
  yaml_.EachScalar(value, what, [&](const YAML::Node& scalar) {
    const bool payload = form.field == RuleField::kPayload;
    if (form.field == RuleField::kPriority) {
      if (const auto number = yaml_.Integer(scalar, what)) test.numbers.push_back(*number);
    } else if (scalar.IsNull()) {
      test.null = true;
      if (!payload) yaml_.Error(scalar, fmt::format("{}: expected a text", what));
    } else if (payload && IsPlain(scalar) && scalar.Scalar() == "true") {
      test.yes = true;
    } else if (payload && IsPlain(scalar) && scalar.Scalar() == "false") {
      test.no = true;
    } else if (const auto number =
                   payload && IsPlain(scalar) ? ParseRuleNumber(scalar.Scalar()) : std::nullopt) {
      test.numbers.push_back(*number);
    } else {
      test.texts.Add(scalar.Scalar());
    }
  });
  std::sort(test.numbers.begin(), test.numbers.end());
}

void ConditionReader::ReadPattern(std::string_view what, const YAML::Node& value, FieldTest& test) {
  if (!value.IsScalar()) {
    return yaml_.Error(value, fmt::format("{}: expected a regular expression", what));
  }
  if (++patterns_ == limits::kRulesPatternsMax + 1) {
    yaml_.Error(value, fmt::format("{}: a rules file has at most {} regular expressions; put "
                                   "several into one: a|b",
                                   what, limits::kRulesPatternsMax));
  }
  if (patterns_ > limits::kRulesPatternsMax) return;
  RE2::Options options;
  options.set_log_errors(false);
  options.set_never_capture(true);
  options.set_max_mem(limits::kRulesPatternBytesMax);
  auto pattern = std::make_shared<RE2>(value.Scalar(), options);
  if (!pattern->ok()) {
    return yaml_.Error(value, fmt::format("{}: {} is no regular expression that RE2 takes: {}",
                                          what, OnOneLine(value), pattern->error()));
  }
  test.pattern = std::move(pattern);
}

void ConditionReader::CheckPossible(const YAML::Node& node, std::string_view what,
                                    const FieldTest& test) {
  if (test.min && test.max && *test.min > *test.max) {
    yaml_.Error(node, fmt::format("{}: min is greater than max, so no event can match", what));
  } else if ((test.min && test.below && *test.min >= *test.below) ||
             (test.above && test.max && *test.above >= *test.max) ||
             (test.above && test.below && *test.above >= *test.below)) {
    yaml_.Error(node,
                fmt::format("{}: the bounds exclude each other, so no event can match", what));
  }
  const bool asks_value = test.has_values || test.bounded() || !test.prefixes.empty() ||
                          test.pattern != nullptr || test.percent_threshold;
  if (test.exists == false && asks_value) {
    yaml_.Error(node, fmt::format("{}: what does not exist has no {}, so no event can match", what,
                                  test.bounded() ? "min or max" : "value"));
  }
}

size_t ConditionReader::SlotOf(const std::string& path) {
  const auto [found, fresh] = slots_.emplace(path, paths_.size());
  if (fresh) paths_.push_back(path);
  return found->second;
}

void ConditionReader::Salt(RuleCondition& condition, std::string_view salt) {
  if (condition.test.percent_threshold && condition.test.salt == 0) {
    condition.test.salt = Hash64(salt);
  }
  for (RuleCondition& part : condition.parts) Salt(part, salt);
}

}  // namespace weir
