#include "testing/collecting_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace weir::testing {

BatchPtr CollectedRows::Rows(bool committed_only) const {
  std::lock_guard lock(mutex_);
  std::vector<const Written*> all;
  for (const auto* pieces : {&committed_, &pending_, &open_}) {
    if (committed_only && pieces != &committed_) continue;
    for (const auto& [name, piece] : *pieces) {
      for (const Written& written : piece) all.push_back(&written);
    }
  }
  std::sort(all.begin(), all.end(), [](auto* a, auto* b) { return a->order < b->order; });
  BatchPtr rows = codec_->NewBatch();
  for (const Written* written : all) rows->Append(*written->batch->Clone());
  return rows;
}

Status CollectingSink::Open(OperatorContext& context) {
  instance_ = fmt::format("{}/{}", context.attempt, context.subtask);
  return absl::OkStatus();
}

StatusOr<Progress> CollectingSink::Write(BatchPtr batch, Output&) {
  std::lock_guard lock(rows_->mutex_);
  rows_->open_[instance_].push_back({rows_->written_++, std::move(batch)});
  return Progress::kDone;
}

std::unique_ptr<Frozen> CollectingSink::Freeze(CheckpointId checkpoint) {
  std::lock_guard lock(rows_->mutex_);
  auto open = rows_->open_.extract(instance_);
  if (open.empty()) return nullptr;
  StateSnapshot snapshot;
  snapshot.handles.push_back(fmt::format("{}/{}", instance_, checkpoint));
  rows_->pending_[snapshot.handles[0]] = std::move(open.mapped());
  return std::make_unique<FrozenSnapshot>(std::move(snapshot));
}

Status CollectingSink::Commit(std::string_view handle) {
  std::lock_guard lock(rows_->mutex_);
  auto piece = rows_->pending_.extract(std::string(handle));
  if (!piece.empty()) {
    rows_->committed_[piece.key()] = std::move(piece.mapped());
    return absl::OkStatus();
  }
  if (rows_->committed_.count(std::string(handle)) > 0) return absl::OkStatus();
  return absl::OutOfRangeError(fmt::format("the rows of handle {} are gone", handle));
}

Status CollectingSink::Recover(const Recovery&) {
  std::lock_guard lock(rows_->mutex_);
  rows_->pending_.clear();
  rows_->open_.clear();
  return absl::OkStatus();
}

}  // namespace weir::testing
