// EventLoop: runs functions one after another on the thread that calls Run(). Coordinator and
// executor live on it, so that they need no locks of their own. What they post to is an EventQueue:
// a simulation has its own kind.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

#include "core/environment.h"

namespace weir {

class EventQueue {
 public:
  virtual ~EventQueue() = default;
  // Runs it later, never inside the call, behind what was posted before. From any thread.
  virtual void Post(std::function<void()> work) = 0;
};

class EventLoop final : public EventQueue {
 public:
  explicit EventLoop(Clock& clock) : clock_(clock) {}

  void Post(std::function<void()> work) override;
  void Stop();  // from any thread: Run() returns after the work at hand

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
