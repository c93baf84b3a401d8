#include "operators/transforms/dedup.h"

#include <fmt/format.h>

#include <algorithm>

namespace weir {

std::string ToText(const DedupOptions& options) {
  return "window=" + FormatDuration(options.window) +
         (options.time == DedupTime::kArrival ? " time=arrival" : "");
}

StatusOr<StateDescription> DedupBase::DescribeState() {
  StateDescription description;
  description.own.formats = {std::string(IdStore::kFormat)};
  IdStoreOptions options;
  options.window = options_.window;
  options.by_arrival = by_arrival();
  description.own.check = [options](const StateSnapshot& snapshot) {
    return IdStore::CheckFits(snapshot, options);
  };
  return description;
}

Status DedupBase::Open(OperatorContext& context) {
  counters_ = context.counters;
  // The order of IdStore::Verdict.
  counters_->tenants.SetKinds({"unique", "duplicates", "late"});
  // The report shows zeros, too.
  for (const char* name : {"unique", "duplicates", "late"}) counters_->Named(name);
  IdStoreOptions options;
  options.stage = context.stage;
  options.window = options_.window;
  options.by_arrival = by_arrival();
  options.key_groups = context.key_groups;
  options.local_dir = context.local_dir;
  options.env = context.env;
  options.wake = context.wake;
  options.notify = context.notify;
  // Up to twice as many bytes may be unwritten; sorting and writing them takes up to twice as much
  // again. What is left is for finding ids.
  options.unwritten_bytes_max = std::min(options_.unwritten_bytes_max, context.memory_bytes / 16);
  options.kept_bytes = std::min(options_.kept_bytes, context.memory_bytes / 16);
  options.memory_bytes_max = context.memory_bytes / 8 * 5;
  WEIR_ASSIGN_OR_RETURN(store_, IdStore::Open(std::move(options), *context.restore));
  if (by_arrival()) {
    const bool fresh = store_->floor() == IdStore::kSliceMin;
    arrival_.emplace(context.env->clock,
                     fresh ? kMinTimestamp : store_->StartOf(store_->floor() + IdStore::kReach));
  }
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
  ids_.clear();
  ids_.reserve(batch->rows());
  keep_.assign(batch->rows(), 1);
  if (AppendFingerprints(*batch, ids_, keep_, out)) batch->Retain(keep_);
  const size_t rows = batch->rows();
  if (by_arrival()) {
    slices_.assign(rows, SliceOfArrival());
  } else {
    CutIntoSlices(batch->times());
  }
  verdicts_.resize(rows);
  WEIR_RETURN_IF_ERROR(store_->Accept(ids_, slices_, verdicts_));

  keep_.resize(rows);
  size_t kept = 0;
  size_t late = 0;
  for (size_t row = 0; row < rows; ++row) {
    keep_[row] = verdicts_[row] == IdStore::Verdict::kAccepted;
    kept += keep_[row];
  }
  if (kept < rows) {
    for (size_t row = 0; row < rows; ++row) {
      if (verdicts_[row] != IdStore::Verdict::kLate) continue;
      ++late;
      RejectRow(*batch, row, LateStatus(batch->times()[row]), out);
    }
  }
  Count(*batch, kept, late);
  if (kept < rows) {
    batch->Retain(keep_);
    CompactIfSparse(batch);
  }
  out.Emit(0, std::move(batch));
  return Progress::kDone;
}

void DedupBase::Count(const BatchBase& batch, size_t kept, size_t late) {
  const size_t duplicates = batch.rows() - kept - late;
  counters_->dropped += duplicates;
  counters_->Named("unique") += kept;
  counters_->Named("duplicates") += duplicates;
  counters_->Named("late") += late;
  CountTenants(batch, verdicts_, counters_->tenants);
}

// Also lets go of what is older than the window.
int64_t DedupBase::SliceOfArrival() {
  const int64_t slice = store_->SliceOf(arrival_->Now());
  store_->RaiseFloor(slice - IdStore::kReach);
  return slice;
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
  if (by_arrival()) {
    SliceOfArrival();
  } else {
    store_->RaiseFloor(store_->SliceOf(watermark) - IdStore::kReach);
  }
  return Progress::kDone;
}

// More of the restored ids was read; it goes on without rows, too.
StatusOr<Progress> DedupBase::OnTimer(TimerKind, Timestamp, Output&) {
  WEIR_RETURN_IF_ERROR(store_->Load());
  return Progress::kDone;
}

std::unique_ptr<Frozen> DedupBase::Freeze(CheckpointId checkpoint) {
  return store_->Freeze(checkpoint);
}

void DedupBase::Close() { store_.reset(); }

}  // namespace weir
