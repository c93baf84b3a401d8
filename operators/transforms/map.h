// MapOperator: one row out for each row in.
//
//   auto fn = [](const Departure& d) { return Delay{d.origin, d.delay}; };
//   MapOperator<Departure, Delay, decltype(fn)> op(fn);
//
// `Fn` is Out(const In&) or StatusOr<Out>(const In&), either with a second parameter SlabArena&,
// which keeps bytes that the function makes. A row that fails, by Status or by exception, is
// rejected. Output rows have the times of their input rows and no key hashes. Their views may point
// to what the input row's views point to, or into the arena; not into an std::string that the input
// row owns, which ends with it.
#pragma once

#include <memory>
#include <utility>

#include "core/row_codec.h"
#include "operators/transforms/user_call.h"

namespace weir {

template <class In, class Out, class Fn>
class MapOperator final : public Operator {
  static constexpr bool kWithArena = std::is_invocable_v<Fn&, const In&, SlabArena&>;

 public:
  explicit MapOperator(Fn fn) : fn_(std::move(fn)) {}

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    const Batch<In>& in = Batch<In>::Of(std::as_const(*batch));
    auto made = std::make_unique<Batch<Out>>();
    made->Reserve(in.rows());
    SlabArena arena;
    size_t view_bytes = 0;
    for (size_t i = 0; i < in.rows(); ++i) {
      Status status = internal::GuardedCall([&]() -> Status {
        auto result = Call(in[i], arena);
        if constexpr (internal::kIsStatusOr<decltype(result)>) {
          if (!result.ok()) return std::move(result).status();
          return Add(*std::move(result), in.times()[i], *made, view_bytes);
        } else {
          return Add(std::move(result), in.times()[i], *made, view_bytes);
        }
      });
      if (!status.ok()) internal::RejectRow(in[i], in.times()[i], status, out);
    }
    // Rows that point to nothing keep no memory alive.
    if (view_bytes > 0) made->slabs().Unite(in.slabs());
    made->AddViewBytes(view_bytes);
    arena.Release(made->slabs());
    BatchPtr result = std::move(made);
    codec_->CompactIfSparse(result);
    out.Emit(0, std::move(result));
    return Progress::kDone;
  }

 private:
  auto Call(const In& row, SlabArena& arena) {
    if constexpr (kWithArena) {
      return fn_(row, arena);
    } else {
      return fn_(row);
    }
  }
  static Status Add(Out row, Timestamp time, Batch<Out>& to, size_t& view_bytes) {
    view_bytes += Codec<Out>::ViewBytes(row);
    to.Add(std::move(row), time);
    return absl::OkStatus();
  }

  Fn fn_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<Out>();
};

}  // namespace weir
