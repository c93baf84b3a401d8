// SinkOperator: lets the driver treat a sink like any other operator.
#pragma once

#include "operators/sink.h"

namespace weir {

class SinkOperator final : public Operator {
 public:
  explicit SinkOperator(std::unique_ptr<Sink> sink) : sink_(std::move(sink)) {}
  Sink* sink() { return sink_.get(); }

  Status Open(OperatorContext& context) override { return sink_->Open(context); }
  StatusOr<Progress> Process(int, BatchPtr batch, Output& out) override {
    return sink_->Write(std::move(batch), out);
  }
  StatusOr<Progress> Resume(Output& out) override { return sink_->Resume(out); }
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override {
    return sink_->Drain(reason, out);
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    return sink_->Freeze(checkpoint);
  }
  void Close() override { sink_->Close(); }

 private:
  const std::unique_ptr<Sink> sink_;
};

}  // namespace weir
