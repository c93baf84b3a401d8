// HeldWatermarks: keeps watermarks behind the rows that came before them, for an operator that
// holds rows, or whole batches, and numbers them 0, 1, ... as they come. Used by the task that owns
// it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <utility>

#include "core/time.h"

namespace weir {

class HeldWatermarks {
 public:
  // A watermark behind `received` rows, of which all below `out` have left the operator.
  void Add(Timestamp watermark, uint64_t received, uint64_t out) {
    if (!held_.empty() && held_.back().first == received) {
      held_.back().second = std::max(held_.back().second, watermark);
    } else {
      held_.emplace_back(received, watermark);
    }
    Release(out);
  }
  // All rows below `out` have left.
  void Release(uint64_t out) {
    for (; !held_.empty() && held_.front().first <= out; held_.pop_front()) {
      released_ = std::max(released_, held_.front().second);
    }
  }
  // The watermark that may go on: Operator::OutputWatermark().
  Timestamp OutputWatermark(Timestamp input) const { return std::min(input, released_); }

 private:
  std::deque<std::pair<uint64_t, Timestamp>> held_;  // (rows before it, watermark), both rising
  Timestamp released_ = kMinTimestamp;
};

}  // namespace weir
