#include "runtime/worker/stall_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir {
namespace {

// A round that comes later than this many intervals after the one before counts as so many.
constexpr int kIntervalsMax = 2;

std::string DurationText(Duration duration) {
  if (duration < Seconds(1)) return fmt::format("{} ms", duration / Milliseconds(1));
  return fmt::format("{:.1f} s", static_cast<double>(duration) / Seconds(1));
}

}  // namespace

void StallWatch::BeginRound(int64_t now_micros) {
  passed_ = last_round_ == 0 ? 0 : now_micros - last_round_;
  last_round_ = now_micros;
}

std::optional<Stall> StallWatch::Look(int slot, const Sight& sight,
                                      const std::function<Duration()>& cpu_wait) {
  Call& call = calls_[slot];
  if (call.calls != sight.calls || sight.calls % 2 == 0) {
    const Call before = std::exchange(call, Call{.calls = sight.calls, .tell_at = stall_max_});
    if (before.stall.held == 0) return std::nullopt;
    Stall stall = before.stall;
    stall.held = before.counted;
    stall.first = false;
    stall.over = true;
    return stall;
  }
  const Duration waited = cpu_wait();
  if (call.waited >= 0) {
    call.counted +=
        std::clamp<Duration>(passed_ - (waited - call.waited), 0, kIntervalsMax * look_interval_);
  }
  call.waited = waited;
  const Duration held = call.counted;
  if (held < call.tell_at) return std::nullopt;
  const bool first = call.stall.held == 0;
  call.stall = {.slot = slot,
                .stage = sight.stage,
                .subtask = sight.subtask,
                .component = sight.component,
                .row = sight.row,
                .held = held,
                .first = first};
  Duration next = Seconds(1);
  while (next <= held) next *= 10;
  call.tell_at = next;
  return call.stall;
}

Duration StallWatch::Held(int slot) const {
  const auto found = calls_.find(slot);
  const bool told = found != calls_.end() && found->second.stall.held > 0;
  return told ? found->second.counted : 0;
}

std::string Describe(const Stall& stall) {
  std::string inside = stall.component.empty() ? "" : fmt::format(" ({}", stall.component);
  if (stall.row)
    inside += fmt::format("{}at row {} of its batch", inside.empty() ? " (" : ", ", *stall.row);
  if (!inside.empty()) inside += ")";
  if (stall.over) {
    return fmt::format("has given slot {} back, after {} in one call{}", stall.slot,
                       DurationText(stall.held), inside);
  }
  return fmt::format(
      "has held slot {} for {} in one call{}: it holds up all that runs in the slot, and "
      "checkpoints; a call takes a millisecond or one batch, and never blocks",
      stall.slot, DurationText(stall.held), inside);
}

}  // namespace weir
