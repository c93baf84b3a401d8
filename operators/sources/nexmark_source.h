// NexmarkSource: the events of the NEXMark benchmark (nexmark_generator.h), without any input.
//
// Numbers are dealt out to the splits in blocks, like cards, so that all splits have come equally
// far in event time; within a subtask the split that is furthest behind is next. A split's name is
// chosen so that its key group follows from its index: the splits are spread evenly over subtasks,
// whatever the parallelism. How many events of a split have been made is keyed state.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "operators/source.h"
#include "operators/sources/nexmark_generator.h"
#include "operators/sources/rate_limiter.h"
#include "state/keyed_state.h"

namespace weir {

// Calls as operators/source.h has them. Needs keyed state.
class NexmarkSource final : public Source {
 public:
  // REQUIRES: options that CheckNexmarkOptions() has passed. A job restores only with the same
  // ones, save the rate.
  explicit NexmarkSource(const NexmarkOptions& options);

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<PollResult> Poll(Output& out) override;
  Timestamp watermark() const override { return watermark_; }
  bool idle() const override { return splits_.empty(); }
  // In bytes as the benchmark counts them, on average; without end the total is 0.
  SourceProgress progress() const override;

 private:
  struct Split {
    int index = 0;
    std::string name;   // the key of its state
    uint64_t made = 0;  // events
  };
  using NumberAndSplit = std::pair<uint64_t, size_t>;

  uint64_t NumberOf(int split, uint64_t nth) const;
  void MoveWatermark();

  const NexmarkOptions options_;
  const uint64_t end_;  // of the numbers
  const NexmarkGenerator generator_;
  Clock* clock_ = nullptr;  // set by Open()

  ValueState<uint64_t> made_;
  std::vector<Split> splits_;  // this subtask's
  // By the number of their next event; those that have one.
  std::priority_queue<NumberAndSplit, std::vector<NumberAndSplit>, std::greater<>> next_;
  std::optional<RateLimiter> limiter_;
  size_t row_bytes_ = 256;  // of the last batch's rows on average; a guess until there was one
  uint64_t events_ = 0;     // of this subtask's splits, made so far
  Timestamp watermark_ = kMinTimestamp;
};

}  // namespace weir
