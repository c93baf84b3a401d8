#include "operators/transforms/dedup.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {

StatusOr<StateDescription> DedupBase::DescribeState() {
  StateDescription description;
  description.own.formats = {std::string(IdStore::kFormat)};
  description.own.check = [window = options_.window](const StateSnapshot& snapshot) {
    return IdStore::CheckFits(snapshot, {.window = window});
  };
  return description;
}

Status DedupBase::Open(OperatorContext& context) {
  counters_ = context.counters;
  IdStoreOptions options;
  options.stage = context.stage;
  options.window = options_.window;
  options.key_groups = context.key_groups;
  options.local_dir = context.local_dir;
  options.env = context.env;
  options.wake = context.wake;
  // Up to twice as many bytes may be unwritten; sorting and writing them takes up to twice as much
  // again. What is left is for finding ids.
  options.unwritten_bytes_max = std::min(options_.unwritten_bytes_max, context.memory_bytes / 16);
  options.kept_bytes = std::min(options_.kept_bytes, context.memory_bytes / 16);
  options.memory_bytes_max = context.memory_bytes / 8 * 5;
  WEIR_ASSIGN_OR_RETURN(store_, IdStore::Open(std::move(options), *context.restore));
  return absl::OkStatus();
}

StatusOr<Progress> DedupBase::Process(int, BatchPtr batch, Output& out) {
  WEIR_CHECK(waiting_ == nullptr);
  waiting_ = std::move(batch);
  return Resume(out);
}

StatusOr<Progress> DedupBase::Resume(Output& out) {
  if (waiting_ == nullptr) return Progress::kDone;
  WEIR_ASSIGN_OR_RETURN(bool ready, store_->Ready());
  if (!ready) return Progress::kBlocked;
  BatchPtr batch = std::move(waiting_);
  const size_t rows = batch->rows();
  ids_.clear();
  ids_.reserve(rows);
  AppendFingerprints(*batch, ids_);
  CutIntoSlices(batch->times());
  verdicts_.resize(rows);
  WEIR_RETURN_IF_ERROR(store_->Accept(ids_, slices_, verdicts_));

  keep_.resize(rows);
  size_t kept = 0;
  for (size_t row = 0; row < rows; ++row) {
    keep_[row] = verdicts_[row] == IdStore::Verdict::kAccepted;
    kept += keep_[row];
  }
  if (kept < rows) {
    size_t late = 0;
    for (size_t row = 0; row < rows; ++row) {
      if (verdicts_[row] != IdStore::Verdict::kLate) continue;
      ++late;
      RejectRow(*batch, row, LateStatus(batch->times()[row]), out);
    }
    counters_->dropped += rows - kept - late;
    batch->Retain(keep_);
    CompactIfSparse(batch);
  }
  out.Emit(0, std::move(batch));
  return Progress::kDone;
}

// Most rows of a batch lie in the slice of the row before, which saves a division each.
void DedupBase::CutIntoSlices(std::span<const Timestamp> times) {
  slices_.resize(times.size());
  Timestamp first = 0;  // [first, last]: times known to lie in `slice`
  Timestamp last = -1;
  int64_t slice = 0;
  for (size_t i = 0; i < times.size(); ++i) {
    if (times[i] < first || times[i] > last) {
      slice = store_->SliceOf(times[i]);
      first = store_->StartOf(slice);
      last = store_->StartOf(slice + 1) - 1;
    }
    slices_[i] = slice;
  }
}

Status DedupBase::LateStatus(Timestamp time) const {
  return absl::OutOfRangeError(fmt::format(
      "late: its time {} is below {}, down to where ids are remembered for a window of {}; whether "
      "it was seen before cannot be told any more",
      FormatTimestamp(time), FormatTimestamp(store_->StartOf(store_->floor())),
      FormatDuration(options_.window)));
}

StatusOr<Progress> DedupBase::OnWatermark(Timestamp watermark, Output&) {
  store_->RaiseFloor(store_->SliceOf(watermark) - IdStore::kReach);
  return Progress::kDone;
}

std::unique_ptr<Frozen> DedupBase::Freeze(CheckpointId checkpoint) {
  return store_->Freeze(checkpoint);
}

void DedupBase::Close() { store_.reset(); }

}  // namespace weir
