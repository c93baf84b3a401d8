// LineDecoder: turns lines of text into typed rows. What a line-based source reads with.
//
// One instance per source instance, used on its task's thread. It is called with a group of lines
// at a time, never with one line by one virtual call.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/batch.h"
#include "operators/operator.h"

namespace weir {

struct Line {
  std::string_view text;  // without the line feed; in a slab, so that SIMD parsers may read on
  uint64_t offset = 0;    // of its first byte in the file's content, decompressed
};

// True for a line of nothing but white space, which is no row and no error.
inline bool IsBlankLine(std::string_view text) {
  return text.empty() || (static_cast<unsigned char>(text[0]) <= ' ' &&
                          text.find_first_not_of(" \t\r") == std::string_view::npos);
}

// What a group of lines has in common: where they come from and what is known about their time.
// All lines of a group are of one split, in order.
struct LineGroup {
  std::string_view file;           // for messages
  uint64_t first_line_number = 0;  // of the group, from 1; 0: not known
  Timestamp arrival = 0;           // when the group was read
  Duration clock_skew_max = limits::kClockSkewMax;

  // Of the split, before the group and, once it is decoded, behind it. kMinTimestamp: none yet.
  Timestamp last_good_time = kMinTimestamp;
  Timestamp highest_time = kMinTimestamp;
  uint64_t unusable_times = 0;  // of the group

  // The time of a row that has been read for good; without a usable one (none, or one further ahead
  // of arrival than clock_skew_max) the split's last good time, else arrival.
  Timestamp TakeTime(std::optional<Timestamp> time) {
    if (!time || *time == kMinTimestamp || *time > arrival + clock_skew_max) {
      ++unusable_times;
      return FallbackTime();
    }
    last_good_time = *time;
    highest_time = std::max(highest_time, *time);
    return *time;
  }
  Timestamp FallbackTime() const {
    return last_good_time == kMinTimestamp ? arrival : last_good_time;
  }
  // "input/a.jsonl, line 17 at byte 1234", for the index-th line of the group.
  std::string Where(const Line& line, size_t index) const {
    if (first_line_number == 0) return fmt::format("{}, the line at byte {}", file, line.offset);
    return fmt::format("{}, line {} at byte {}", file, first_line_number + index, line.offset);
  }
};

class LineDecoder {
 public:
  virtual ~LineDecoder() = default;
  // An empty batch with room for so many rows.
  virtual BatchPtr NewBatch(size_t rows) const = 0;
  // False: rows have the time of their arrival, so files are read one after the other.
  virtual bool has_time() const = 0;
  // True if rows point into the lines, whose slab the source then adds to the batch.
  virtual bool keeps_lines() const = 0;
  // Appends a row for each line that is one and rejects the others, save blank lines; keeps the
  // times of `group`.
  virtual void Decode(std::span<const Line> lines, LineGroup& group, BatchBase& batch,
                      Output& out) = 0;
};

}  // namespace weir
