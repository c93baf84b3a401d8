// BlackholeSink: takes every row and keeps none. For measuring what comes before it.
#pragma once

#include "operators/sink.h"

namespace weir {

class BlackholeSink final : public Sink {
 public:
  Status Open(OperatorContext&) override { return absl::OkStatus(); }
  StatusOr<Progress> Write(BatchPtr, Output&) override { return Progress::kDone; }
};

}  // namespace weir
