// ArrivalClock: the time at which rows arrive, for what goes by arrival and is kept in checkpoints:
// the wall clock as it was at the start, moved on by the monotonic clock. It never falls, and a
// wall clock that jumps moves it only with the next start.
//
// Made in Open(); read once a batch, by the one task that owns it.
#pragma once

#include <algorithm>

#include "core/environment.h"

namespace weir {

class ArrivalClock {
 public:
  // not_before: what it had come to, according to the restored state.
  explicit ArrivalClock(Clock& clock, Timestamp not_before = kMinTimestamp)
      : clock_(&clock), offset_(std::max(clock.Now(), not_before) - clock.MonotonicMicros()) {}

  Timestamp Now() const { return offset_ + clock_->MonotonicMicros(); }

 private:
  Clock* clock_;
  Duration offset_;
};

}  // namespace weir
