// What comes back from the process of an isolated plugin for the events of a batch, read from
// memory that a plugin gone wild may write to at any time.
//
// An answer is a log of records (operators/plugin_host/protocol.h) in memory of our own, one for
// each event, in order. AnswerReplay does to PluginRows what the plugin did, so that whatever
// checks and limits there are, are the same for isolated plugins.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "operators/plugin_host/protocol.h"
#include "operators/transforms/plugin_rows.h"

namespace weir {

// What was found of a request's answer.
struct AnswerPart {
  uint32_t next = 0;               // the event behind those that are done
  bool whole = false;              // the record kEnd is there
  bool memory_is_short = false;    // the host is near its memory limit
  bool failed_for_memory = false;  // the event `next` failed while memory was short
  uint64_t micros = 0;             // that the host took
};

// Appends the records of the events that are done to `log`, up to the first that is not there or is
// broken. `slot` is in shared memory. The record of an event that failed while memory was short is
// left out, unless `take_failures` is set.
AnswerPart ReadAnswer(const char* slot, const plugin_host::RequestEntry& entry, bool take_failures,
                      std::string& log);
// Whether something was written where nothing was to be written, of an event that ran alone.
bool IsDamaged(const char* slot, const plugin_host::RequestEntry& entry);
// Appends the record of an event that failed for a reason that Weir has found.
void AppendFailure(uint32_t row, std::string_view why, std::string& log);

// The writes of the settled events from `offset` in the log on, in order: event, state, and value
// or nothing. Returns the end of the log.
size_t ForEachWrite(
    const std::string& log, size_t offset,
    const std::function<void(uint32_t, uint32_t, std::optional<std::string_view>)>& write);

// Used on the task's thread.
class AnswerReplay {
 public:
  // The log has a record for each event from now on.
  void Start(std::string log);
  // The next event: from BeginRow() to SettleRow(). False: it failed here though it did not there,
  // and it has written into a state, so that the events behind it, whose answers are known already,
  // may have seen what they must not.
  bool ReplayRow(PluginRows& rows, Output& out);

 private:
  std::string log_;
  size_t next_ = 0;  // the next record
};

}  // namespace weir
