#include "operators/transforms/rule_yaml.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "core/json.h"
#include "core/limits.h"
#include "core/time.h"

namespace weir {
namespace {

constexpr size_t kShownCharsMax = 160;

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

void Append(const YAML::Node& node, std::string& text) {
  if (text.size() > kShownCharsMax) return;
  const char* between = "";
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      text += IsPlain(node) ? node.Scalar() : fmt::format("'{}'", node.Scalar());
      return;
    case YAML::NodeType::Sequence:
      text += '[';
      for (const YAML::Node& element : node) {
        if (text.size() > kShownCharsMax) return;
        text += std::exchange(between, ", ");
        Append(element, text);
      }
      text += ']';
      return;
    case YAML::NodeType::Map:
      text += '{';
      for (const auto& member : node) {
        if (text.size() > kShownCharsMax) return;
        text += std::exchange(between, ", ");
        Append(member.first, text);
        text += ": ";
        Append(member.second, text);
      }
      text += '}';
      return;
    default:
      text += "null";
  }
}

}  // namespace

std::optional<RuleNumber> ParseRuleNumber(std::string_view text) {
  if (const auto value = ParseNumber<int64_t>(text)) return static_cast<RuleNumber>(*value);
  if (const auto value = ParseNumber<uint64_t>(text)) return static_cast<RuleNumber>(*value);
  if (const auto value = ParseNumber<double>(text)) return static_cast<RuleNumber>(*value);
  return std::nullopt;
}

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

std::string OnOneLine(const YAML::Node& node) {
  std::string text;
  Append(node, text);
  if (text.size() > kShownCharsMax) text = text.substr(0, kShownCharsMax) + "...";
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' '; }, ' ');
  return text;
}

Status RuleYaml::Errors() const {
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

void RuleYaml::Load(std::string_view yaml,
                    const std::function<void(const YAML::Node& root)>& read) {
  if (yaml.size() > limits::kRulesFileBytesMax) {
    return Error(1, fmt::format("the file has {} bytes; a rules file has at most {}", yaml.size(),
                                limits::kRulesFileBytesMax));
  }
  // yaml-cpp reads anything, and takes what is no UTF-8 for U+FFFD.
  for (size_t begin = 0, line = 1; begin < yaml.size(); ++line) {
    const size_t end = std::min(yaml.find('\n', begin), yaml.size());
    if (!IsValidUtf8(yaml.substr(begin, end - begin))) {
      return Error(static_cast<int>(line), "this is not UTF-8");
    }
    begin = end + 1;
  }
  try {
    const std::vector<YAML::Node> documents = YAML::LoadAll(std::string(yaml));
    if (documents.size() > 1) {
      Error(documents[1], "a second YAML document begins; a rules file is one");
    }
    if (documents.empty() || documents[0].IsNull()) {
      Error(1, "the file is empty; without rules, leave the parameter out");
    } else {
      read(documents[0]);
    }
  } catch (const YAML::Exception& error) {
    Error(std::max(error.mark.line, 0) + 1, "not YAML: " + error.msg);
  } catch (const std::exception& error) {
    Error(1, fmt::format("not YAML: {}", error.what()));
  }
}

bool RuleYaml::Spend(const YAML::Node& at) {
  if (++spent_ == limits::kRulesValuesMax + 1) {
    Error(at, fmt::format("the file unfolds to more than {} values; use fewer aliases",
                          limits::kRulesValuesMax));
  }
  return spent_ <= limits::kRulesValuesMax;
}

std::optional<RuleNumber> RuleYaml::Number(const YAML::Node& node, std::string_view what) {
  std::optional<RuleNumber> number;
  if (node.IsScalar() && IsPlain(node)) number = ParseRuleNumber(node.Scalar());
  if (!number) Error(node, fmt::format("{}: expected a number", what));
  return number;
}

std::optional<RuleNumber> RuleYaml::Integer(const YAML::Node& node, std::string_view what) {
  std::optional<RuleNumber> number;
  if (node.IsScalar() && IsPlain(node)) {
    if (const auto integer = ParseNumber<int64_t>(node.Scalar())) {
      number = static_cast<RuleNumber>(*integer);
    }
  }
  if (!number) Error(node, fmt::format("{}: expected an integer", what));
  return number;
}

std::optional<RuleNumber> RuleYaml::Time(const YAML::Node& node, std::string_view what) {
  std::optional<Timestamp> time;
  if (node.IsScalar()) time = ParseRfc3339(node.Scalar());
  if (!time) {
    Error(node, fmt::format("{}: expected a time in RFC 3339, such as 2026-11-22T09:00:00Z", what));
    return std::nullopt;
  }
  return static_cast<RuleNumber>(*time);
}

std::optional<bool> RuleYaml::Flag(const YAML::Node& node, std::string_view what) {
  const std::string text = node.IsScalar() ? node.Scalar() : "";
  if (text == "true" || text == "false") return text == "true";
  Error(node, fmt::format("{}: expected true or false", what));
  return std::nullopt;
}

}  // namespace weir
