// FilterOperator: keeps the rows for which a function says true.
//
// `Fn` is bool(const T&) or StatusOr<bool>(const T&). A row that fails, by Status or by exception,
// is rejected; one for which it says false is counted as dropped. Key hashes stay.
#pragma once

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "core/row_codec.h"
#include "operators/transforms/user_call.h"

namespace weir {

template <class T, class Fn>
class FilterOperator final : public Operator {
 public:
  explicit FilterOperator(Fn fn) : fn_(std::move(fn)) {}

  Status Open(OperatorContext& context) override {
    counters_ = context.counters;
    return absl::OkStatus();
  }

  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    const Batch<T>& rows = Batch<T>::Of(std::as_const(*batch));
    keep_.assign(rows.rows(), 0);
    size_t kept = 0;
    size_t rejected = 0;
    for (size_t i = 0; i < rows.rows(); ++i) {
      bool keep = false;
      Status status = internal::GuardedCall([&]() -> Status {
        auto result = fn_(rows[i]);
        if constexpr (internal::kIsStatusOr<decltype(result)>) {
          if (!result.ok()) return std::move(result).status();
          keep = *result;
        } else {
          keep = static_cast<bool>(result);
        }
        return absl::OkStatus();
      });
      keep_[i] = keep;
      kept += keep;
      if (!status.ok()) {
        ++rejected;
        internal::RejectRow(rows[i], rows.times()[i], status, out);
      }
    }
    counters_->dropped += rows.rows() - kept - rejected;
    if (kept < rows.rows()) {
      batch->Retain(keep_);
      codec_->CompactIfSparse(batch);
    }
    out.Emit(0, std::move(batch));
    return Progress::kDone;
  }

 private:
  Fn fn_;
  const std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
  OperatorCounters* counters_ = nullptr;
  std::vector<uint8_t> keep_;
};

}  // namespace weir
