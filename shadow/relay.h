// Relay: hands on what it gets. The first stage of a version that shares another one's source.
#pragma once

#include <utility>

#include "operators/operator.h"

namespace weir::shadow {

class Relay final : public Operator {
 public:
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    out.Emit(0, std::move(batch));
    return Progress::kDone;
  }
};

}  // namespace weir::shadow
