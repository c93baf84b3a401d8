// Channel: one direction between two tasks; carries batches, watermarks, barriers and the end of
// the input, in order.
//
// Flow control is credit in bytes: the sender may send a batch while credit() > 0, cut to that many
// bytes, but never to less than a row; control items need none. Receiving returns a batch's credit.
// While the watermark that was sent last is above the receiver's limit there is no credit either
// (see input_gate.h), unless it says that the sender is idle. One sender and one receiver, each on
// its own thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>

#include "core/signals.h"

namespace weir {

class Channel {
 public:
  // The wakes are called when an item arrives and when credit comes back to a sender that had none.
  Channel(size_t capacity_bytes, std::function<void()> wake_receiver,
          std::function<void()> wake_sender);

  // Sender.
  size_t credit() const;
  void Send(ChannelItem item);
  // Whether there would be no credit behind this watermark.
  bool StopsAt(Timestamp watermark) const { return watermark > watermark_limit_.load(); }

  // Receiver.
  std::optional<ChannelItem> Receive();
  void set_watermark_limit(Timestamp limit);

  // Any thread.
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  size_t capacity_bytes() const { return capacity_bytes_; }

 private:
  struct Entry {
    ChannelItem item;
    size_t bytes;  // as charged, and so as refunded
  };

  const size_t capacity_bytes_;
  const std::function<void()> wake_receiver_;
  const std::function<void()> wake_sender_;
  std::atomic<size_t> queued_bytes_ = 0;
  // Each side writes one and then reads the other, in one order for both, so that none misses both.
  std::atomic<Timestamp> sent_watermark_ = kMinTimestamp;
  std::atomic<Timestamp> watermark_limit_ = kMaxTimestamp;
  std::mutex mutex_;
  std::deque<Entry> entries_;  // guarded by mutex_
};

}  // namespace weir
