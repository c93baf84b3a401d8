// IsolatedPluginOperator: events through a plugin that runs in a process of its own
// (isolated_caller.h). To what is in front and behind, as PluginOperator: same inputs, same
// outputs, same errors; and an event at which the plugin crashes, hangs or writes over shared
// memory is rejected with that as the reason, and nothing else happens to this process.
//
// Batches go to the plugin's process while those before them are still there, unless the plugin has
// states: then one at a time, with the values of its keys, and what it wrote is applied when its
// events are settled here. The watermark is held back until what came before it is out; nothing is
// in flight across a barrier.
#pragma once

#include <memory>

#include "operators/operator.h"
#include "operators/transforms/held_watermarks.h"
#include "operators/transforms/isolated_caller.h"
#include "operators/transforms/plugin_answer.h"

namespace weir {

class IsolatedPluginOperator final : public Operator {
 public:
  IsolatedPluginOperator(std::shared_ptr<const IsolatedPlugin> plugin, EventFields fields);

  StatusOr<StateDescription> DescribeState() override {
    return PluginStates::Describe(plugin_->declaration());
  }
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> OnWatermark(Timestamp watermark, Output& out) override;
  StatusOr<Progress> OnTimer(TimerKind kind, Timestamp time, Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  void Close() override { caller_.reset(); }
  Timestamp OutputWatermark(Timestamp input) const override {
    return watermarks_.OutputWatermark(input);
  }

 private:
  bool has_state() const { return !plugin_->declaration().states.empty(); }
  // Does what can be done; kDone once there is room for another batch and, while draining, nothing
  // left.
  StatusOr<Progress> Advance(Output& out);
  // Hands the batch that waits over. False: that is not possible yet.
  StatusOr<bool> SubmitWaiting();
  // Adds the events of the batch from call.next on, as many as have values of
  // limits::kIsolatedRequestBytes, one at least; and the keys and values that they need.
  Status AddValues(IsolatedCall& call);
  // Settles answered events. False: they have filled what can be handed on at once.
  StatusOr<bool> Replay(Output& out);
  void UpdateCounters();

  const std::shared_ptr<const IsolatedPlugin> plugin_;
  PluginRows rows_;
  AnswerReplay replay_;
  std::unique_ptr<IsolatedCaller> caller_;
  bool draining_ = false;

  BatchPtr waiting_;      // that is to be handed over next; null: none
  bool in_rows_ = false;  // it is in rows_, as batches of a plugin with states are
  std::unique_ptr<IsolatedCall> answered_;  // that is being replayed; null: none
  uint32_t replayed_ = 0;                   // the event of it that is next
  uint64_t batches_in_ = 0;
  uint64_t batches_out_ = 0;
  HeldWatermarks watermarks_;  // behind batches

  struct NamedCounts {
    uint64_t *hosts, *crashes, *hangs, *damages, *memory_ends, *backoff_micros;
  };
  NamedCounts counts_{};
  IsolatedCaller::Counts counted_;  // what is in counts_ already
};

}  // namespace weir
