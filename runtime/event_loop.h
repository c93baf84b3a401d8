// EventLoop: runs functions one after another on the thread that calls Run(). Coordinator and
// executor live on it, so that they need no locks of their own.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "core/environment.h"

namespace weir {

class EventLoop {
 public:
  explicit EventLoop(Clock& clock) : clock_(clock) {}

  void Post(std::function<void()> work);  // from any thread
  void Stop();                            // from any thread: Run() returns after the work at hand

  // Runs what is posted until Stop(), and calls `tick` when `next_tick` (Clock::MonotonicMicros())
  // has come, which returns the one after.
  void Run(const std::function<int64_t()>& tick);

 private:
  Clock& clock_;
  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::function<void()>> queue_;  // guarded by mutex_
  bool stop_ = false;                        // guarded by mutex_
};

}  // namespace weir
