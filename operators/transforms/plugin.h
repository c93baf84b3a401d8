// PluginOperator: events through a plugin (operators/plugin.h) in this process, a batch by one
// call.
//
// What comes of a row is decided by PluginRows (plugin_rows.h). An event that the plugin keeps goes
// on as it came; the rows share its slab. An event is rejected, and leaves nothing behind, when the
// plugin fails it, emits what is no event (a line that is no JSON object, or has a line feed),
// emits more than limits::kPluginRow...Max, or breaks the rules of the table. The error begins with
// the plugin's name and version; the record is the event as it came.
//
// Batch<Event> in on port 0, out on port 0 and, for the i-th side output that the plugin declares,
// on port i. A plugin with states needs a stage with keyed state, whose rows are dealt out by what
// PluginDeclaration::key names.
//
// A plugin that takes longer for a call than its budget cannot be stopped here: it is counted, and
// told (PluginOptions::budget).
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "operators/transforms/plugin_library.h"
#include "operators/transforms/plugin_rows.h"

namespace weir {

class PluginOperator final : public Operator {
 public:
  // `declaration` is what the instance that the stage was built by has declared.
  PluginOperator(std::shared_ptr<const PluginLibrary> library, PluginSettings settings,
                 PluginDeclaration declaration, EventFields fields, PluginOptions options);

  StatusOr<StateDescription> DescribeState() override {
    return PluginStates::Describe(declaration_);
  }
  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  void Close() override { instance_ = {}; }

 private:
  struct Call;
  static const WeirPluginHost kHost;

  // What the plugin calls. Runs body() for the row that the plugin is at; true: it may go on.
  template <class Body>
  static int32_t ForRow(WeirPluginCall* base, Body body) noexcept;

  // Calls the plugin with the rows from next_ on.
  void CallPlugin(Output& out);
  // Makes the row that the plugin published the row at hand. False if it is none of this call's.
  bool EnterRow(Call& call);

  const std::shared_ptr<const PluginLibrary> library_;
  const PluginSettings settings_;
  const PluginDeclaration declaration_;
  PluginRows rows_;
  PluginInstance instance_;
  Clock* clock_ = nullptr;

  bool busy_ = false;  // a batch is under way: between calls that did not return kDone
  size_t next_ = 0;
  std::vector<WeirPluginEvent> events_;  // the batch, as the plugin sees it
  // The row that the plugin is at: read by whoever reports its crash.
  std::atomic<uint32_t> row_ = 0;
};

}  // namespace weir
