// StallDetector: a thread that looks at the slots of an attempt fifty times a second, and tells
// which operator's call holds one too long (stall_watch.h). It costs the slots nothing: their
// threads say what they run in any case (core/crash_site.h).
//
// Owned by the executor, which calls Stop() before it joins the slots: until then the detector
// reads what lies on their threads, and what their operators hold.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "core/crash_site.h"
#include "core/environment.h"
#include "runtime/worker/notices.h"
#include "runtime/worker/slot.h"
#include "runtime/worker/stall_watch.h"

namespace weir {

class StallDetector {
 public:
  // References must outlive it. The notices are warnings of the stages that stall.
  StallDetector(Clock& clock, Duration stall_max, Notices& notices);
  ~StallDetector();

  // Before a task runs in it.
  void Watch(int index, Slot& slot);
  // Afterwards nothing is looked at. Again: nothing.
  void Stop();
  struct Stalls {
    uint64_t count = 0;  // calls that have been told of
    Duration held = 0;   // so far, by the call that holds the slot now, if it was told of
  };
  // From any thread.
  Stalls Of(const std::string& stage, int subtask) const;

 private:
  struct Thread {
    const CrashSite* site = nullptr;
    int id = 0;  // as the system numbers threads
  };
  void Run();

  Clock& clock_;
  StallWatch watch_;  // used by the thread only
  Notices& notices_;

  mutable std::mutex mutex_;
  std::condition_variable wake_up_;
  std::map<int, Thread> slots_;                           // guarded by mutex_
  std::map<std::pair<std::string, int>, Stalls> stalls_;  // guarded by mutex_; by stage, subtask
  bool stop_ = false;                                     // guarded by mutex_

  std::thread thread_;  // last: starts when everything above stands
};

}  // namespace weir
