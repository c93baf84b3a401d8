// ExchangeWriter: the sending end of one edge from one task to the tasks of another group.
//
// Deals rows out by key group (or all to one channel), lets them wait for company until there are
// limits::kBatchRowsDefault of them, or as many as make a part of a window that is narrow, a
// millisecond has passed, or a control item follows, and cuts batches to the credit of their
// channel. Used by its task only.
//
// What waits here is in front of the next barrier, as what is in the channels is. So it is bounded
// by what the receivers take, too: the task stops where a part of a window waits for credit, and
// makes batches of the size that batch_bytes() tells.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/limits.h"
#include "jobs/built_job.h"
#include "runtime/exchange/channel.h"

namespace weir {

namespace limits {

inline constexpr size_t kWindowBatches = 4;  // that a narrow window holds, at the least

}  // namespace limits

class ExchangeWriter {
 public:
  struct Options {
    const EdgeSpec* edge;
    const EdgeCode* code;
    std::vector<std::shared_ptr<Channel>> channels;  // by receiving subtask; one for a forward edge
    bool encode = false;  // encode and decode every batch, as a wire would
    Duration coalesce_delay = limits::kCoalesceDelay;  // 0: rows wait for the end of the step
  };
  explicit ExchangeWriter(Options options);

  // Takes the rows; never fails. Check congested() before making more.
  void Add(BatchPtr batch, int64_t now_micros);
  // Sent behind all rows added so far, when they are.
  void SetWatermark(Watermark watermark, int64_t now_micros);

  Watermark watermark() const { return watermark_; }

  // Of the next batch that is added, as operators/pace.h has it.
  size_t batch_bytes() const;
  // True while full batches wait for credit.
  bool congested() const { return congested_; }
  // Sends full batches, and everything else that has waited its time. Call after credit came back
  // and at flush_due().
  void SendDue(int64_t now_micros);
  // Sends everything; false: credit ran out, try again.
  bool Flush();
  // REQUIRES: Flush() has just returned true.
  void SendControl(Barrier barrier);
  void SendControl(EndOfInput end);

  // When SendDue() has something to do, by Clock::MonotonicMicros(); nullopt: nothing waits.
  std::optional<int64_t> flush_due() const { return flush_due_; }

 private:
  bool Full(size_t channel) const;
  bool SendFrom(size_t channel, bool partial);
  ChannelItem AsSent(BatchPtr batch) const;
  void StartWaiting(int64_t now_micros);

  const Options options_;
  std::vector<BatchPtr> staged_;   // by channel; may be null
  std::vector<uint16_t> targets_;  // scratch
  Watermark watermark_;            // to be sent next
  Watermark sent_watermark_;
  bool congested_ = false;
  std::optional<int64_t> flush_due_;
};

}  // namespace weir
