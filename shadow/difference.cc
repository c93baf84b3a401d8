#include "shadow/difference.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/hash.h"
#include "core/utf8.h"
#include "shadow/limits.h"
#include "shadow/matching.h"

namespace weir::shadow {
namespace {

using Kind = JsonValue::Kind;
using Number = long double;  // holds every 64-bit integer and every double

struct JsonNumber {
  Number number = 0;
  bool integer = false;
  bool exact = true;  // false: only its text says what it is
};

JsonNumber NumberOf(const JsonValue& value) {
  if (const auto n = value.GetInt()) return {static_cast<Number>(*n), true, true};
  if (const auto n = value.GetUint()) return {static_cast<Number>(*n), true, true};
  const auto n = value.GetDouble();
  if (n && std::fabs(*n) < 9.2e18) return {static_cast<Number>(*n), false, true};
  const std::string_view text = *value.GetText();
  const bool integer = text.find_first_of(".e") == text.npos;
  if (n) return {static_cast<Number>(*n), integer, !integer};
  return {text.starts_with('-') ? -HUGE_VALL : HUGE_VALL, integer, false};
}

// A number that is a time since 1970 in s, ms, us or ns, if it is one between 2001 and 2096.
std::optional<Timestamp> LikelyTime(Number number) {
  for (Number unit : {1e6L, 1e3L, 1.0L, 1e-3L}) {
    const Number us = number * unit;
    if (us >= 1e15L && us < 4e15L) return static_cast<Timestamp>(us);
  }
  return std::nullopt;
}

// RFC 3339, or the same without an offset, which is UTC then.
std::optional<Timestamp> TextTime(std::string_view text) {
  constexpr size_t kShortest = 19;  // 2026-01-01T00:00:00
  if (text.size() < kShortest || text.size() > 2 * kShortest) return std::nullopt;
  const auto time = ParseRfc3339(text);
  return time ? time : ParseRfc3339(std::string(text) + "Z");
}

std::optional<Timestamp> TimeOf(const JsonValue& value) {
  if (const auto text = value.GetString()) return TextTime(*text);
  if (const auto n = value.GetInt()) return FromEpochNumber(*n);
  if (const auto n = value.GetDouble()) return FromEpochNumber(*n);
  return std::nullopt;
}

bool IsScalar(Kind kind) { return kind != Kind::kArray && kind != Kind::kObject; }

std::vector<JsonValue> ElementsOf(const JsonValue& list) {
  std::vector<JsonValue> elements;
  list.ForEachElement([&](const JsonValue& element) { elements.push_back(element); });
  return elements;
}

}  // namespace

std::string_view NameOf(Change change) {
  static constexpr std::string_view kNames[kChanges] = {"value", "type",    "null",
                                                        "added", "removed", "order"};
  return kNames[static_cast<size_t>(change)];
}

std::string Shown(std::string_view text, size_t bytes_max) {
  size_t end = std::min(text.size(), bytes_max);
  if (end < text.size()) {
    while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  }
  std::string shown(text.substr(0, end));
  if (!IsValidUtf8(shown)) shown = ReplaceInvalidUtf8(shown);
  if (end < text.size()) shown += "...";
  return shown;
}

std::pair<std::string, std::string> ShownApart(std::string_view left, std::string_view right,
                                               size_t bytes_max) {
  const size_t common = std::ranges::mismatch(left, right).in1 - left.begin();
  const size_t context = bytes_max / 4;
  if (common + context <= bytes_max) return {Shown(left, bytes_max), Shown(right, bytes_max)};
  size_t begin = common - context;
  while (begin > 0 && (left[begin] & 0xC0) == 0x80) --begin;
  return {"..." + Shown(left.substr(begin), bytes_max),
          "..." + Shown(right.substr(begin), bytes_max)};
}

int FieldValue::Compare(const FieldValue& a, const FieldValue& b) {
  if (a.rank != b.rank) return a.rank < b.rank ? -1 : 1;
  if (a.rank == Rank::kNumber && a.number != b.number) return a.number < b.number ? -1 : 1;
  if (a.rank == Rank::kNumber) return 0;
  return a.shown.compare(b.shown);
}

RecordDiffer::RecordDiffer(const OutputRules& rules)
    : rules_(rules), tolerant_(rules.fields.tolerant()) {}

const std::vector<FieldDifference>& RecordDiffer::Compare(std::string_view left,
                                                          std::string_view right) {
  found_.clear();
  path_.clear();
  known_length_ = 0;
  count_only_ = false;
  match_work_ = 0;
  if (left == right) return found_;
  const auto left_root = left_parser_.ParseUnpadded(left);
  const auto right_root = right_parser_.ParseUnpadded(right);
  if (left_root.ok() && right_root.ok() && HasFields(*left_root) && HasFields(*right_root)) {
    CompareValues(*left_root, *right_root, rules_.fields.root(), 0);
  } else {
    AddLines(left, right);
  }
  std::sort(found_.begin(), found_.end(),
            [](const auto& a, const auto& b) { return a.path < b.path; });
  return found_;
}

void RecordDiffer::CompareValues(const JsonValue& left, const JsonValue& right, State state,
                                 int depth) {
  if (count_only_ && (differs_ || ++match_work_ > limits::kMatchWorkMax)) {
    differs_ = true;
    return;
  }
  const Kind kind = left.kind();
  const Kind right_kind = right.kind();
  if (kind != right_kind) {
    const bool null = kind == Kind::kNull || right_kind == Kind::kNull;
    return Add(null ? Change::kNull : Change::kType, &left, &right, state);
  }
  if (IsScalar(kind)) {
    const FieldRule& rule = rules_.fields.rule(state);
    if (ScalarsMatch(left, right, rule)) return;
    const bool type = kind == Kind::kNumber && !rule.absolute && !rule.relative &&
                      NumberOf(left).integer != NumberOf(right).integer;
    return Add(type ? Change::kType : Change::kValue, &left, &right, state);
  }
  if (kind == Kind::kObject) {
    CompareObjects(left, right, state, depth);
  } else {
    CompareLists(left, right, state, depth);
  }
}

bool RecordDiffer::ScalarsMatch(const JsonValue& left, const JsonValue& right,
                                const FieldRule& rule) const {
  const Kind kind = left.kind();
  if (kind == Kind::kNull) return true;
  if (kind == Kind::kBool) return left.GetBool() == right.GetBool();
  if (kind == Kind::kString && left.GetString() == right.GetString()) return true;
  if (rule.within) {
    const auto a = TimeOf(left);
    const auto b = TimeOf(right);
    // Unsigned, so that times at both ends do not overflow.
    if (a && b &&
        static_cast<uint64_t>(std::max(*a, *b)) - static_cast<uint64_t>(std::min(*a, *b)) <=
            static_cast<uint64_t>(*rule.within)) {
      return true;
    }
  }
  if (kind == Kind::kString) return false;
  const JsonNumber a = NumberOf(left);
  const JsonNumber b = NumberOf(right);
  const bool same = a.exact && b.exact ? a.number == b.number : left.GetText() == right.GetText();
  if (!rule.absolute && !rule.relative) return same && a.integer == b.integer;
  if (same) return true;
  const Number apart = std::fabs(a.number - b.number);
  if (rule.absolute && apart <= static_cast<Number>(*rule.absolute)) return true;
  const Number larger = std::max(std::fabs(a.number), std::fabs(b.number));
  return rule.relative && std::isfinite(larger) &&
         apart <= static_cast<Number>(*rule.relative) * larger;
}

void RecordDiffer::CompareObjects(const JsonValue& left, const JsonValue& right, State state,
                                  int depth) {
  // The members of canonical texts are sorted.
  auto members_of = [](const JsonValue& object) {
    std::vector<Member> members;
    object.ForEachMember([&](std::string_view name, const JsonValue& value) {
      members.push_back({name, value});
    });
    return members;
  };
  const std::vector<Member> a = members_of(left);
  const std::vector<Member> b = members_of(right);
  const size_t length = path_.size();
  for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
    const bool in_a = i < a.size() && (j == b.size() || a[i].name <= b[j].name);
    const bool in_b = j < b.size() && (i == a.size() || b[j].name <= a[i].name);
    const std::string_view name = in_a ? a[i].name : b[j].name;
    const State member = rules_.fields.Member(state, name);
    AppendMember(name, path_);
    const size_t outer_known = Enter(state, member);
    if (in_a && in_b) {
      CompareValues(a[i].value, b[j].value, member, depth + 1);
    } else {
      Add(in_a ? Change::kRemoved : Change::kAdded, in_a ? &a[i].value : nullptr,
          in_b ? &b[j].value : nullptr, member);
    }
    path_.resize(length);
    known_length_ = outer_known;
    i += in_a;
    j += in_b;
  }
}

void RecordDiffer::CompareLists(const JsonValue& left, const JsonValue& right, State state,
                                int depth) {
  std::vector<JsonValue> a = ElementsOf(left);
  std::vector<JsonValue> b = ElementsOf(right);
  const size_t length = path_.size();
  const State elements = rules_.fields.Elements(state);
  const bool unordered = rules_.fields.rule(state).unordered;
  if (!unordered && !count_only_ && a.size() > 1 && SameElements(a, b)) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (TextOf(a[i]) != TextOf(b[i])) return Add(Change::kOrder, &left, &right, state);
    }
    return;
  }
  AppendElements(path_);
  const size_t outer_known = Enter(state, elements);
  if (unordered) {
    CompareMultisets(a, b, elements, depth);
  } else {
    const size_t common = std::min(a.size(), b.size());
    for (size_t i = 0; i < common; ++i) CompareValues(a[i], b[i], elements, depth + 1);
    for (size_t i = common; i < a.size(); ++i) Add(Change::kRemoved, &a[i], nullptr, elements);
    for (size_t i = common; i < b.size(); ++i) Add(Change::kAdded, nullptr, &b[i], elements);
  }
  path_.resize(length);
  known_length_ = outer_known;
}

bool RecordDiffer::SameElements(const std::vector<JsonValue>& left,
                                const std::vector<JsonValue>& right) {
  if (left.size() != right.size()) return false;
  std::map<std::string, int64_t> counts;
  for (const JsonValue& element : left) ++counts[TextOf(element)];
  for (const JsonValue& element : right) {
    const auto found = counts.find(TextOf(element));
    if (found == counts.end() || --found->second < 0) return false;
  }
  return true;
}

std::vector<size_t> RecordDiffer::MatchElements(const std::vector<JsonValue>& left,
                                                const std::vector<JsonValue>& right, State state,
                                                int depth) {
  std::multimap<std::string, size_t> open;
  for (size_t i = 0; i < right.size(); ++i) open.emplace(TextOf(right[i]), i);
  std::vector<size_t> partners(left.size(), kUnmatched);
  for (size_t i = 0; i < left.size(); ++i) {
    const auto found = open.find(TextOf(left[i]));
    if (found == open.end()) continue;
    partners[i] = found->second;
    open.erase(found);
  }
  if (count_only_) match_work_ += left.size() + right.size();
  if (!tolerant_ || open.empty()) return partners;

  // Of all; of those that have no equal one where all are too many.
  std::vector<size_t> lefts, rights;
  const bool all = left.size() * right.size() <= limits::kListPairsMax;
  for (size_t i = 0; i < left.size(); ++i) {
    if (all || partners[i] == kUnmatched) lefts.push_back(i);
  }
  if (all) {
    for (size_t i = 0; i < right.size(); ++i) rights.push_back(i);
  } else {
    for (const auto& [text, i] : open) rights.push_back(i);
    if (lefts.size() * rights.size() > limits::kListPairsMax) return partners;
  }
  std::vector<size_t> matched(lefts.size(), kUnmatched);
  if (all) matched = partners;
  const bool outer = std::exchange(count_only_, true);
  const bool outer_differs = differs_;
  MatchMost(matched, rights.size(), [&](size_t l, size_t r) {
    differs_ = false;
    CompareValues(left[lefts[l]], right[rights[r]], state, depth + 1);
    return !differs_;
  });
  count_only_ = outer;
  differs_ = outer_differs;
  for (size_t i = 0; i < lefts.size(); ++i) {
    if (matched[i] != kUnmatched) partners[lefts[i]] = rights[matched[i]];
  }
  return partners;
}

// What has no like meets in the order of its texts.
void RecordDiffer::CompareMultisets(const std::vector<JsonValue>& left,
                                    const std::vector<JsonValue>& right, State state, int depth) {
  if (count_only_ && left.size() != right.size()) {
    differs_ = true;
    return;
  }
  const std::vector<size_t> partners = MatchElements(left, right, state, depth);
  std::vector<JsonValue> rest_left;
  std::vector<bool> taken(right.size());
  for (size_t i = 0; i < left.size(); ++i) {
    if (partners[i] == kUnmatched) {
      rest_left.push_back(left[i]);
    } else {
      taken[partners[i]] = true;
    }
  }
  std::vector<JsonValue> rest_right;
  for (size_t i = 0; i < right.size(); ++i) {
    if (!taken[i]) rest_right.push_back(right[i]);
  }
  const size_t common = std::min(rest_left.size(), rest_right.size());
  for (size_t i = 0; i < common; ++i) {
    CompareValues(rest_left[i], rest_right[i], state, depth + 1);
  }
  for (size_t i = common; i < rest_left.size(); ++i) {
    Add(Change::kRemoved, &rest_left[i], nullptr, state);
  }
  for (size_t i = common; i < rest_right.size(); ++i) {
    Add(Change::kAdded, nullptr, &rest_right[i], state);
  }
}

size_t RecordDiffer::Enter(State outer, State inner) {
  const size_t known_length = known_length_;
  if (rules_.fields.rule(inner).known != rules_.fields.rule(outer).known) {
    known_length_ = path_.size();
  }
  return known_length;
}

bool RecordDiffer::Told(std::string_view path) const {
  return std::any_of(found_.begin(), found_.end(),
                     [&](const FieldDifference& one) { return one.path == path; });
}

void RecordDiffer::Add(Change change, const JsonValue* left, const JsonValue* right, State state) {
  differs_ = true;
  if (count_only_) return;
  const FieldRule& rule = rules_.fields.rule(state);
  std::string path = rule.known >= 0 ? path_.substr(0, known_length_) : path_;
  if (path.empty()) path = kRootPath;
  if (path.size() > limits::kPathBytesMax) {
    path = fmt::format("{} ({:016x})", Shown(path, limits::kPathBytesMax), Hash64(path));
  }
  if (Told(path)) return;
  if (found_.size() >= limits::kRecordFieldsMax) {
    path = kOtherFieldsPath;
    if (Told(path)) return;
  }
  FieldDifference& found = found_.emplace_back();
  found.path = std::move(path);
  found.change = change;
  found.left = ValueOf(left);
  found.right = ValueOf(right);
  found.known = rule.known >= 0;
  if (left != nullptr && right != nullptr && found.left.shown == found.right.shown) {
    found.apart = ShownApart(TextOf(*left), TextOf(*right), limits::kValueBytesMax);
  }
}

void RecordDiffer::AddLines(std::string_view left, std::string_view right) {
  FieldDifference& found = found_.emplace_back();
  found.path = kLinePath;
  found.left.rank = found.right.rank = FieldValue::Rank::kText;
  found.left.shown = Shown(left, limits::kValueBytesMax);
  found.right.shown = Shown(right, limits::kValueBytesMax);
  if (found.left.shown == found.right.shown) {
    found.apart = ShownApart(left, right, limits::kValueBytesMax);
  }
  found.known = rules_.fields.rule(rules_.fields.root()).known >= 0;
}

bool RecordDiffer::HasFields(const JsonValue& root) {
  scratch_.clear();
  return writer_.Write(root, plain_, plain_.root(), scratch_);
}

std::string RecordDiffer::TextOf(const JsonValue& value) {
  std::string text;
  writer_.Write(value, plain_, plain_.root(), text);
  return text;
}

FieldValue RecordDiffer::ValueOf(const JsonValue* value) {
  FieldValue side;
  if (value == nullptr) return side;
  using Rank = FieldValue::Rank;
  static constexpr Rank kRanks[] = {Rank::kNull, Rank::kBool, Rank::kNumber,
                                    Rank::kText, Rank::kList, Rank::kObject};
  side.rank = kRanks[static_cast<size_t>(value->kind())];
  if (side.rank == Rank::kNumber) {
    const Number number = NumberOf(*value).number;
    side.number = static_cast<double>(number);
    side.time = LikelyTime(number);
  } else if (side.rank == Rank::kText) {
    side.time = TextTime(*value->GetString());
  }
  side.shown = Shown(TextOf(*value), limits::kValueBytesMax);
  return side;
}

}  // namespace weir::shadow
