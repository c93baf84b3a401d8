#include "operators/transforms/rule_conditions.h"

#include <fmt/format.h>
#include <re2/re2.h>

#include <algorithm>
#include <cmath>

#include "core/time.h"

namespace weir {
namespace {

constexpr size_t kFewTexts = 4;
constexpr size_t kShownCharsMax = 60;

std::optional<RuleNumber> NumberOf(const JsonValue& value) {
  if (value.kind() != JsonValue::Kind::kNumber) return std::nullopt;
  if (const auto integer = value.GetInt()) return static_cast<RuleNumber>(*integer);
  if (const auto integer = value.GetUint()) return static_cast<RuleNumber>(*integer);
  if (const auto number = value.GetDouble()) return static_cast<RuleNumber>(*number);
  return std::nullopt;
}

bool Within(const FieldTest& test, RuleNumber number) {
  return (!test.min || number >= *test.min) && (!test.max || number <= *test.max) &&
         (!test.above || number > *test.above) && (!test.below || number < *test.below);
}

bool IsOneOf(const FieldTest& test, RuleNumber number) {
  return std::binary_search(test.numbers.begin(), test.numbers.end(), number);
}

bool InPercent(const FieldTest& test, std::string_view text) {
  const uint64_t threshold = *test.percent_threshold;
  return threshold == ~uint64_t{0} || SaltedHash64(text, test.salt) < threshold;
}

// Prefix and pattern.
bool TextHolds(const FieldTest& test, std::string_view text) {
  if (!test.prefixes.empty() &&
      std::none_of(test.prefixes.begin(), test.prefixes.end(),
                   [text](const std::string& prefix) { return text.starts_with(prefix); })) {
    return false;
  }
  return test.pattern == nullptr || test.pattern->Match({text.data(), text.size()}, 0, text.size(),
                                                        RE2::UNANCHORED, nullptr, 0);
}

bool TextFieldHolds(const FieldTest& test, std::string_view text) {
  if (test.exists && *test.exists == text.empty()) return false;
  if (test.has_values && !test.texts.Contains(text)) return false;
  if (!TextHolds(test, text)) return false;
  return !test.percent_threshold || (!text.empty() && InPercent(test, text));
}

bool NumberFieldHolds(const FieldTest& test, RuleNumber number) {
  return (!test.has_values || IsOneOf(test, number)) && Within(test, number);
}

bool IsOneOf(const FieldTest& test, const JsonValue& value) {
  switch (value.kind()) {
    case JsonValue::Kind::kNull:
      return test.null;
    case JsonValue::Kind::kBool:
      return *value.GetBool() ? test.yes : test.no;
    case JsonValue::Kind::kString:
      return test.texts.Contains(*value.GetString());
    case JsonValue::Kind::kNumber: {
      const std::optional<RuleNumber> number =
          test.numbers.empty() ? std::nullopt : NumberOf(value);
      return number && IsOneOf(test, *number);
    }
    default:
      return false;
  }
}

bool PayloadHolds(const FieldTest& test, const std::optional<JsonValue>& value) {
  if (test.exists && *test.exists != value.has_value()) return false;
  const bool texts = !test.prefixes.empty() || test.pattern != nullptr;
  if (!test.has_values && !test.bounded() && !texts && !test.percent_threshold) return true;
  if (!value) return false;
  if (test.has_values && !IsOneOf(test, *value)) return false;
  if (test.bounded()) {
    const std::optional<RuleNumber> number = NumberOf(*value);
    if (!number || !Within(test, *number)) return false;
  }
  if (texts) {
    const std::optional<std::string_view> text = value->GetString();
    if (!text || !TextHolds(test, *text)) return false;
  }
  if (test.percent_threshold) {
    const std::optional<std::string_view> text = value->GetText();
    if (!text || !InPercent(test, *text)) return false;
  }
  return true;
}

Judgement JudgeTest(const FieldTest& test, const Event& event, PayloadFields& payload) {
  bool holds = false;
  switch (test.field) {
    case RuleField::kId:
      holds = TextFieldHolds(test, event.id);
      break;
    case RuleField::kTenant:
      holds = TextFieldHolds(test, event.tenant);
      break;
    case RuleField::kType:
      holds = TextFieldHolds(test, event.type);
      break;
    case RuleField::kPriority:
      holds = NumberFieldHolds(test, static_cast<RuleNumber>(event.priority));
      break;
    case RuleField::kTime:
      holds = NumberFieldHolds(test, static_cast<RuleNumber>(event.time));
      break;
    case RuleField::kPayload:
      if (!payload.Read()) return Judgement::kBroken;
      holds = PayloadHolds(test, payload[test.slot]);
      break;
  }
  return holds ? Judgement::kHolds : Judgement::kFails;
}

std::string Shown(std::string_view text) {
  return text.size() <= kShownCharsMax ? fmt::format("'{}'", text)
                                       : fmt::format("'{}...'", text.substr(0, kShownCharsMax));
}

std::string ShownValue(const FieldTest& test, const Event& event, const PayloadFields& payload) {
  switch (test.field) {
    case RuleField::kId:
      return Shown(event.id);
    case RuleField::kTenant:
      return Shown(event.tenant);
    case RuleField::kType:
      return Shown(event.type);
    case RuleField::kPriority:
      return fmt::format("{}", event.priority);
    case RuleField::kTime:
      return FormatTimestamp(event.time);
    case RuleField::kPayload:
      break;
  }
  const std::optional<JsonValue>& value = payload[test.slot];
  if (!value) return "missing";
  switch (value->kind()) {
    case JsonValue::Kind::kNull:
      return "null";
    case JsonValue::Kind::kBool:
      return *value->GetBool() ? "true" : "false";
    case JsonValue::Kind::kNumber:
      return std::string(value->GetText().value_or("a number"));
    case JsonValue::Kind::kString:
      return Shown(*value->GetString());
    case JsonValue::Kind::kArray:
      return "an array";
    case JsonValue::Kind::kObject:
      return "an object";
  }
  return "";
}

}  // namespace

void TextSet::Add(std::string text) {
  if (Contains(text)) return;
  all_.push_back(std::move(text));
  if (all_.size() <= kFewTexts) return;
  if (hashed_.empty()) {
    hashed_.insert(all_.begin(), all_.end());
  } else {
    hashed_.insert(all_.back());
  }
}

bool TextSet::Contains(std::string_view text) const {
  if (!hashed_.empty()) return hashed_.find(text) != hashed_.end();
  return std::find(all_.begin(), all_.end(), text) != all_.end();
}

Judgement RuleCondition::Judge(const Event& event, PayloadFields& payload) const {
  switch (kind) {
    case Kind::kTest:
      return JudgeTest(test, event, payload);
    case Kind::kAll:
      for (const RuleCondition& part : parts) {
        const Judgement judgement = part.Judge(event, payload);
        if (judgement != Judgement::kHolds) return judgement;
      }
      return Judgement::kHolds;
    case Kind::kAny:
      for (const RuleCondition& part : parts) {
        const Judgement judgement = part.Judge(event, payload);
        if (judgement != Judgement::kFails) return judgement;
      }
      return Judgement::kFails;
    case Kind::kNot:
      switch (parts[0].Judge(event, payload)) {
        case Judgement::kHolds:
          return Judgement::kFails;
        case Judgement::kFails:
          return Judgement::kHolds;
        case Judgement::kBroken:
          return Judgement::kBroken;
      }
  }
  return Judgement::kFails;
}

std::string RuleCondition::WhyNot(const Event& event, PayloadFields& payload) const {
  const Judgement judgement = Judge(event, payload);
  if (judgement == Judgement::kHolds) return "";
  if (kind == Kind::kAll) {
    for (const RuleCondition& part : parts) {
      if (std::string why = part.WhyNot(event, payload); !why.empty()) return why;
    }
  }
  if (judgement == Judgement::kBroken) {
    return fmt::format("line {}: {}: the payload cannot be read: {}", line, text,
                       std::string(payload.error().message()));
  }
  switch (kind) {
    case Kind::kAny:
      return fmt::format("line {}: {}: none of these holds", line, text);
    case Kind::kNot:
      return fmt::format("line {}: {}: what must not hold does", line, text);
    default:
      return fmt::format("line {}: {}: it is {}", line, text, ShownValue(test, event, payload));
  }
}

int CostOf(const RuleCondition& condition) {
  if (condition.kind != RuleCondition::Kind::kTest) {
    int cost = 1;
    for (const RuleCondition& part : condition.parts) cost = std::max(cost, CostOf(part));
    return cost;
  }
  if (condition.test.field == RuleField::kPayload) return 3;
  return condition.test.pattern != nullptr ? 2 : 0;
}

uint64_t PercentThreshold(double percent) {
  if (percent >= 100) return ~uint64_t{0};
  return static_cast<uint64_t>(std::ldexp(static_cast<long double>(percent) / 100, 64));
}

}  // namespace weir
