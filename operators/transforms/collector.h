// Collector: where user code puts the rows that come of one input row; and RowBuilder, the
// operator's side of it, which makes batches of them.
//
// What one input row collected goes into the batch when its call has succeeded, and is forgotten
// when it failed.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/row_codec.h"

namespace weir {

template <class Out>
class RowBuilder;

// Given to user code for the length of one call.
template <class Out>
class Collector {
 public:
  // A row at the time of the input row.
  void Emit(Out row) { Emit(std::move(row), time_); }
  // A row at another time. Behind the watermark, it may count as late downstream.
  void Emit(Out row, Timestamp time) { rows_.emplace_back(std::move(row), time); }
  // Keeps bytes that the function made; rows that it emits in this call may point to them. They may
  // also point to what the input row's views point to.
  std::string_view Keep(std::string_view bytes) { return arena_.Copy(bytes); }
  // The event time of the input row.
  Timestamp time() const { return time_; }

 private:
  friend class RowBuilder<Out>;
  std::vector<std::pair<Out, Timestamp>> rows_;
  SlabArena arena_;
  Timestamp time_ = kMinTimestamp;
};

// Owned by an operator. For each input row: BeginRow, the call, CommitRow or DropRow; Take() at the
// end of an input batch, or when rows() says that it is time.
template <class Out>
class RowBuilder {
 public:
  Collector<Out>& BeginRow(Timestamp time) {
    collector_.rows_.clear();
    collector_.time_ = time;
    return collector_;
  }
  void CommitRow() {
    for (auto& [row, time] : collector_.rows_) {
      batch_->AddViewBytes(Codec<Out>::ViewBytes(row));
      batch_->Add(std::move(row), time);
    }
    collector_.rows_.clear();
  }
  void DropRow() { collector_.rows_.clear(); }

  size_t rows() const { return batch_->rows(); }
  // The rows committed since the last call; `input` are the slabs that they may point into.
  BatchPtr Take(const SlabSet& input) {
    if (batch_->view_bytes() > 0) batch_->slabs().Unite(input);
    collector_.arena_.Release(batch_->slabs());
    BatchPtr taken = std::exchange(batch_, std::make_unique<Batch<Out>>());
    codec_->CompactIfSparse(taken);
    return taken;
  }

 private:
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<Out>();
  std::unique_ptr<Batch<Out>> batch_ = std::make_unique<Batch<Out>>();
  Collector<Out> collector_;
};

}  // namespace weir
