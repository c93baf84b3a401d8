// What an operator needs around it in a test that calls it by hand: a clock that stands still until
// it is moved, timers that are recorded, counters, and an OperatorContext of all these.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "operators/operator.h"

namespace weir::testing {

// Any thread may read it.
class ManualClock final : public Clock {
 public:
  Timestamp Now() override { return now + wall_ahead; }
  int64_t MonotonicMicros() override { return now += look_micros; }

  std::atomic<int64_t> now = Seconds(1'000'000);
  std::atomic<Duration> wall_ahead = 0;  // how far the wall clock has jumped
  std::atomic<int64_t> look_micros = 0;  // by which each look at the monotonic clock moves it on
};

class ManualTimers final : public TimerService {
 public:
  void SetProcessingTimer(Timestamp time) override { processing.insert(time); }
  void SetDelayTimer(int64_t time) override { delay.insert(time); }
  void SetEventTimer(Timestamp time) override { event.insert(time); }
  void SetWakeUp(int64_t time) override { wake_up = std::min(time, wake_up.value_or(time)); }

  // Fires the timers of both clocks that are due at `now`, in order. False if one did not return
  // kDone.
  bool FireDue(Timestamp now, Operator& op, Output& out) {
    return Fire(TimerKind::kDelay, delay, now, op, out) &&
           Fire(TimerKind::kProcessingTime, processing, now, op, out);
  }

  std::set<Timestamp> processing;
  std::set<int64_t> delay;
  std::set<Timestamp> event;
  std::optional<int64_t> wake_up;  // whoever calls Resume() spends it

 private:
  static bool Fire(TimerKind kind, std::set<Timestamp>& due, Timestamp now, Operator& op,
                   Output& out) {
    while (!due.empty() && *due.begin() <= now) {
      Timestamp time = *due.begin();
      due.erase(due.begin());
      auto progress = op.OnTimer(kind, time, out);
      if (!progress.ok() || *progress != Progress::kDone) return false;
    }
    return true;
  }
};

// One instance's surroundings. Must outlive the operator that was opened with `context`.
struct OperatorBed {
  explicit OperatorBed(int subtask = 0, int parallelism = 1) {
    context.job_id = "job";
    context.stage = "stage";
    context.subtask = subtask;
    context.parallelism = parallelism;
    context.key_groups = KeyGroupsOf(subtask, parallelism);
    context.env = &env;
    context.restore = &restore;
    context.timers = &timers;
    context.counters = &counters;
    context.wake = [] {};
    context.notify = [] {};
  }
  OperatorBed(const OperatorBed&) = delete;
  OperatorBed& operator=(const OperatorBed&) = delete;

  ManualClock clock;
  ManualTimers timers;
  OperatorCounters counters;
  Restore restore;
  Environment env{clock, RealEnvironment().disk, RealEnvironment().io, RealEnvironment().random};
  OperatorContext context;
};

}  // namespace weir::testing
