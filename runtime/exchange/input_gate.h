// InputGate: merges the channels into one task. The only owner of barrier alignment and of the
// watermark of several inputs.
//
// A barrier closes its channel until the same barrier has come from all others; then it comes out
// once. Channels whose input has
// ended still carry barriers. The watermark is the least of the channels that are not idle; it
// never falls. Owns no thread; used by the
// task that it belongs to.
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
  explicit InputGate(std::vector<Input> inputs);

  struct Rows {
    int edge;
    int input_port;
    BatchPtr batch;
  };
  // A Watermark here is the merged one; EndOfInput comes out once, after all inputs have ended.
  using Event = std::variant<Rows, Watermark, Barrier, EndOfInput>;

  // The next thing to handle; nullopt if nothing is there. Takes the channels in turn. Internal if
  // barriers of two checkpoints meet,
  // which would be a bug of the sender.
  StatusOr<std::optional<Event>> Next();

  bool aligning() const { return aligned_ > 0; }
  size_t queued_bytes() const;
  size_t capacity_bytes() const;

 private:
  struct State {
    Input input;
    Timestamp watermark = kMinTimestamp;
    bool idle = false;
    bool ended = false;
    bool at_barrier = false;
  };
  // The merged watermark, if it has changed.
  std::optional<Watermark> MergeWatermarks();

  std::vector<State> inputs_;
  size_t turn_ = 0;
  size_t ended_ = 0;
  size_t aligned_ = 0;  // inputs at the barrier
  Barrier barrier_;
  Watermark merged_{kMinTimestamp, false};
};

}  // namespace weir
