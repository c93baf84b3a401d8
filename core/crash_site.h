// CrashSite: which operator's code a thread runs right now, so that a signal handler can say where
// a process crashed, and a stall detector who holds a slot (runtime/worker/stall_detector.h).
//
// One per thread. Only its own thread writes it, the handler that reads it runs on the thread that
// crashed, and a stall detector reads it from another one: so the fields are atomic words, and what
// they point at must live until they are set to something else; of an operator's call, as long as
// the operator. Who calls operator code holds a CrashScope around the call (a few plain stores per
// batch); who runs another component inside it, such as a plugin, holds a CrashComponent around
// that.
//
// What it says is a suspect, not a proof: memory may have been broken by an earlier row, or by
// another thread.
#pragma once

#include <atomic>
#include <cstdint>

namespace weir {

struct CrashSite {
  std::atomic<const char*> stage = nullptr;  // null: no operator's code
  std::atomic<int> subtask = 0;
  std::atomic<const char*> component = nullptr;  // in the stage, "plugin 'upper' 1.2"; null: none
  // Index in its batch of the row at hand, as the component's loop publishes it; null: not known.
  std::atomic<const std::atomic<uint32_t>*> row = nullptr;
  // Rises when a call that is meant to be short begins, and when it ends: odd within one. The
  // fields above belong to the call if this is the same before and after they were read.
  std::atomic<uint64_t> calls = 0;
};

// Of the calling thread. Async-signal-safe.
CrashSite& CurrentCrashSite();

// Operator code of a stage runs while it lives. `stage` must outlive it. brief: the code is not to
// hold its thread for long.
class CrashScope {
 public:
  CrashScope(const char* stage, int subtask, bool brief = false)
      : site_(CurrentCrashSite()), brief_(brief) {
    site_.subtask.store(subtask, std::memory_order_release);
    site_.stage.store(stage, std::memory_order_release);
    if (brief_) Count();
  }
  // Also what an exception left behind.
  ~CrashScope() {
    if (brief_) Count();
    site_.stage.store(nullptr, std::memory_order_release);
    site_.subtask.store(0, std::memory_order_release);
    site_.component.store(nullptr, std::memory_order_release);
    site_.row.store(nullptr, std::memory_order_release);
  }
  CrashScope(const CrashScope&) = delete;
  CrashScope& operator=(const CrashScope&) = delete;

 private:
  void Count() {
    const uint64_t calls = site_.calls.load(std::memory_order_relaxed);
    site_.calls.store(calls + 1, std::memory_order_release);
  }

  CrashSite& site_;
  const bool brief_;
};

// A component of the stage runs while it lives; then what was there before is said again.
class CrashComponent {
 public:
  CrashComponent(const char* component, const std::atomic<uint32_t>* row)
      : site_(CurrentCrashSite()),
        component_(site_.component.load(std::memory_order_relaxed)),
        row_(site_.row.load(std::memory_order_relaxed)) {
    Set(component, row);
  }
  ~CrashComponent() { Set(component_, row_); }
  CrashComponent(const CrashComponent&) = delete;
  CrashComponent& operator=(const CrashComponent&) = delete;

 private:
  void Set(const char* component, const std::atomic<uint32_t>* row) {
    site_.component.store(component, std::memory_order_release);
    site_.row.store(row, std::memory_order_release);
  }

  CrashSite& site_;
  const char* const component_;
  const std::atomic<uint32_t>* const row_;
};

}  // namespace weir
