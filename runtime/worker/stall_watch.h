// StallWatch: which calls of operators hold their slots too long, from looks at what the slots'
// threads say of themselves. Pure; the looks are a StallDetector's.
//
// Only time in which the call could have gone on counts. What the looker itself comes late by does
// not: then the machine slept, the process was stopped (SIGSTOP), or there was no CPU to be had for
// anybody. Nor does what the slot's thread has waited for a CPU. So a figure is never too high, and
// of a machine that is overloaded too low.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "runtime/limits.h"

namespace weir {

// A call that has come to an end, or has not: what is told of it.
struct Stall {
  int slot = 0;
  std::string stage;
  int subtask = 0;
  std::string component;        // empty: none is known
  std::optional<uint32_t> row;  // in its batch
  Duration held = 0;            // so far
  bool first = false;           // the first word about this call
  bool over = false;            // and this is the last
};

class StallWatch {
 public:
  // A call is told of when it has held its slot for `stall_max`, then for 1, 10, 100 ... seconds,
  // and when it has ended.
  explicit StallWatch(Duration stall_max, Duration look_interval = limits::kStallLookInterval)
      : stall_max_(stall_max), look_interval_(look_interval) {}

  // What one look at a slot has found.
  struct Sight {
    uint64_t calls = 0;  // as CrashSite has it; even: no operator's call
    std::string stage;   // and the rest, where it is odd
    int subtask = 0;
    std::string component;
    std::optional<uint32_t> row;
  };
  // Begins a round of looks, one for each slot.
  void BeginRound(int64_t now_micros);
  // cpu_wait: how long the slot's thread has waited for a CPU since it began; only asked where it
  // matters.
  std::optional<Stall> Look(int slot, const Sight& sight,
                            const std::function<Duration()>& cpu_wait);
  // For how long the call that the last look has found holds the slot, if it was told of; else 0.
  Duration Held(int slot) const;

 private:
  struct Call {
    uint64_t calls = 0;
    Duration counted = 0;  // time in which it could have gone on
    Duration waited = -1;  // of its thread for a CPU, at the last look; negative: not asked yet
    Duration tell_at = 0;
    Stall stall;  // what was told last
  };

  const Duration stall_max_;
  const Duration look_interval_;
  int64_t last_round_ = 0;
  Duration passed_ = 0;  // since the round before
  std::map<int, Call> calls_;
};

// "has held slot 1 for 120 ms in one call ...": what its operator is told to do.
std::string Describe(const Stall& stall);

}  // namespace weir
