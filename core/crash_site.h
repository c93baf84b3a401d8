// CrashSite: which operator's code a thread runs right now, so that a signal handler can say where
// a process crashed.
//
// One per thread. Only its own thread writes and reads it, the handler included, which runs on the
// thread that crashed: it has to be readable at any instruction, so the fields are plain words,
// and what they point at must live until they are set to something else. Who calls operator code
// holds a CrashScope around the call (two stores in, two out, per batch); who runs another
// component inside it, such as a plugin, sets `component` and `row` for as long as that runs and
// puts back what was there:
//
//   CrashSite& site = CurrentCrashSite();
//   const CrashSite outer = std::exchange(site, {site.stage, site.subtask, name, &row_index});
//   ... call the plugin ...
//   site = outer;
//
// What it says is a suspect, not a proof: memory may have been broken by an earlier row, or by
// another thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace weir {

struct CrashSite {
  const char* stage = nullptr;  // null: no operator's code
  int subtask = 0;
  const char* component = nullptr;  // inside the stage, "plugin 'upper' 1.2"; null: none
  // Index in its batch of the row at hand, as the component's loop publishes it; null: not known.
  const std::atomic<uint32_t>* row = nullptr;
};

// Of the calling thread. Async-signal-safe.
CrashSite& CurrentCrashSite();

// Operator code of a stage runs while it lives. `stage` must outlive it.
class CrashScope {
 public:
  CrashScope(const char* stage, int subtask) : site_(CurrentCrashSite()) {
    site_.subtask = subtask;
    site_.stage = stage;
  }
  // Also what an exception left behind.
  ~CrashScope() { site_ = CrashSite(); }
  CrashScope(const CrashScope&) = delete;
  CrashScope& operator=(const CrashScope&) = delete;

 private:
  CrashSite& site_;
};

}  // namespace weir
