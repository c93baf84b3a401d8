#include "runtime/exchange/channel.h"

#include <algorithm>

#include "core/check.h"

namespace weir {

Channel::Channel(size_t capacity_bytes, std::function<void()> wake_receiver,
                 std::function<void()> wake_sender, size_t refund_parts)
    : capacity_bytes_(capacity_bytes),
      refund_parts_(refund_parts),
      wake_receiver_(std::move(wake_receiver)),
      wake_sender_(std::move(wake_sender)),
      window_bytes_(capacity_bytes) {
  WEIR_CHECK(capacity_bytes > 0);
}

size_t Channel::credit() const {
  if (sent_watermark_.load() > watermark_limit_.load()) return 0;
  const size_t queued = queued_bytes(), window = window_bytes();
  return queued < window ? window - queued : 0;
}

void Channel::Send(ChannelItem item) {
  size_t bytes = 0;
  if (const BatchPtr* batch = std::get_if<BatchPtr>(&item)) bytes = (*batch)->bytes();
  SendCharged(std::move(item), bytes);
}

void Channel::SendCharged(ChannelItem item, size_t bytes) {
  if (const Watermark* watermark = std::get_if<Watermark>(&item)) {
    sent_watermark_ = watermark->idle ? kMinTimestamp : watermark->time;
  }
  queued_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  bool was_empty;
  {
    std::lock_guard lock(mutex_);
    was_empty = entries_.empty();
    entries_.push_back({std::move(item), bytes});
  }
  if (was_empty) wake_receiver_();
}

std::optional<ChannelItem> Channel::Receive() { return Take(/*batches=*/true); }

std::optional<ChannelItem> Channel::ReceiveControl() { return Take(/*batches=*/false); }

std::optional<ChannelItem> Channel::Take(bool batches) {
  std::optional<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    if (entries_.empty()) return std::nullopt;
    if (!batches && std::holds_alternative<BatchPtr>(entries_.front().item)) return std::nullopt;
    entry = std::move(entries_.front());
    entries_.pop_front();
  }
  const size_t before = queued_bytes_.fetch_sub(entry->bytes, std::memory_order_relaxed);
  const size_t window = window_bytes();
  bool wake = before >= window && before - entry->bytes < window;
  if (refund_parts_ > 0) {
    taken_bytes_ += entry->bytes;
    if (taken_bytes_ >= window / refund_parts_) {
      taken_bytes_ = 0;
      wake = true;
    }
  }
  if (wake) wake_sender_();
  return std::move(entry->item);
}

void Channel::set_watermark_limit(Timestamp limit) {
  const Timestamp before = watermark_limit_.exchange(limit);
  const Timestamp sent = sent_watermark_.load();
  const bool remote = refund_parts_ > 0 && limit != before;
  if (remote || (sent > before && sent <= limit)) wake_sender_();
}

void Channel::set_window_bytes(size_t bytes) {
  bytes = std::clamp<size_t>(bytes, 1, capacity_bytes_);
  // Whether the sender has seen that it has no credit cannot be told here, so it is woken anyhow:
  // also where the window shrinks, if it looked at what was queued before some of that was taken.
  if (window_bytes_.exchange(bytes) != bytes) wake_sender_();
}

}  // namespace weir
