// FlatMapOperator: any number of rows out for each row in.
//
//   auto fn = [](const Order& order, Collector<Item>& out) {
//     for (std::string_view name : Split(order.items)) out.Emit(Item{name});
//   };
//
// `Fn` returns nothing or a Status. A row that fails, by Status or by exception, is rejected and
// leaves none of its outputs behind. Output rows have no key hashes.
//
// A call puts out about limits::kBatchRowsDefault rows and then asks for Resume(), so that a large
// fan-out does not pile up.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "operators/transforms/collector.h"
#include "operators/transforms/user_call.h"

namespace weir {

template <class In, class Out, class Fn>
class FlatMapOperator final : public Operator {
 public:
  explicit FlatMapOperator(Fn fn) : fn_(std::move(fn)) {}

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    WEIR_CHECK(input_ == nullptr);  // Resume() comes first
    input_ = std::move(batch);
    next_ = 0;
    return Resume(out);
  }

  StatusOr<Progress> Resume(Output& out) override {
    if (input_ == nullptr) return Progress::kDone;
    const Batch<In>& in = Batch<In>::Of(std::as_const(*input_));
    for (; next_ < in.rows() && builder_.rows() < limits::kBatchRowsDefault; ++next_) {
      Collector<Out>& collector = builder_.BeginRow(in.times()[next_]);
      Status status = internal::GuardedCall([&]() -> Status {
        if constexpr (std::is_void_v<std::invoke_result_t<Fn&, const In&, Collector<Out>&>>) {
          fn_(in[next_], collector);
          return absl::OkStatus();
        } else {
          return fn_(in[next_], collector);
        }
      });
      if (status.ok()) {
        builder_.CommitRow();
      } else {
        builder_.DropRow();
        internal::RejectRow(in[next_], in.times()[next_], status, out);
      }
    }
    out.Emit(0, builder_.Take(in.slabs()));
    if (next_ < in.rows()) return Progress::kMoreOutput;
    input_ = nullptr;
    return Progress::kDone;
  }

 private:
  Fn fn_;
  RowBuilder<Out> builder_;
  BatchPtr input_;  // null between calls that returned kDone
  size_t next_ = 0;
};

}  // namespace weir
