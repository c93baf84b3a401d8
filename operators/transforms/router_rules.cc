#include "operators/transforms/router_rules.h"

#include <algorithm>

#include "core/check.h"

namespace weir {
namespace {

std::optional<RuleNumber> NumberOf(const JsonValue& value) {
  if (value.kind() != JsonValue::Kind::kNumber) return std::nullopt;
  if (const auto integer = value.GetInt()) return static_cast<RuleNumber>(*integer);
  if (const auto integer = value.GetUint()) return static_cast<RuleNumber>(*integer);
  if (const auto number = value.GetDouble()) return static_cast<RuleNumber>(*number);
  return std::nullopt;
}

bool Within(const RuleCondition& condition, RuleNumber number) {
  return (!condition.min || number >= *condition.min) &&
         (!condition.max || number <= *condition.max);
}

bool Equals(const RuleScalar& wanted, const JsonValue& value) {
  switch (wanted.kind) {
    case RuleScalar::Kind::kNull:
      return value.kind() == JsonValue::Kind::kNull;
    case RuleScalar::Kind::kBool:
      return value.GetBool() == wanted.truth;
    case RuleScalar::Kind::kNumber:
      return NumberOf(value) == wanted.number;
    case RuleScalar::Kind::kText:
      return value.kind() == JsonValue::Kind::kString && value.GetString() == wanted.text;
  }
  return false;
}

bool PayloadHolds(const RuleCondition& condition, const JsonValue& root) {
  const std::optional<JsonValue> value = root.FindPath(condition.path);
  if (condition.exists && *condition.exists != value.has_value()) return false;
  if (condition.scalars.empty() && !condition.min && !condition.max) return true;
  if (!value) return false;
  if (!condition.scalars.empty()) {
    return std::any_of(condition.scalars.begin(), condition.scalars.end(),
                       [&](const RuleScalar& wanted) { return Equals(wanted, *value); });
  }
  const std::optional<RuleNumber> number = NumberOf(*value);
  return number && Within(condition, *number);
}

bool IsAnyOf(std::string_view text, const std::vector<std::string>& texts) {
  for (const std::string& wanted : texts) {
    if (text == wanted) return true;
  }
  return false;
}

bool PriorityHolds(const RuleCondition& condition, int64_t priority) {
  if (!condition.integers.empty()) {
    return std::find(condition.integers.begin(), condition.integers.end(), priority) !=
           condition.integers.end();
  }
  return Within(condition, static_cast<RuleNumber>(priority));
}

enum class Verdict { kHolds, kFails, kBroken };

Verdict Judge(const RouterRule& rule, const Event& event, LazyPayload& payload) {
  for (const RuleCondition& condition : rule.conditions) {
    bool holds = false;
    switch (condition.field) {
      case RuleCondition::Field::kTenant:
        holds = IsAnyOf(event.tenant, condition.texts);
        break;
      case RuleCondition::Field::kType:
        holds = IsAnyOf(event.type, condition.texts);
        break;
      case RuleCondition::Field::kPriority:
        holds = PriorityHolds(condition, event.priority);
        break;
      case RuleCondition::Field::kPayload: {
        const JsonValue* root = payload.root();
        if (root == nullptr) return Verdict::kBroken;
        holds = PayloadHolds(condition, *root);
        break;
      }
    }
    if (!holds) return Verdict::kFails;
  }
  return Verdict::kHolds;
}

}  // namespace

void LazyPayload::Parse() {
  parsed_ = true;
  StatusOr<JsonValue> root = parser_.Parse(payload_);
  status_ = root.status();
  if (root.ok()) root_ = *root;
}

RouterRules::RouterRules(bool match_all, std::vector<RouterRule> rules,
                         std::vector<std::string> labels, std::vector<uint16_t> fallback)
    : match_all_(match_all), rules_(std::move(rules)), fallback_(std::move(fallback)) {
  std::string text;
  for (const std::string& label : labels) text += label;
  slab_ = CopyToSlab(text);
  size_t begin = 0;
  for (const std::string& label : labels) {
    labels_.push_back(slab_->view().substr(begin, label.size()));
    begin += label.size();
  }
}

bool RouterRules::Match(const Event& event, LazyPayload& payload,
                        std::vector<uint16_t>& labels) const {
  const size_t before = labels.size();
  for (const RouterRule& rule : rules_) {
    const Verdict verdict = Judge(rule, event, payload);
    if (verdict == Verdict::kFails) continue;
    if (verdict == Verdict::kBroken) {
      labels.resize(before);
      return false;
    }
    for (const uint16_t label : rule.labels) {
      if (std::find(labels.begin() + before, labels.end(), label) == labels.end()) {
        labels.push_back(label);
      }
    }
    if (!match_all_) return true;
  }
  if (labels.size() == before) labels.insert(labels.end(), fallback_.begin(), fallback_.end());
  return true;
}

std::shared_ptr<const RouterRules> RouteEverythingTo(std::string_view label) {
  return std::make_shared<RouterRules>(false, std::vector<RouterRule>(),
                                       std::vector<std::string>{std::string(label)},
                                       std::vector<uint16_t>{0});
}

}  // namespace weir
