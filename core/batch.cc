#include "core/batch.h"

namespace weir {

void BatchBase::CopyColumnsTo(BatchBase& copy) const {
  copy.times_ = times_;
  copy.key_hashes_ = key_hashes_;
  copy.slabs_ = slabs_;
  copy.view_bytes_ = view_bytes_;
}

void BatchBase::SplitColumnsFront(size_t n, BatchBase& front) {
  size_t total = rows();
  front.times_.assign(times_.begin(), times_.begin() + n);
  times_.erase(times_.begin(), times_.begin() + n);
  if (!key_hashes_.empty()) {
    front.key_hashes_.assign(key_hashes_.begin(), key_hashes_.begin() + n);
    key_hashes_.erase(key_hashes_.begin(), key_hashes_.begin() + n);
  }
  front.slabs_ = slabs_;
  front.view_bytes_ = total == 0 ? 0 : view_bytes_ * n / total;
  view_bytes_ -= front.view_bytes_;
  if (times_.empty()) slabs_.Clear();
}

void BatchBase::AppendColumns(BatchBase& other) {
  // Rows with and without a key make rows without one.
  if (!empty() && !other.empty() && key_hashes_.empty() != other.key_hashes_.empty()) {
    key_hashes_.clear();
    other.key_hashes_.clear();
  }
  if (empty()) {
    times_.swap(other.times_);
    key_hashes_.swap(other.key_hashes_);
  } else {
    times_.insert(times_.end(), other.times_.begin(), other.times_.end());
    key_hashes_.insert(key_hashes_.end(), other.key_hashes_.begin(), other.key_hashes_.end());
  }
  slabs_.Unite(other.slabs_);
  view_bytes_ += other.view_bytes_;
}

void BatchBase::ScatterColumns(std::span<const uint16_t> target, std::span<BatchPtr> targets) {
  const size_t total = rows();
  const bool keyed = !key_hashes_.empty();
  std::vector<size_t> added(targets.size(), 0);
  for (size_t i = 0; i < total; ++i) {
    BatchBase& to = *targets[target[i]];
    to.times_.push_back(times_[i]);
    if (keyed) to.key_hashes_.push_back(key_hashes_[i]);
    ++added[target[i]];
  }
  for (size_t t = 0; t < targets.size(); ++t) {
    if (added[t] == 0) continue;
    targets[t]->slabs_.Unite(slabs_);
    targets[t]->view_bytes_ += view_bytes_ * added[t] / total;
  }
}

void BatchBase::RetainColumns(std::span<const uint8_t> keep) {
  const size_t total = rows();
  size_t kept = 0;
  for (size_t i = 0; i < total; ++i) {
    if (!keep[i]) continue;
    times_[kept] = times_[i];
    if (!key_hashes_.empty()) key_hashes_[kept] = key_hashes_[i];
    ++kept;
  }
  times_.resize(kept);
  if (!key_hashes_.empty()) key_hashes_.resize(kept);
  view_bytes_ = total == 0 ? 0 : view_bytes_ * kept / total;
  if (kept == 0) slabs_.Clear();
}

void BatchBase::ClearColumns() {
  times_.clear();
  key_hashes_.clear();
  slabs_.Clear();
  view_bytes_ = 0;
}

}  // namespace weir
