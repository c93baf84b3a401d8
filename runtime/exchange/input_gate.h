// InputGate: merges the channels into one task. The only owner of barrier alignment and of the
// watermark of several inputs.
//
// A barrier closes its channel until the same barrier has come from all others; then it comes out
// once. Channels whose input has ended still carry barriers. The watermark is the least of the
// channels that are active, neither idle nor ended; it never falls. Where some are idle and all
// others ended it stays: who is idle may have rows yet.
//
// Watermark alignment: where an operator of the task tells how far its inputs may drift apart in
// event time (Operator::watermark_drift_max), a sender whose watermark is ahead of the least one
// taken from the active channels by more has no credit (Channel::set_watermark_limit), and so
// stops. What the operator must remember is thereby bounded by event time, not by how fast one
// sender reads or how much a channel holds.
//
// This cannot stop a job for good:
//   - What has been sent is taken, whatever its time. Then the least watermark taken is the least
//     one sent, and that is not ahead: the sender furthest behind goes on, and so does the last
//     active one. A sender sends a watermark to all its receivers at once, so it is the furthest
//     behind at all of them.
//   - An idle or an ended channel is not stopped, and stops nobody.
//   - A sender that was stopped may have rows in front of its barrier. Once the first barrier of a
//     checkpoint has come, and the sender furthest behind will send it, nobody is stopped until all
//     have come.
//   - Senders may depend on each other in a way that this does not see: a source that is stopped on
//     one branch while another branch gathers rows and holds their watermark. So when nothing has
//     come at all for limits::kWatermarkHoldMax, nobody is stopped until something comes.
//
// What waits in a channel is to be taken within limits::kQueueTime, so that barriers come soon also
// where the task is slow: where more than that waits, by what was taken of late, the channel's
// window is made smaller, never below kWindowBytesMin, and larger when more is taken, or when the
// task has emptied it and taken a whole window: then its sender is far away.
//
// Owns no thread; used by the task that it belongs to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "core/signals.h"
#include "runtime/exchange/channel.h"

namespace weir {

class InputGate {
 public:
  struct Input {
    std::shared_ptr<Channel> channel;
    int edge = 0;        // of the graph
    int input_port = 0;  // of the head operator
  };
  // drift_max: see above; none: no sender is stopped.
  explicit InputGate(std::vector<Input> inputs, std::optional<Duration> drift_max = {});

  struct Rows {
    int edge;
    int input_port;
    BatchPtr batch;
  };
  // A Watermark here is the merged one; EndOfInput comes out once, after all inputs have ended.
  using Event = std::variant<Rows, Watermark, Barrier, EndOfInput>;

  // The next thing to handle; nullopt if nothing is there. Takes the channels in turn. Internal if
  // barriers of two checkpoints meet, which would be a bug of the sender. now: monotonic; call
  // again at least every limits::kWatermarkHoldMax.
  StatusOr<std::optional<Event>> Next(int64_t now_micros);

  bool aligning() const { return aligned_ > 0; }
  // When the first barrier came of those that are being aligned, or were last.
  int64_t alignment_began() const { return aligning_micros_; }
  uint64_t taken_bytes() const { return taken_bytes_; }  // of rows, since the beginning
  size_t queued_bytes() const;
  size_t capacity_bytes() const;

 private:
  struct State {
    Input input;
    Timestamp watermark = kMinTimestamp;
    bool idle = false;
    bool ended = false;
    bool at_barrier = false;
    size_t taken_bytes = 0;      // since windows_micros_
    size_t taken_in_window = 0;  // since its window was last changed
    bool emptied = false;        // the task has waited for it, since windows_micros_
    double taken_per_micro = 0;  // smoothed

    // Its last watermark comes some time before its end does.
    bool at_end() const { return ended || watermark == kMaxTimestamp; }
    bool active() const { return !at_end() && !idle; }
  };
  // The merged watermark, if it has changed.
  std::optional<Watermark> MergeWatermarks();
  // What comes of an item; nullopt: nothing that the task has to know.
  StatusOr<std::optional<Event>> Take(State& from, ChannelItem item);
  void LimitSenders(bool lift = false);
  void FitWindows(int64_t now_micros);

  const std::optional<Duration> drift_max_;
  std::vector<State> inputs_;
  size_t turn_ = 0;
  size_t ended_ = 0;
  size_t aligned_ = 0;  // inputs at the barrier
  Barrier barrier_;
  int64_t aligning_micros_ = 0;
  uint64_t taken_bytes_ = 0;
  // Of watermark alignment.
  Timestamp limit_ = kMaxTimestamp;
  bool lifted_ = false;
  std::optional<int64_t> taken_micros_;  // when something came last
  Watermark merged_{kMinTimestamp, false};
  std::optional<int64_t> windows_micros_;  // when windows were looked at last
};

}  // namespace weir
