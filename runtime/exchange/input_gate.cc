#include "runtime/exchange/input_gate.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.h"

namespace weir {
namespace {

constexpr int kLooksSmoothed = 4;
// Nobody knows yet how slow the task is.
constexpr size_t kFirstWindowBytes = 32 << 10;

}  // namespace

InputGate::InputGate(std::vector<Input> inputs, std::optional<Duration> drift_max)
    : drift_max_(drift_max) {
  for (Input& input : inputs) {
    input.channel->set_window_bytes(kFirstWindowBytes);
    inputs_.push_back({.input = std::move(input)});
  }
  LimitSenders();
}

StatusOr<std::optional<InputGate::Event>> InputGate::Next(int64_t now_micros) {
  FitWindows(now_micros);
  // Watermarks that change nothing are swallowed here, so this may read several items, each channel
  // at most until it is empty.
  for (size_t quiet = 0; quiet < inputs_.size();) {
    State& state = inputs_[turn_];
    turn_ = (turn_ + 1) % inputs_.size();
    std::optional<ChannelItem> item;
    if (!state.at_barrier) item = state.input.channel->Receive();
    if (!item) {
      state.emptied |= !state.at_barrier;
      ++quiet;
      continue;
    }
    quiet = 0;
    taken_micros_ = now_micros;
    const bool control = !std::holds_alternative<BatchPtr>(*item);
    WEIR_ASSIGN_OR_RETURN(std::optional<Event> event, Take(state, *std::move(item)));
    if (control || lifted_) LimitSenders();
    if (event) return event;
  }
  if (!taken_micros_) taken_micros_ = now_micros;  // the first call
  if (now_micros - *taken_micros_ >= limits::kWatermarkHoldMax) LimitSenders(/*lift=*/true);
  return std::optional<Event>();
}

StatusOr<std::optional<InputGate::Event>> InputGate::Take(State& from, ChannelItem item) {
  if (auto* batch = std::get_if<BatchPtr>(&item)) {
    from.taken_bytes += (*batch)->bytes();
    taken_bytes_ += (*batch)->bytes();
    return Event(Rows{from.input.edge, from.input.input_port, std::move(*batch)});
  }
  if (auto* watermark = std::get_if<Watermark>(&item)) {
    from.watermark = std::max(from.watermark, watermark->time);
    from.idle = watermark->idle;
  } else if (auto* barrier = std::get_if<Barrier>(&item)) {
    if (aligned_ > 0 && barrier->checkpoint != barrier_.checkpoint) {
      return absl::InternalError(
          fmt::format("the barrier of checkpoint {} arrived while checkpoint {} is being aligned",
                      barrier->checkpoint, barrier_.checkpoint));
    }
    if (aligned_ == 0) aligning_micros_ = *taken_micros_;
    from.at_barrier = true;
    barrier_ = *barrier;
    if (++aligned_ < inputs_.size()) return std::optional<Event>();
    aligned_ = 0;
    for (State& s : inputs_) s.at_barrier = false;
    return Event(barrier_);
  } else if (!from.ended) {
    from.ended = true;
    if (++ended_ == inputs_.size()) return Event(EndOfInput{});
  }
  if (auto merged = MergeWatermarks()) return Event(*merged);
  return std::optional<Event>();
}

// With `lift`, nobody is limited until something comes.
void InputGate::LimitSenders(bool lift) {
  if (!drift_max_) return;
  lifted_ = lift;
  Timestamp limit = kMaxTimestamp;
  if (!lift && aligned_ == 0) {
    Timestamp least = kMaxTimestamp;
    for (const State& state : inputs_) {
      if (state.active()) least = std::min(least, state.watermark);
    }
    if (least < kMaxTimestamp - *drift_max_) limit = least + *drift_max_;
  }
  if (limit == limit_) return;
  limit_ = limit;
  for (const State& state : inputs_) state.input.channel->set_watermark_limit(limit);
}

void InputGate::FitWindows(int64_t now_micros) {
  if (!windows_micros_) windows_micros_ = now_micros;
  const int64_t elapsed = now_micros - *windows_micros_;
  if (elapsed < limits::kWindowInterval) return;
  windows_micros_ = now_micros;
  for (State& state : inputs_) {
    if (state.at_barrier) continue;  // nothing can be taken from it
    // Of the last few looks, since a sink takes a block at once, and then nothing for a while.
    state.taken_in_window += state.taken_bytes;
    const double taken = static_cast<double>(std::exchange(state.taken_bytes, 0)) / elapsed;
    state.taken_per_micro += (taken - state.taken_per_micro) / kLooksSmoothed;
    const size_t fit = std::max(limits::kWindowBytesMin,
                                static_cast<size_t>(state.taken_per_micro * limits::kQueueTime));
    Channel& channel = *state.input.channel;
    const size_t window = channel.window_bytes(), queued = channel.queued_bytes();
    const bool emptied = std::exchange(state.emptied, false);
    size_t next = window;
    if (fit > window || (queued > fit && !emptied)) {
      next = fit;
    } else if (emptied && state.taken_in_window >= window) {
      // The task takes a whole window at once and waits for more: the sender is far away, and what
      // a window holds is all that is on its way.
      next = 2 * window;
    } else if (queued < window / 2 && window < 2 * fit) {
      // Not beyond that: another input may be what the task waits for, or what its sender does.
      next = 2 * fit;
    }
    if (next == window) continue;
    channel.set_window_bytes(next);
    state.taken_in_window = 0;
  }
}

std::optional<Watermark> InputGate::MergeWatermarks() {
  Timestamp least = kMaxTimestamp;
  bool any_active = false;
  bool all_at_end = true;
  for (const State& state : inputs_) {
    all_at_end &= state.at_end();
    // An ended input has nothing left to be late. One that is idle counts for nothing unless all
    // are.
    if (!state.active()) continue;
    any_active = true;
    least = std::min(least, state.watermark);
  }
  const bool moves = any_active || all_at_end;
  const Watermark merged{moves ? std::max(merged_.time, least) : merged_.time, !moves};
  if (merged.time == merged_.time && merged.idle == merged_.idle) return std::nullopt;
  merged_ = merged;
  return merged;
}

size_t InputGate::queued_bytes() const {
  size_t bytes = 0;
  for (const State& state : inputs_) bytes += state.input.channel->queued_bytes();
  return bytes;
}

size_t InputGate::capacity_bytes() const {
  size_t bytes = 0;
  for (const State& state : inputs_) bytes += state.input.channel->window_bytes();
  return bytes;
}

}  // namespace weir
