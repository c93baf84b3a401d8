// ProcessOperator: user code with keyed state, called row by row.
//
//   struct CountFlights {
//     ValueState<int64_t> count;
//     Status Open(KeyedStore& store) {
//       WEIR_ASSIGN_OR_RETURN(count, ValueState<int64_t>::Register(store, "count"));
//       return absl::OkStatus();
//     }
//     Status Process(const Flight& flight, ProcessContext<Count>& context) {
//       WEIR_ASSIGN_OR_RETURN(auto before, count.Get(context.key()));
//       const int64_t now = before.value_or(0) + 1;
//       WEIR_RETURN_IF_ERROR(count.Set(context.key(), now));
//       context.Emit(Count{flight.origin, now});
//       return absl::OkStatus();
//     }
//   };
//
// Open() registers the states, with the store that it is given, which outlives the function.
// Process() may read and write the states of context.key() only: other keys may live elsewhere.
// A row that fails, by Status or by exception, is rejected: neither its outputs nor its writes are
// left behind. A failure of the store itself fails the job's attempt, whatever Process() returns.
//
// `KeyFn` is K(const In&): the key by which the stream was keyed. All states are prefetched for the
// keys of a batch at once. A call puts out about limits::kBatchRowsDefault rows and then asks for
// Resume().
#pragma once

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "operators/transforms/collector.h"
#include "operators/transforms/key_bytes.h"
#include "operators/transforms/row_transaction.h"
#include "operators/transforms/user_call.h"
#include "state/keyed_state.h"

namespace weir {

// What Process() knows of its row. Valid for the length of the call.
template <class Out>
class ProcessContext {
 public:
  ProcessContext(const StateKey& key, Timestamp watermark, Collector<Out>& collector)
      : key_(key), watermark_(watermark), collector_(collector) {}

  const StateKey& key() const { return key_; }
  Timestamp time() const { return collector_.time(); }  // of the row
  Timestamp watermark() const { return watermark_; }    // the last one before the row
  // As Collector has them.
  void Emit(Out row) { collector_.Emit(std::move(row)); }
  void Emit(Out row, Timestamp time) { collector_.Emit(std::move(row), time); }
  std::string_view Keep(std::string_view bytes) { return collector_.Keep(bytes); }

 private:
  const StateKey& key_;
  const Timestamp watermark_;
  Collector<Out>& collector_;
};

template <class In, class Out, class Function, class KeyFn>
class ProcessOperator final : public Operator {
  using Key = std::decay_t<std::invoke_result_t<KeyFn&, const In&>>;
  // Keys that lie in the row's slab are not copied.
  static constexpr bool kKeyIsView = std::is_same_v<Key, std::string_view>;

 public:
  ProcessOperator(Function function, KeyFn key_fn)
      : function_(std::move(function)), key_fn_(std::move(key_fn)) {}

  Status Open(OperatorContext& context) override {
    WEIR_CHECK(context.keyed != nullptr);  // the stage asks for keyed state
    row_ = std::make_unique<internal::RowTransaction>(*context.keyed);
    return function_.Open(*row_);
  }

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    WEIR_CHECK(input_ == nullptr);  // Resume() comes first
    input_ = std::move(batch);
    next_ = 0;
    ReadKeys(out);
    WEIR_RETURN_IF_ERROR(row_->PrefetchAll(keys_));
    return Resume(out);
  }

  StatusOr<Progress> Resume(Output& out) override {
    if (input_ == nullptr) return Progress::kDone;
    const Batch<In>& in = Batch<In>::Of(std::as_const(*input_));
    for (; next_ < in.rows() && builder_.rows() < limits::kBatchRowsDefault; ++next_) {
      if (!has_key_[next_]) continue;
      Collector<Out>& collector = builder_.BeginRow(in.times()[next_]);
      ProcessContext<Out> context(keys_[next_], watermark_, collector);
      Status status =
          internal::GuardedCall([&]() -> Status { return function_.Process(in[next_], context); });
      // Not the row's fault.
      WEIR_RETURN_IF_ERROR(row_->failure());
      if (status.ok()) {
        WEIR_RETURN_IF_ERROR(row_->Commit());
        builder_.CommitRow();
      } else {
        row_->Abort();
        builder_.DropRow();
        internal::RejectRow(in[next_], in.times()[next_], status, out);
      }
    }
    out.Emit(0, builder_.Take(in.slabs()));
    if (next_ < in.rows()) return Progress::kMoreOutput;
    input_ = nullptr;
    return Progress::kDone;
  }

  StatusOr<Progress> OnWatermark(Timestamp watermark, Output&) override {
    watermark_ = watermark;
    return Progress::kDone;
  }

 private:
  // keys_[i] is the key of row i. A row whose key function fails is rejected and has none.
  void ReadKeys(Output& out) {
    const Batch<In>& in = Batch<In>::Of(std::as_const(*input_));
    keys_.assign(in.rows(), StateKey{});
    has_key_.assign(in.rows(), 1);
    key_bytes_.clear();
    key_ends_.assign(in.rows(), 0);
    for (size_t i = 0; i < in.rows(); ++i) {
      Status status = internal::GuardedCall([&]() -> Status {
        if constexpr (kKeyIsView) {
          keys_[i].bytes = key_fn_(in[i]);
        } else {
          key_bytes_.append(KeyBytes(key_fn_(in[i]), one_key_));
        }
        return absl::OkStatus();
      });
      key_ends_[i] = key_bytes_.size();
      if (status.ok()) continue;
      has_key_[i] = 0;
      internal::RejectRow(in[i], in.times()[i], status, out);
    }
    for (size_t i = 0; i < in.rows(); ++i) {
      if constexpr (!kKeyIsView) {
        const size_t begin = i == 0 ? 0 : key_ends_[i - 1];
        keys_[i].bytes = std::string_view(key_bytes_).substr(begin, key_ends_[i] - begin);
      }
      keys_[i] = MakeStateKey(keys_[i].bytes);
    }
  }

  Function function_;
  KeyFn key_fn_;
  std::unique_ptr<internal::RowTransaction> row_;
  RowBuilder<Out> builder_;
  Timestamp watermark_ = kMinTimestamp;

  // The input batch between a call that returned kMoreOutput and the last one; else null.
  BatchPtr input_;
  size_t next_ = 0;
  std::vector<StateKey> keys_;
  std::vector<uint8_t> has_key_;
  std::string key_bytes_;  // all of the batch's, one behind the other
  std::vector<size_t> key_ends_;
  std::string one_key_;
};

}  // namespace weir
