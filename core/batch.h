// Batch<T>: the unit in which rows travel. Move-only; owned by one thread at a time.
//
// A batch is a vector of rows, two columns beside it (event time; key hash, present behind a
// key-by) and the slabs that the rows' string_views point into. Splitting shares slabs, one
// reference per batch and slab, never one per row; merging unites them. A view taken from a row
// lives as long as the batch, or any batch split from it.
//
// BatchBase is what channels and the driver see: one virtual call handles a whole batch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/check.h"
#include "core/slab.h"
#include "core/time.h"

namespace weir {

class BatchBase;
using BatchPtr = std::unique_ptr<BatchBase>;

class BatchBase {
 public:
  virtual ~BatchBase() = default;
  BatchBase(const BatchBase&) = delete;
  BatchBase& operator=(const BatchBase&) = delete;

  virtual BatchPtr NewEmpty() const = 0;
  // A copy of the rows that shares the slabs; for streams with several readers.
  virtual BatchPtr Clone() const = 0;
  // The first n rows as a batch of their own; the rest stays. REQUIRES: n <= rows().
  virtual BatchPtr SplitFront(size_t n) = 0;
  // Moves all rows of `other`, a batch of the same type, behind these.
  virtual void Append(BatchBase& other) = 0;
  // Moves row i to *targets[target[i]]; a null target is made by NewEmpty() first. This batch is
  // empty afterwards.
  virtual void Scatter(std::span<const uint16_t> target, std::span<BatchPtr> targets) = 0;
  // Keeps the rows with keep[i] != 0, in order.
  virtual void Retain(std::span<const uint8_t> keep) = 0;
  virtual void Clear() = 0;
  virtual size_t row_bytes() const = 0;

  size_t rows() const { return times_.size(); }
  bool empty() const { return times_.empty(); }

  std::span<const Timestamp> times() const { return times_; }
  // Empty, or one per row: the hash of the key by which the stream was keyed last.
  std::span<const uint64_t> key_hashes() const { return key_hashes_; }
  void set_key_hashes(std::vector<uint64_t> hashes) {
    WEIR_CHECK(hashes.empty() || hashes.size() == rows());
    key_hashes_ = std::move(hashes);
  }

  SlabSet& slabs() { return slabs_; }
  const SlabSet& slabs() const { return slabs_; }

  // What the batch weighs in queues: rows, columns, and the bytes its rows point to (see
  // AddViewBytes). Slabs that are shared with other batches are weighed by the part that belongs to
  // these rows, which is an estimate after a split.
  size_t bytes() const { return rows() * (row_bytes() + 16) + view_bytes_; }
  size_t view_bytes() const { return view_bytes_; }
  // Whoever fills a batch adds the bytes that the rows point to.
  void AddViewBytes(size_t n) { view_bytes_ += n; }

 protected:
  BatchBase() = default;

  // The columns' half of the operations above, for Batch<T>.
  void CopyColumnsTo(BatchBase& copy) const;
  void SplitColumnsFront(size_t n, BatchBase& front);
  void AppendColumns(BatchBase& other);
  void ScatterColumns(std::span<const uint16_t> target, std::span<BatchPtr> targets);
  void RetainColumns(std::span<const uint8_t> keep);
  void ClearColumns();

  std::vector<Timestamp> times_;
  std::vector<uint64_t> key_hashes_;
  SlabSet slabs_;
  size_t view_bytes_ = 0;
};

template <class T>
class Batch final : public BatchBase {
 public:
  Batch() = default;

  // The batch's row type is fixed by the graph, which was type-checked when the job was built.
  static Batch& Of(BatchBase& batch) { return static_cast<Batch&>(batch); }
  static const Batch& Of(const BatchBase& batch) { return static_cast<const Batch&>(batch); }

  void Reserve(size_t n) {
    rows_.reserve(n);
    times_.reserve(n);
  }
  void Add(T row, Timestamp time) {
    rows_.push_back(std::move(row));
    times_.push_back(time);
  }
  std::span<T> values() { return rows_; }
  std::span<const T> values() const { return rows_; }
  T& operator[](size_t i) { return rows_[i]; }
  const T& operator[](size_t i) const { return rows_[i]; }

  BatchPtr NewEmpty() const override { return std::make_unique<Batch>(); }

  BatchPtr Clone() const override {
    auto copy = std::make_unique<Batch>();
    copy->rows_ = rows_;
    CopyColumnsTo(*copy);
    return copy;
  }

  BatchPtr SplitFront(size_t n) override {
    WEIR_CHECK(n <= rows());
    auto front = std::make_unique<Batch>();
    front->rows_.assign(std::make_move_iterator(rows_.begin()),
                        std::make_move_iterator(rows_.begin() + n));
    rows_.erase(rows_.begin(), rows_.begin() + n);
    SplitColumnsFront(n, *front);
    return front;
  }

  void Append(BatchBase& other) override {
    Batch& from = Of(other);
    if (rows_.empty()) {
      rows_.swap(from.rows_);
    } else {
      rows_.insert(rows_.end(), std::make_move_iterator(from.rows_.begin()),
                   std::make_move_iterator(from.rows_.end()));
    }
    AppendColumns(other);
    other.Clear();
  }

  void Scatter(std::span<const uint16_t> target, std::span<BatchPtr> targets) override {
    WEIR_CHECK(target.size() == rows());
    for (size_t i = 0; i < rows_.size(); ++i) {
      BatchPtr& to = targets[target[i]];
      if (to == nullptr) to = NewEmpty();
      Of(*to).rows_.push_back(std::move(rows_[i]));
    }
    ScatterColumns(target, targets);
    Clear();
  }

  void Retain(std::span<const uint8_t> keep) override {
    WEIR_CHECK(keep.size() == rows());
    size_t kept = 0;
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (!keep[i]) continue;
      if (kept != i) rows_[kept] = std::move(rows_[i]);
      ++kept;
    }
    rows_.resize(kept);
    RetainColumns(keep);
  }

  void Clear() override {
    rows_.clear();
    ClearColumns();
  }
  size_t row_bytes() const override { return sizeof(T); }

 private:
  std::vector<T> rows_;
};

}  // namespace weir
