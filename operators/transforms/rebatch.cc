#include "operators/transforms/rebatch.h"

#include <fmt/format.h>

#include <algorithm>

#include "operators/pace.h"
#include "operators/transforms/open_rows.h"

namespace weir {
namespace {

constexpr OpenRowsState kState{"rebatch/1", "open batch"};
// A batch that was gathered from more slabs than this copies its rows into one.
constexpr size_t kSlabsMax = 64;
// Rows that are dealt out at once: segments are numbered with 16 bits.
constexpr size_t kPieceRowsMax = 32'768;

BatchPtr CopyIntoOneSlab(const RowCodec& codec, const BatchBase& batch) {
  std::string bytes;
  codec.EncodeBatch(batch, bytes);
  StatusOr<BatchPtr> copy = codec.DecodeBatch(CopyToSlab(bytes));
  WEIR_CHECK(copy.ok());
  return *std::move(copy);
}

}  // namespace

std::string ToText(const RebatchOptions& options) {
  return fmt::format("rows={} bytes={} delay={}", options.rows, FormatSize(options.bytes),
                     FormatDuration(options.delay));
}

Status Validate(const RebatchOptions& options) {
  if (options.rows == 0 && options.bytes == 0) {
    return absl::InvalidArgumentError(
        "rebatch: neither rows nor bytes is set, so a batch could grow without end; set one");
  }
  if (options.delay < 0) {
    return absl::InvalidArgumentError(
        fmt::format("rebatch: the delay must not be negative, and is {}us", options.delay));
  }
  return absl::OkStatus();
}

RebatchOperator::RebatchOperator(RebatchOptions options, std::shared_ptr<const RowCodec> codec)
    : options_(options), codec_(std::move(codec)), open_(codec_->NewBatch()) {}

StatusOr<StateDescription> RebatchOperator::DescribeState() {
  return DescribeOpenRows(kState, *codec_);
}

Status RebatchOperator::Open(OperatorContext& context) {
  clock_ = &context.env->clock;
  timers_ = context.timers;
  WEIR_RETURN_IF_ERROR(Validate(options_));

  WEIR_ASSIGN_OR_RETURN(open_, TakeUpOpenRows(kState, *codec_, context));
  if (!open_->empty()) {
    rows_received_ = open_->rows();
    cut_restored_ = true;
    timers_->SetDelayTimer(clock_->MonotonicMicros());
  }
  return absl::OkStatus();
}

void RebatchOperator::CutRestored(Output& out) {
  if (!cut_restored_) return;
  cut_restored_ = false;
  rows_received_ -= open_->rows();  // Add() counts them again
  Add(std::exchange(open_, codec_->NewBatch()), out);
  // They have waited already. Rows that came behind them may be read elsewhere by now, and must not
  // be in front of the next barrier without them.
  if (!open_->empty()) EmitOpen(out);
}

StatusOr<Progress> RebatchOperator::Process(int, BatchPtr batch, Output& out) {
  CutRestored(out);
  Add(std::move(batch), out);
  return Progress::kDone;
}

void RebatchOperator::Add(BatchPtr batch, Output& out) {
  // Only where a restored batch meets a stream that is keyed otherwise now.
  const bool mixed = !open_->empty() && !batch->empty() &&
                     open_->key_hashes().empty() != batch->key_hashes().empty();
  if (mixed) EmitOpen(out);
  while (batch->rows() > kPieceRowsMax) AddPiece(batch->SplitFront(kPieceRowsMax), out);
  AddPiece(std::move(batch), out);
}

void RebatchOperator::AddPiece(BatchPtr batch, Output& out) {
  if (batch->empty()) return;
  rows_received_ += batch->rows();

  // Deals the rows out into segments: the first goes behind the open batch, each of the others
  // begins a new one. All but the last are full; the last may be.
  row_bytes_.clear();
  codec_->RowBytes(*batch, row_bytes_);
  std::vector<uint16_t> segment_of(batch->rows());
  uint16_t segment = 0;
  size_t rows = open_->rows();
  size_t bytes = open_bytes_;
  bool full = false;
  size_t bytes_max = BatchBytesFor(out);
  if (options_.bytes > 0) bytes_max = std::min(bytes_max, options_.bytes);
  for (size_t i = 0; i < segment_of.size(); ++i) {
    if (full || (rows > 0 && row_bytes_[i] > bytes_max - std::min(bytes, bytes_max))) {
      ++segment;
      rows = bytes = 0;
    }
    segment_of[i] = segment;
    ++rows;
    bytes += row_bytes_[i];
    full = (options_.rows > 0 && rows >= options_.rows) || bytes >= bytes_max;
  }

  if (segment > 0) {
    // An open batch that has no room for the first row is segment 0 as it is.
    std::vector<BatchPtr> segments(segment + 1);
    segments[0] = std::exchange(open_, codec_->NewBatch());
    batch->Scatter(segment_of, segments);
    batch = std::move(segments.back());
    segments.pop_back();
    for (BatchPtr& made : segments) {
      open_ = std::move(made);
      EmitOpen(out);
    }
  }
  if (full) {
    open_->Append(*batch);
    EmitOpen(out);
  } else {
    Keep(std::move(batch));
    open_bytes_ = bytes;
  }
}

// What stays open must not hold on to memory that is mostly not its own, nor to a slab for every
// few rows.
void RebatchOperator::Keep(BatchPtr rows) {
  if (open_->empty()) StartDelay();
  codec_->CompactIfSparse(rows);
  open_->Append(*rows);
  if (open_->slabs().slabs().size() <= kSlabsMax || open_->rows() < 2 * merged_rows_) return;
  open_ = CopyIntoOneSlab(*codec_, *open_);
  merged_rows_ = open_->rows();
}

void RebatchOperator::StartDelay() {
  if (options_.delay == 0) return;
  deadline_ = clock_->MonotonicMicros() + options_.delay;
  timers_->SetDelayTimer(deadline_);
}

void RebatchOperator::EmitOpen(Output& out) {
  rows_emitted_ += open_->rows();
  open_bytes_ = 0;
  merged_rows_ = 0;
  out.Emit(0, std::exchange(open_, codec_->NewBatch()));
  watermarks_.Release(rows_emitted_);
}

StatusOr<Progress> RebatchOperator::OnWatermark(Timestamp watermark, Output& out) {
  CutRestored(out);
  watermarks_.Add(watermark, rows_received_, rows_emitted_);
  return Progress::kDone;
}

StatusOr<Progress> RebatchOperator::OnTimer(TimerKind kind, Timestamp time, Output& out) {
  CutRestored(out);
  // An earlier batch's timer leaves this one alone.
  if (kind == TimerKind::kDelay && options_.delay > 0 && !open_->empty() && time >= deadline_) {
    EmitOpen(out);
  }
  return Progress::kDone;
}

StatusOr<Progress> RebatchOperator::Drain(DrainReason reason, Output& out) {
  CutRestored(out);
  if (reason == DrainReason::kEndOfInput && !open_->empty()) EmitOpen(out);
  return Progress::kDone;
}

std::unique_ptr<Frozen> RebatchOperator::Freeze(CheckpointId) {
  if (open_->empty()) return nullptr;
  std::string bytes;
  codec_->EncodeBatch(*open_, bytes);
  return FreezeOpenRows(kState, codec_->schema(),
                        [bytes = std::move(bytes)]() mutable { return std::move(bytes); });
}

}  // namespace weir
