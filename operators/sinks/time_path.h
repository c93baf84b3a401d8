// TimePath: the folders that a file sink makes for spans of event time below each route, as in
// date=2026-11-22/hour=09. Times are UTC.
//
// A pattern is one to four segments, "key=value" each, of letters, digits, '_', '-', '.' and the
// placeholders %Y (four digits), %m, %d, %H, %M (two digits). Segments hold a '=', labels of routes
// do not (partition_label.h), so neither can be taken for the other. Immutable.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"
#include "core/time.h"

namespace weir {

class TimePath {
 public:
  // No folders.
  TimePath() = default;
  // "" or "none", "hourly" (date=%Y-%m-%d/hour=%H), "daily" (date=%Y-%m-%d), "monthly"
  // (month=%Y-%m), or a pattern. A pattern must name every unit above its smallest, so that a
  // folder is one span of time. InvalidArgument says what is wrong.
  static StatusOr<TimePath> Parse(std::string_view text);

  bool empty() const { return pattern_.empty(); }
  const std::string& pattern() const { return pattern_; }

  // All times from `first` to `last` belong into this folder.
  struct Span {
    Timestamp first = kMinTimestamp;
    Timestamp last = kMaxTimestamp;
    std::string path;
  };
  // nullopt: the year has not four digits (before 0000, after 9999), and no folder's name. Call it
  // for a span, not for every row.
  std::optional<Span> Of(Timestamp time) const;

 private:
  enum class Unit { kYear, kMonth, kDay, kHour, kMinute };
  static std::optional<Unit> UnitOf(char placeholder);

  std::string pattern_;
  Unit smallest_ = Unit::kYear;
};

// One folder's name as a pattern makes it: "key=value" of safe characters.
bool IsTimeSegment(std::string_view name);
// "" or segments with '/' between them.
bool IsTimePath(std::string_view path);

}  // namespace weir
