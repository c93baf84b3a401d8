#include "shadow/record_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "shadow/limits.h"

namespace weir::shadow {
namespace {

using Kind = JsonValue::Kind;

// Bytes that may not stand in a string as they are, and the lead byte of surrogates.
constexpr auto kSpecial = [] {
  std::array<bool, 256> special{};
  for (int i = 0; i < 0x20; ++i) special[i] = true;
  special['"'] = special['\\'] = special[0xED] = true;
  return special;
}();

bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

template <class Integer>
void AppendInteger(Integer number, std::string& out) {
  char digits[24];
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  out.append(digits, end);
}

// With a dot or an exponent always, so that it stays apart from an integer.
void AppendDouble(double number, std::string& out) {
  char digits[40];
  if (number == 0) number = 0;  // -0.0 is 0.0
  const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
  const std::string_view text(digits, end - digits);
  out += text;
  if (text.find_first_of(".e") == text.npos) out += ".0";
}

}  // namespace

void AppendEscaped(std::string_view text, std::string& out) {
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (!kSpecial[c]) continue;
    const bool surrogate =
        c == 0xED && i + 2 < text.size() && static_cast<unsigned char>(text[i + 1]) >= 0xA0;
    if (c == 0xED && !surrogate) continue;
    out.append(text, begin, i - begin);
    if (surrogate) {
      const unsigned code = 0xD000 | (text[i + 1] & 0x3F) << 6 | (text[i + 2] & 0x3F);
      out += fmt::format("\\u{:04x}", code);
      i += 2;
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else {
      out += fmt::format("\\u{:04x}", c);
    }
    begin = i + 1;
  }
  out.append(text, begin, text.size() - begin);
}

std::string_view Folded(std::string_view text, const FieldRule& rule, std::string& scratch) {
  if (!rule.fold_case && !rule.fold_space) return text;
  scratch.clear();
  for (char c : text) {
    if (rule.fold_space && IsSpace(c)) {
      if (!scratch.empty() && scratch.back() != ' ') scratch += ' ';
      continue;
    }
    scratch += rule.fold_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
  }
  if (rule.fold_space && !scratch.empty() && scratch.back() == ' ') scratch.pop_back();
  return scratch;
}

bool RecordWriter::Write(const JsonValue& value, const FieldRules& rules, FieldRules::State state,
                         std::string& out, std::vector<KeyPart>* key) {
  rules_ = &rules;
  out_ = &out;
  key_ = key;
  members_.clear();
  ends_.clear();
  return WriteValue(value, state, 0);
}

bool RecordWriter::WriteValue(const JsonValue& value, FieldRules::State state, int depth) {
  const FieldRule& rule = rules_->rule(state);
  const size_t begin = out_->size();
  switch (value.kind()) {
    case Kind::kNull:
      *out_ += "null";
      break;
    case Kind::kBool:
      *out_ += *value.GetBool() ? "true" : "false";
      break;
    case Kind::kNumber:
      WriteNumber(value);
      break;
    case Kind::kString:
      WriteText(*value.GetString(), rule);
      break;
    case Kind::kArray:
      if (depth == limits::kDepthMax || !WriteList(value, state, depth)) return false;
      break;
    case Kind::kObject:
      if (depth == limits::kDepthMax || !WriteObject(value, state, depth)) return false;
      break;
  }
  if (rule.key_slot >= 0 && key_ != nullptr) {
    (*key_)[static_cast<size_t>(rule.key_slot)] = {begin, out_->size()};
  }
  return true;
}

bool RecordWriter::WriteObject(const JsonValue& value, FieldRules::State state, int depth) {
  const size_t first = members_.size();
  bool sorted = true;
  value.ForEachMember([&](std::string_view name, const JsonValue& member) {
    const FieldRules::State member_state = rules_->Member(state, name);
    if (rules_->rule(member_state).ignore) return;
    sorted = sorted && (members_.size() == first || members_.back().name < name);
    members_.push_back({name, member, member_state});
  });
  if (!sorted) {
    const auto begin = members_.begin() + static_cast<ptrdiff_t>(first);
    std::sort(begin, members_.end(),
              [](const Member& a, const Member& b) { return a.name < b.name; });
    const auto twice = std::adjacent_find(
        begin, members_.end(), [](const Member& a, const Member& b) { return a.name == b.name; });
    if (twice != members_.end()) return false;  // which of the two a reader takes is its own choice
  }
  const size_t end = members_.size();
  *out_ += '{';
  for (size_t i = first; i < end; ++i) {
    const Member member = members_[i];
    if (i > first) *out_ += ',';
    *out_ += '"';
    AppendEscaped(member.name, *out_);
    *out_ += "\":";
    if (!WriteValue(member.value, member.state, depth + 1)) return false;
  }
  *out_ += '}';
  members_.resize(first);
  return true;
}

bool RecordWriter::WriteList(const JsonValue& value, FieldRules::State state, int depth) {
  const bool unordered = rules_->rule(state).unordered;
  const FieldRules::State element_state = rules_->Elements(state);
  *out_ += '[';
  if (!rules_->rule(element_state).ignore) {
    const size_t begin = out_->size();
    const size_t first_end = ends_.size();
    bool fine = true;
    value.ForEachElement([&](const JsonValue& element) {
      if (!fine) return;
      if (out_->size() > begin) *out_ += ',';
      fine = WriteValue(element, element_state, depth + 1);
      if (unordered) ends_.push_back(out_->size());
    });
    if (!fine) return false;
    if (unordered) SortElements(begin, first_end);
  }
  *out_ += ']';
  return true;
}

// The texts between `begin` and ends_[first_end], and so on, with a comma between two.
void RecordWriter::SortElements(size_t begin, size_t first_end) {
  std::vector<std::string_view> elements;
  size_t at = begin;
  for (size_t i = first_end; i < ends_.size(); ++i) {
    elements.push_back(std::string_view(*out_).substr(at, ends_[i] - at));
    at = ends_[i] + 1;
  }
  ends_.resize(first_end);
  if (std::is_sorted(elements.begin(), elements.end())) return;
  std::sort(elements.begin(), elements.end());
  scratch_.clear();
  for (std::string_view element : elements) {
    if (!scratch_.empty()) scratch_ += ',';
    scratch_ += element;
  }
  out_->replace(begin, std::string::npos, scratch_);
}

void RecordWriter::WriteNumber(const JsonValue& value) {
  if (const auto integer = value.GetInt()) return AppendInteger(*integer, *out_);
  if (const auto integer = value.GetUint()) return AppendInteger(*integer, *out_);
  const auto number = value.GetDouble();
  // An integer beyond 64 bits counts with every digit, and so does what no double holds. To ask for
  // the text is dear.
  if (!number || std::fabs(*number) >= 9.2e18) {
    const std::string_view text = *value.GetText();
    if (!number || text.find_first_of(".eE") == text.npos) {
      for (char c : text) {
        if (c != '+') *out_ += c == 'E' ? 'e' : c;
      }
      return;
    }
  }
  AppendDouble(*number, *out_);
}

void RecordWriter::WriteText(std::string_view text, const FieldRule& rule) {
  *out_ += '"';
  AppendEscaped(Folded(text, rule, scratch_), *out_);
  *out_ += '"';
}

}  // namespace weir::shadow
