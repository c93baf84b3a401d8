#include "runtime/exchange/exchange_writer.h"

#include <algorithm>

#include "core/key_group.h"
#include "core/limits.h"
#include "operators/pace.h"

namespace weir {

ExchangeWriter::ExchangeWriter(Options options)
    : options_(std::move(options)), staged_(options_.channels.size()) {}

void ExchangeWriter::Add(BatchPtr batch, int64_t now_micros) {
  if (batch->empty()) return;
  const bool keyed = options_.edge->partitioning == Partitioning::kKeyed;
  if (keyed) options_.code->hash_keys(*batch);
  if (options_.channels.size() == 1) {
    if (staged_[0] == nullptr) {
      staged_[0] = std::move(batch);
    } else {
      staged_[0]->Append(*batch);
    }
  } else {
    WEIR_CHECK(keyed);
    const int parallelism = static_cast<int>(options_.channels.size());
    targets_.clear();
    for (uint64_t hash : batch->key_hashes()) {
      targets_.push_back(static_cast<uint16_t>(SubtaskOf(KeyGroupOf(hash), parallelism)));
    }
    batch->Scatter(targets_, staged_);
  }
  StartWaiting(now_micros);
  for (size_t c = 0; c < staged_.size(); ++c) {
    if (Full(c)) SendFrom(c, false);
  }
}

void ExchangeWriter::SetWatermark(Watermark watermark, int64_t now_micros) {
  watermark_ = watermark;
  if (watermark_ == sent_watermark_) return;
  StartWaiting(now_micros);
  // A receiver that stops at this watermark should know it at once: a millisecond of rows can be
  // much event time.
  const bool stops =
      !watermark.idle && std::any_of(options_.channels.begin(), options_.channels.end(),
                                     [&](const auto& c) { return c->StopsAt(watermark.time); });
  if (stops) Flush();
}

void ExchangeWriter::StartWaiting(int64_t now_micros) {
  if (!flush_due_) flush_due_ = now_micros + options_.coalesce_delay;
}

// Each receiver gets a part of what is added, about the same, and that should be half of its window
// at most.
size_t ExchangeWriter::batch_bytes() const {
  size_t window = kAnyBatchBytes;
  for (const auto& channel : options_.channels) {
    if (channel->narrow()) window = std::min(window, channel->window_bytes());
  }
  if (window == kAnyBatchBytes) return window;
  return std::max<size_t>(1, window * options_.channels.size() / 2);
}

// As many rows as go out without waiting for company.
bool ExchangeWriter::Full(size_t c) const {
  const BatchPtr& staged = staged_[c];
  if (staged == nullptr || staged->empty()) return false;
  const Channel& channel = *options_.channels[c];
  return staged->rows() >= limits::kBatchRowsDefault ||
         (channel.narrow() && staged->bytes() >= channel.window_bytes() / limits::kWindowBatches);
}

// Sends as much as the channel's credit allows; with `partial`, also less than a full batch. True
// if nothing is left that should go.
bool ExchangeWriter::SendFrom(size_t c, bool partial) {
  BatchPtr& staged = staged_[c];
  Channel& channel = *options_.channels[c];
  while (staged != nullptr && !staged->empty()) {
    if (!partial && !Full(c)) return true;
    const size_t credit = channel.credit();
    if (credit == 0) {
      congested_ = true;
      return false;
    }
    const size_t row_bytes = std::max<size_t>(1, staged->bytes() / staged->rows());
    const size_t rows = std::clamp<size_t>(credit / row_bytes, 1, limits::kBatchRowsDefault);
    if (rows < staged->rows()) {
      channel.Send(AsSent(staged->SplitFront(rows)));
    } else {
      channel.Send(AsSent(std::move(staged)));
      staged = nullptr;
    }
  }
  return true;
}

void ExchangeWriter::SendDue(int64_t now_micros) {
  if (flush_due_ && now_micros >= *flush_due_) {
    Flush();
    return;
  }
  if (!congested_) return;
  congested_ = false;
  for (size_t c = 0; c < staged_.size(); ++c) SendFrom(c, false);
}

bool ExchangeWriter::Flush() {
  congested_ = false;
  bool all = true;
  for (size_t c = 0; c < staged_.size(); ++c) all &= SendFrom(c, true);
  if (!all) return false;
  if (!(watermark_ == sent_watermark_)) {
    for (const auto& channel : options_.channels) channel->Send(watermark_);
    sent_watermark_ = watermark_;
  }
  flush_due_.reset();
  return true;
}

void ExchangeWriter::SendControl(Barrier barrier) {
  for (const auto& channel : options_.channels) channel->Send(barrier);
}

void ExchangeWriter::SendControl(EndOfInput end) {
  for (const auto& channel : options_.channels) channel->Send(end);
}

ChannelItem ExchangeWriter::AsSent(BatchPtr batch) const {
  if (!options_.encode) return batch;
  std::string bytes;
  options_.code->codec->EncodeBatch(*batch, bytes);
  StatusOr<BatchPtr> decoded = options_.code->codec->DecodeBatch(CopyToSlab(bytes));
  WEIR_CHECK(decoded.ok());
  return *std::move(decoded);
}

}  // namespace weir
