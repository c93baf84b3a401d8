#include "operators/transforms/keyed_rebatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/transforms/open_rows.h"

namespace weir {
namespace {

// The format is that of a rebatch without a key: a stage may be given one between two runs.
constexpr OpenRowsState kState{"rebatch/1", "open batch"};
// Batches that one call emits because their time has come, before what follows is let to run.
constexpr size_t kEmittedMax = 64;

}  // namespace

std::string ToTextByKey(const RebatchOptions& options) {
  return fmt::format("{} open_batches={} open_bytes={}", ToText(options), options.open_batches,
                     FormatSize(options.open_bytes));
}

Status ValidateByKey(const RebatchOptions& options) {
  WEIR_RETURN_IF_ERROR(Validate(options));
  if (options.delay <= 0) {
    return absl::InvalidArgumentError(
        "rebatch by key: the delay is 0, so a key without more rows would keep its rows, and the "
        "watermark, for ever; set one");
  }
  if (options.open_batches == 0 || options.open_bytes == 0) {
    return absl::InvalidArgumentError(
        "rebatch by key: open_batches and open_bytes bound what is held, and must not be 0");
  }
  return absl::OkStatus();
}

// The rows as EncodeBatch would write them, put together on the I/O pool.
class KeyedRebatchBase::FrozenBatches {
 public:
  void Add(const OpenBatch& batch) {
    for (const auto& part : batch.parts) parts_.push_back({batch.key.high, part});
  }
  std::string Encode() const {
    std::vector<Timestamp> times;
    std::vector<uint64_t> hashes;
    size_t bytes = 0;
    for (const auto& [hash, rows] : parts_) {
      times.insert(times.end(), rows->times.begin(), rows->times.end());
      hashes.resize(times.size(), hash);
      bytes += rows->bytes.size();
    }
    std::string out;
    internal::EncodeColumns(times, hashes, out);
    out.reserve(out.size() + bytes);
    for (const auto& [hash, rows] : parts_) out += rows->bytes;
    return out;
  }

 private:
  std::vector<std::pair<uint64_t, std::shared_ptr<const Rows>>> parts_;
};

KeyedRebatchBase::KeyedRebatchBase(RebatchOptions options, std::shared_ptr<const RowCodec> codec)
    : options_(options), codec_(std::move(codec)) {}

StatusOr<StateDescription> KeyedRebatchBase::DescribeState() {
  return DescribeOpenRows(kState, *codec_);
}

Status KeyedRebatchBase::Open(OperatorContext& context) {
  clock_ = &context.env->clock;
  timers_ = context.timers;
  WEIR_RETURN_IF_ERROR(ValidateByKey(options_));
  auto hash_keys = [this](BatchBase& batch) {
    keys_.clear();
    AppendKeys(batch, keys_, nullptr);
    std::vector<uint64_t> hashes;
    for (const Key& key : keys_) hashes.push_back(key.id.high);
    batch.set_key_hashes(std::move(hashes));
  };
  WEIR_ASSIGN_OR_RETURN(restored_, TakeUpOpenRows(kState, *codec_, context, hash_keys));
  if (!restored_->empty()) SetTimer(clock_->MonotonicMicros());
  return absl::OkStatus();
}

void KeyedRebatchBase::TakeUpRestored(Output& out) {
  if (restored_ == nullptr) return;
  const BatchPtr rows = std::exchange(restored_, nullptr);
  if (rows->empty()) return;
  Add(*rows, out);
  // They have waited already. Rows that came behind them may be read elsewhere by now, and must not
  // be in front of the next barrier without them.
  while (!open_.empty()) Seal(open_.begin());
  EmitSealed(out);
}

StatusOr<Progress> KeyedRebatchBase::Process(int, BatchPtr batch, Output& out) {
  TakeUpRestored(out);
  Add(*batch, out);
  return Progress::kDone;
}

void KeyedRebatchBase::Add(const BatchBase& batch, Output& out) {
  keys_.clear();
  AppendKeys(batch, keys_, &out);
  row_bytes_.clear();
  codec_->RowBytes(batch, row_bytes_);
  targets_.assign(batch.rows(), nullptr);
  const int64_t now = clock_->MonotonicMicros();
  for (size_t i = 0; i < keys_.size(); ++i) {
    if (keys_[i].rejected) continue;
    const OpenList::iterator to = BatchFor(keys_[i].id, row_bytes_[i], now);
    ++to->rows;
    to->bytes += row_bytes_[i];
    open_bytes_ += row_bytes_[i];
    ++rows_received_;
    const bool big = options_.bytes > 0 && row_bytes_[i] >= options_.bytes;
    if (big) {
      std::vector<uint8_t> keep(batch.rows(), 0);
      keep[i] = 1;
      to->alone = batch.Clone();
      to->alone->Retain(keep);
      codec_->CompactIfSparse(to->alone);
    } else {
      targets_[i] = to->parts.back().get();
    }
    const bool full = (options_.rows > 0 && to->rows >= options_.rows) ||
                      (options_.bytes > 0 && to->bytes >= options_.bytes);
    if (full) Seal(to);
  }
  AppendRows(batch, targets_);
  EmitSealed(out);
  while (open_bytes_ > options_.open_bytes) {
    Seal(std::max_element(open_.begin(), open_.end(), [](const OpenBatch& a, const OpenBatch& b) {
      return a.bytes < b.bytes;
    }));
    EmitSealed(out);
  }
}

// The batch that the key's next row belongs to.
KeyedRebatchBase::OpenList::iterator KeyedRebatchBase::BatchFor(const Fingerprint& key,
                                                                size_t row_bytes, int64_t now) {
  if (auto found = by_key_.find(key); found != by_key_.end()) {
    const OpenList::iterator batch = found->second;
    if (options_.bytes == 0 || batch->bytes + row_bytes <= options_.bytes) return batch;
    Seal(batch);
  }
  if (open_.size() >= options_.open_batches) Seal(open_.begin());
  OpenBatch& opened = open_.emplace_back();
  opened.key = key;
  opened.first_row = rows_received_;
  opened.deadline = now + options_.delay;
  opened.parts.push_back(std::make_shared<Rows>());
  if (!timer_) SetTimer(opened.deadline);
  return by_key_[key] = std::prev(open_.end());
}

// No more rows: it goes out with the next EmitSealed(). Rows of the batch under way may still have
// to be appended.
void KeyedRebatchBase::Seal(OpenList::iterator batch) {
  by_key_.erase(batch->key);
  open_bytes_ -= batch->bytes;
  sealed_.splice(sealed_.end(), open_, batch);
}

void KeyedRebatchBase::EmitSealed(Output& out) {
  for (OpenBatch& sealed : sealed_) {
    BatchPtr batch = sealed.alone ? std::move(sealed.alone) : Decode(sealed.parts);
    batch->set_key_hashes(std::vector<uint64_t>(batch->rows(), sealed.key.high));
    out.Emit(0, std::move(batch));
  }
  sealed_.clear();
  watermarks_.Release(RowsOut());
}

// Batches are opened in the order of their deadlines.
Progress KeyedRebatchBase::EmitDue(Output& out) {
  auto is_due = [&] { return !open_.empty() && open_.front().deadline <= due_; };
  for (size_t n = 0; n < kEmittedMax && is_due(); ++n) Seal(open_.begin());
  EmitSealed(out);
  if (is_due()) return Progress::kMoreOutput;
  if (!open_.empty() && !timer_) SetTimer(open_.front().deadline);
  return Progress::kDone;
}

void KeyedRebatchBase::SetTimer(int64_t time) {
  timer_ = time;
  timers_->SetDelayTimer(time);
}

StatusOr<Progress> KeyedRebatchBase::OnTimer(TimerKind kind, Timestamp time, Output& out) {
  TakeUpRestored(out);
  if (kind != TimerKind::kDelay) return Progress::kDone;
  timer_.reset();
  due_ = std::max(due_, time);
  return EmitDue(out);
}

StatusOr<Progress> KeyedRebatchBase::Drain(DrainReason reason, Output& out) {
  TakeUpRestored(out);
  if (reason != DrainReason::kEndOfInput) return Progress::kDone;
  due_ = INT64_MAX;
  return EmitDue(out);
}

StatusOr<Progress> KeyedRebatchBase::Resume(Output& out) { return EmitDue(out); }

StatusOr<Progress> KeyedRebatchBase::OnWatermark(Timestamp watermark, Output& out) {
  TakeUpRestored(out);
  watermarks_.Add(watermark, rows_received_, RowsOut());
  return Progress::kDone;
}

std::unique_ptr<Frozen> KeyedRebatchBase::Freeze(CheckpointId) {
  WEIR_CHECK(restored_ == nullptr);  // Drain(kBarrier) came before
  if (open_.empty()) return nullptr;
  auto frozen = std::make_shared<FrozenBatches>();
  for (OpenBatch& batch : open_) {
    frozen->Add(batch);
    // What is frozen changes no more.
    if (!batch.parts.back()->times.empty()) batch.parts.push_back(std::make_shared<Rows>());
  }
  return FreezeOpenRows(kState, codec_->schema(), [frozen] { return frozen->Encode(); });
}

}  // namespace weir
