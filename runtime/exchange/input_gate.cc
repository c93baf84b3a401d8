#include "runtime/exchange/input_gate.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {

InputGate::InputGate(std::vector<Input> inputs) {
  for (Input& input : inputs) inputs_.push_back({.input = std::move(input)});
}

StatusOr<std::optional<InputGate::Event>> InputGate::Next() {
  // Watermarks that change nothing are swallowed here, so this may read several items, each channel
  // at most until it is empty.
  for (size_t empty = 0; empty < inputs_.size();) {
    State& state = inputs_[turn_];
    turn_ = (turn_ + 1) % inputs_.size();
    std::optional<ChannelItem> item;
    if (!state.at_barrier) item = state.input.channel->Receive();
    if (!item) {
      ++empty;
      continue;
    }
    empty = 0;
    if (auto* batch = std::get_if<BatchPtr>(&*item)) {
      return Event(Rows{state.input.edge, state.input.input_port, std::move(*batch)});
    }
    if (auto* watermark = std::get_if<Watermark>(&*item)) {
      state.watermark = std::max(state.watermark, watermark->time);
      state.idle = watermark->idle;
      if (auto merged = MergeWatermarks()) return Event(*merged);
    } else if (auto* barrier = std::get_if<Barrier>(&*item)) {
      if (aligned_ > 0 && barrier->checkpoint != barrier_.checkpoint) {
        return absl::InternalError(
            fmt::format("the barrier of checkpoint {} arrived while checkpoint {} is being aligned",
                        barrier->checkpoint, barrier_.checkpoint));
      }
      state.at_barrier = true;
      barrier_ = *barrier;
      if (++aligned_ == inputs_.size()) {
        aligned_ = 0;
        for (State& s : inputs_) s.at_barrier = false;
        return Event(barrier_);
      }
    } else if (!state.ended) {
      state.ended = true;
      if (++ended_ == inputs_.size()) return Event(EndOfInput{});
      if (auto merged = MergeWatermarks()) return Event(*merged);
    }
  }
  return std::optional<Event>();
}

std::optional<Watermark> InputGate::MergeWatermarks() {
  Timestamp least = kMaxTimestamp;
  bool any_active = false;
  for (const State& state : inputs_) {
    // An ended input has nothing left to be late. One that is idle counts for nothing unless all
    // are.
    if (state.ended || state.idle) continue;
    any_active = true;
    least = std::min(least, state.watermark);
  }
  Watermark merged{merged_.time, !any_active};
  if (any_active) merged.time = std::max(merged_.time, least);
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
  for (const State& state : inputs_) bytes += state.input.channel->capacity_bytes();
  return bytes;
}

}  // namespace weir
