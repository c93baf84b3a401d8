// LogLimit: how many lines of one kind may be said in a time, so that what happens a million times
// does not fill a disk. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "runtime/limits.h"

namespace weir {

class LogLimit {
 public:
  explicit LogLimit(size_t lines_max = limits::kLogLinesMax, Duration period = limits::kLogPeriod)
      : lines_max_(lines_max), period_(period) {}

  // Whether a line is said now: how many were left out since the last one that was. nullopt: it is
  // left out as well.
  std::optional<uint64_t> Admit(int64_t now_micros) {
    if (now_micros >= period_ends_) {
      period_ends_ = now_micros + period_;
      said_ = 0;
    }
    if (said_ >= lines_max_) {
      ++left_out_;
      return std::nullopt;
    }
    ++said_;
    return std::exchange(left_out_, 0);
  }
  uint64_t left_out() const { return left_out_; }

 private:
  const size_t lines_max_;
  const Duration period_;
  int64_t period_ends_ = 0;
  size_t said_ = 0;
  uint64_t left_out_ = 0;
};

}  // namespace weir
