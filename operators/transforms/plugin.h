// PluginOperator: events through a plugin (operators/plugin.h), a batch by one call.
//
// An event that the plugin keeps goes on as it came; the rows share its slab. A line that the
// plugin emits is copied, checked as a line of the input is, and read again: the fields that the
// job reads from lines are those of the new one, save where the plugin sets them itself. A time
// that is missing or unusable (see FileSource) leaves the event at the time of the one it came
// from, and is counted; times may lie behind the watermark.
//
// An event is rejected, and leaves nothing behind, when the plugin fails it, emits what is no event
// (a line that is no JSON object, or has a line feed), emits more than limits::kPluginRow...Max, or
// breaks the rules of the table. The error begins with the plugin's name and version; the record is
// the event as it came. Output rows have no key hashes. No state: a restart begins with a new
// instance of the plugin.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "operators/event_reader.h"
#include "operators/operator.h"
#include "operators/transforms/collector.h"
#include "operators/transforms/plugin_library.h"

namespace weir {

class PluginOperator final : public Operator {
 public:
  PluginOperator(std::shared_ptr<const PluginLibrary> library, PluginSettings settings,
                 EventFields fields);

  Status Open(OperatorContext& context) override;
  // Batch<Event> in, Batch<Event> out, on port 0.
  StatusOr<Progress> Process(int input_port, BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  void Close() override { instance_ = {}; }

 private:
  struct Call;
  static const WeirPluginHost kHost;

  // What the plugin calls; never throws.
  template <class Body>
  static int32_t Guarded(Call& call, Body body) noexcept;
  static int32_t OnKeep(WeirPluginCall* call);
  static int32_t OnEmit(WeirPluginCall* call, const WeirPluginOutput* output);
  static int32_t OnFail(WeirPluginCall* call, WeirPluginBytes error);

  // Calls the plugin with the rows from next_ on.
  void CallPlugin(Output& out);
  // Makes the row that the plugin published the row at hand. False if it is none of this call's.
  bool EnterRow(Call& call);
  // The row at hand is done: its outputs stand, or it is rejected.
  void SettleRow(Call& call);
  void RejectFrom(Call& call, size_t first, std::string_view why);
  Status Add(Call& call, const WeirPluginOutput& output);
  int32_t Fail(Call& call, std::string_view why);

  const std::shared_ptr<const PluginLibrary> library_;
  const PluginSettings settings_;
  const bool has_time_;
  EventReader reader_;
  PluginInstance instance_;
  OperatorCounters* counters_ = nullptr;
  Clock* clock_ = nullptr;

  RowBuilder<Event> builder_;
  size_t new_bytes_ =
      0;            // that the plugin emitted since rows were sent on; those of failed rows too
  BatchPtr input_;  // null between calls that returned kDone
  size_t next_ = 0;
  Timestamp time_max_ = kMaxTimestamp;   // of the input batch: a later time is unusable
  std::vector<WeirPluginEvent> events_;  // the input, as the plugin sees it
  // The row that the plugin is at: read by whoever reports its crash.
  std::atomic<uint32_t> row_ = 0;
};

}  // namespace weir
