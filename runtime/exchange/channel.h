// Channel: one direction between two tasks; carries batches, watermarks, barriers and the end of
// the input, in order.
//
// Flow control is credit in bytes: the sender may send a batch while credit() > 0, cut to that many
// bytes, but never to less than a row; control items need none. Receiving returns a batch's credit.
// There is credit while less than a window waits here: the capacity, or less where the receiver is
// slow, so that a barrier does not have to wait behind more than it takes in a moment.
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
#include "core/time.h"

namespace weir {

namespace limits {

inline constexpr Duration kQueueTime = Milliseconds(150);  // until what waits in a channel is taken
inline constexpr size_t kWindowBytesMin = 8 << 10;         // however slow the receiver is
inline constexpr Duration kWindowInterval = Milliseconds(100);  // between looks at how slow it is

}  // namespace limits

class Channel {
 public:
  // The wakes are called when an item arrives and when credit comes back to a sender that had none.
  // With refund parts, for a sender that is in another process (remote_exchange.h), it is also
  // woken whenever such a part of the window has been taken, and when the watermark limit changes.
  Channel(size_t capacity_bytes, std::function<void()> wake_receiver,
          std::function<void()> wake_sender, size_t refund_parts = 0);

  // Sender.
  size_t credit() const;
  void Send(ChannelItem item);
  // The same with what a batch is charged, where that is not its bytes().
  void SendCharged(ChannelItem item, size_t bytes);
  // Whether there would be no credit behind this watermark.
  bool StopsAt(Timestamp watermark) const { return watermark > watermark_limit_.load(); }

  // Receiver.
  std::optional<ChannelItem> Receive();
  // The next item if it is not a batch.
  std::optional<ChannelItem> ReceiveControl();
  void set_watermark_limit(Timestamp limit);
  // At least a byte, at most the capacity. What is there already stays.
  void set_window_bytes(size_t bytes);

  // Any thread.
  size_t queued_bytes() const { return queued_bytes_.load(std::memory_order_relaxed); }
  size_t window_bytes() const { return window_bytes_.load(std::memory_order_relaxed); }
  // The window is less than the capacity: the receiver does not keep up, or it is not known yet.
  bool narrow() const { return window_bytes() < capacity_bytes_; }
  Timestamp watermark_limit() const { return watermark_limit_.load(); }

 private:
  struct Entry {
    ChannelItem item;
    size_t bytes;  // as charged, and so as refunded
  };

  std::optional<ChannelItem> Take(bool batches);

  const size_t capacity_bytes_;
  const size_t refund_parts_;  // 0: none
  const std::function<void()> wake_receiver_;
  const std::function<void()> wake_sender_;
  std::atomic<size_t> queued_bytes_ = 0;
  std::atomic<size_t> window_bytes_;
  // Each side writes one and then reads the other, in one order for both, so that none misses both.
  std::atomic<Timestamp> sent_watermark_ = kMinTimestamp;
  std::atomic<Timestamp> watermark_limit_ = kMaxTimestamp;
  size_t taken_bytes_ = 0;  // since the last refund step; used by the receiver
  std::mutex mutex_;
  std::deque<Entry> entries_;  // guarded by mutex_
};

}  // namespace weir
