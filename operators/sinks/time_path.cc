#include "operators/sinks/time_path.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>

#include "core/check.h"
#include "core/limits.h"

namespace weir {
namespace {

constexpr size_t kSegmentCharsMax = 100;

bool IsSafe(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '=';
}

// Calls fn(segment) for each; false as soon as one does.
template <class Fn>
bool EachSegment(std::string_view path, Fn fn) {
  for (;;) {
    const size_t slash = path.find('/');
    if (!fn(path.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Timestamp Parsed(const std::string& text) {
  const std::optional<Timestamp> time = ParseRfc3339(text);
  WEIR_CHECK(time.has_value());
  return *time;
}

}  // namespace

bool IsTimeSegment(std::string_view name) {
  const size_t equals = name.find('=');
  return !name.empty() && name.size() <= kSegmentCharsMax && name.front() != '.' && equals != 0 &&
         equals != std::string_view::npos && equals + 1 < name.size() &&
         std::all_of(name.begin(), name.end(), IsSafe);
}

bool IsTimePath(std::string_view path) {
  if (path.empty()) return true;
  return std::count(path.begin(), path.end(), '/') < limits::kSinkTimeSegmentsMax &&
         EachSegment(path, IsTimeSegment);
}

std::optional<TimePath::Unit> TimePath::UnitOf(char placeholder) {
  const size_t at = std::string_view("YmdHM").find(placeholder);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<Unit>(at);
}

StatusOr<TimePath> TimePath::Parse(std::string_view text) {
  TimePath path;
  if (text.empty() || text == "none") return path;
  if (text == "hourly") text = "date=%Y-%m-%d/hour=%H";
  if (text == "daily") text = "date=%Y-%m-%d";
  if (text == "monthly") text = "month=%Y-%m";
  auto refuse = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' cannot partition files by time: {}; write none, monthly, daily, hourly, "
                    "or folders such as date=%Y-%m-%d/hour=%H",
                    text, what));
  };
  std::string plain;  // with a safe character for each placeholder
  std::bitset<5> units;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain.push_back(text[i]);
      continue;
    }
    const std::optional<Unit> unit =
        i + 1 < text.size() ? UnitOf(text[++i]) : std::optional<Unit>();
    if (!unit) return refuse("behind a '%' must stand Y, m, d, H or M");
    units.set(static_cast<size_t>(*unit));
    path.smallest_ = std::max(path.smallest_, *unit);
    plain += *unit == Unit::kYear ? "2026" : "01";
  }
  if (!IsTimePath(plain)) {
    return refuse(
        fmt::format("it must be 1 to {} folders, each key=value of letters, digits, '_', '-', '.' "
                    "and placeholders",
                    limits::kSinkTimeSegmentsMax));
  }
  for (size_t unit = 0; unit <= static_cast<size_t>(path.smallest_); ++unit) {
    if (!units.test(unit)) {
      return refuse(
          fmt::format("it lacks %{}, without which different times share a folder", "YmdHM"[unit]));
    }
  }
  path.pattern_ = text;
  return path;
}

std::optional<TimePath::Span> TimePath::Of(Timestamp time) const {
  if (empty()) return Span{};
  static const Timestamp kFirst = Parsed("0000-01-01T00:00:00Z");
  static const Timestamp kLast = Parsed("9999-12-31T23:59:59.999999Z");
  if (time < kFirst || time > kLast) return std::nullopt;
  // "2026-11-22T09:31:07.500000Z"
  const std::string text = FormatTimestamp(time);
  const std::string_view fields[] = {
      std::string_view(text).substr(0, 4), std::string_view(text).substr(5, 2),
      std::string_view(text).substr(8, 2), std::string_view(text).substr(11, 2),
      std::string_view(text).substr(14, 2)};
  Span span;
  for (size_t i = 0; i < pattern_.size(); ++i) {
    if (pattern_[i] != '%') {
      span.path.push_back(pattern_[i]);
    } else {
      span.path += fields[static_cast<size_t>(*UnitOf(pattern_[++i]))];
    }
  }
  constexpr Duration kLengths[] = {0, 0, Hours(24), Hours(1), Minutes(1)};
  const size_t smallest = static_cast<size_t>(smallest_);
  if (const Duration length = kLengths[smallest]; length > 0) {
    const Duration behind = time % length;
    span.first = time - (behind < 0 ? behind + length : behind);
    span.last = span.first + length - 1;
    return span;
  }
  // Months and years have no fixed length.
  const bool by_month = smallest_ == Unit::kMonth;
  span.first = Parsed(fmt::format("{}-{}-01T00:00:00Z", fields[0], by_month ? fields[1] : "01"));
  const Duration longest = Hours(24) * (by_month ? 31 : 366);
  const std::string next = FormatTimestamp(span.first + longest);  // within the next one
  span.last = span.first + longest > kLast
                  ? kLast
                  : Parsed(fmt::format("{}-{}-01T00:00:00Z", next.substr(0, 4),
                                       by_month ? next.substr(5, 2) : "01")) -
                        1;
  return span;
}

}  // namespace weir
