// PluginRows: what comes of the rows of a batch that a plugin is called with, whoever calls it: the
// events that it keeps and emits, by output; what it reads from and writes into its states; its
// counts; its failures. Everything that operators/plugin_table.h says about settling an event is
// decided here.
//
// For each batch:   BeginBatch, Prefetch until it is true
//   for each row:   BeginRow; Emit, Get, Put, Remove, Count, Fail in any order; SettleRow
//                   or, for a row that the plugin never came to, Reject or Skip
//   SendOn          when full() says so, and behind the last row
// Rows come in the order of the batch. What is wrong with a call makes the row at hand fail, and
// returns false. Owned by an operator; used on its task's thread.
//
// A line that is emitted is copied, checked as a line of the input is, and read again: the fields
// that the job reads from lines are those of the new one, save where the plugin sets them itself. A
// time that is missing or unusable (see FileSource) leaves the event at the time of the one it came
// from, and is counted. An event of a side output has the route "<plugin>-<output>"; the others
// keep theirs. Output rows have no key hashes.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operators/event_reader.h"
#include "operators/operator.h"
#include "operators/transforms/collector.h"
#include "operators/transforms/plugin_declaration.h"
#include "operators/transforms/plugin_states.h"

namespace weir {

class PluginRows {
 public:
  PluginRows(PluginIdentity plugin, PluginDeclaration declaration, EventFields fields,
             PluginOptions options);

  // FailedPrecondition: the restored state does not fit.
  Status Open(OperatorContext& context);

  void BeginBatch(BatchPtr batch);  // of Events; its rows stay there until the next BeginBatch
  const Batch<Event>& batch() const { return Batch<Event>::Of(std::as_const(*batch_)); }
  // True: the values of all keys of the batch were read, and the store takes writes. False: ask
  // again after a wake-up.
  StatusOr<bool> Prefetch();
  // Of the rows of the batch; empty if the plugin has no state.
  std::span<const StateKey> keys() const;

  void BeginRow(size_t row);
  size_t row() const { return row_; }
  bool Emit(const WeirPluginOutput& output);
  // The view is valid until the next call of Get, Put, Remove or SettleRow.
  bool Get(uint32_t state, std::optional<std::string_view>& value);
  bool Put(uint32_t state, WeirPluginBytes value);
  bool Remove(uint32_t state);
  bool Count(uint32_t counter, uint64_t n);
  // The first reason is the one that counts. Returns false.
  bool Fail(std::string_view why);
  bool failed() const { return !failure_.empty(); }
  // All that came of the row stands, or it is rejected.
  void SettleRow(Output& out);
  // The row at hand leaves nothing behind, and is neither settled nor rejected.
  void ForgetRow();

  void Reject(size_t row, std::string_view why, Output& out);
  void Skip(size_t rows);  // the plugin passed them over, which drops them

  // The plugin was called with rows of the batch, and took so long.
  void NoteCall(int64_t micros);

  // As much has been put out, the row at hand included, as one hand-over takes.
  bool full() const {
    return new_bytes_ >= limits::kPluginOutputBytes || rows_out_ + row_events_ >= rows_out_max_;
  }
  void SendOn(Output& out);

  // An error of the state's store, which no row is to blame for.
  Status failure() const { return states_ ? states_->failure() : absl::OkStatus(); }

 private:
  // Puts out an event of the row at hand.
  Status Add(const WeirPluginOutput& output);
  // Settles the row's part of the outputs: commit or drop.
  void EndOutputs(bool commit);

  const PluginIdentity plugin_;
  const PluginDeclaration declaration_;
  const PluginOptions options_;
  const bool has_time_;
  std::vector<std::string_view> routes_;  // of the side outputs, which begin with 1; in ...
  SlabPtr routes_slab_;

  OperatorCounters* counters_ = nullptr;
  Clock* clock_ = nullptr;
  std::unique_ptr<PluginStates> states_;  // null: the plugin has none
  // Counters by name, under the plugin's version: "1.2.0/kept".
  struct Counts {
    uint64_t *in, *kept, *changed, *dropped, *failed, *emitted, *micros, *over_budget;
  };
  Counts counts_{};
  std::vector<uint64_t*> own_counts_;  // beside declaration_.counters
  std::function<void(std::string_view)> log_;
  uint64_t over_budget_ = 0;  // calls, ...
  int64_t worst_micros_ = 0;  // ... and the worst of them, since the operator was opened

  BatchPtr batch_;
  bool prefetched_ = false;
  Timestamp time_max_ = kMaxTimestamp;  // of the batch: a later time is unusable
  EventReader reader_;
  std::vector<RowBuilder<Event>> builders_;  // by output
  uint32_t outputs_open_ = 0;  // a bit for each output that was used since rows were sent on
  size_t rows_out_ = 0;        // in builders_
  size_t rows_out_max_ = 0;
  size_t new_bytes_ = 0;  // emitted since rows were sent on; those of failed rows too

  // The row at hand.
  size_t row_ = 0;
  std::vector<Collector<Event>*> collectors_;  // by output; null: not used by the row
  uint32_t outputs_used_ = 0;                  // a bit for each
  size_t row_events_ = 0;
  size_t row_bytes_ = 0;
  bool row_changed_ = false;  // something that it put out is not as it came
  std::vector<std::pair<uint32_t, uint64_t>> row_counts_;
  std::string failure_;  // empty: it has not failed
};

}  // namespace weir
