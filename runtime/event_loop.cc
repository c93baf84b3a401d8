#include "runtime/event_loop.h"

#include <algorithm>
#include <chrono>

namespace weir {

void EventLoop::Post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(std::move(work));
  }
  posted_.notify_one();
}

void EventLoop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  posted_.notify_one();
}

void EventLoop::Run(const std::function<int64_t()>& tick) {
  int64_t next_tick = tick();
  while (true) {
    std::deque<std::function<void()>> work;
    {
      std::unique_lock lock(mutex_);
      auto ready = [this] { return stop_ || !queue_.empty(); };
      const int64_t wait = std::max<int64_t>(0, next_tick - clock_.MonotonicMicros());
      posted_.wait_for(lock, std::chrono::microseconds(wait), ready);
      if (stop_) return;
      work.swap(queue_);
    }
    for (auto& run : work) run();
    // What was handled may have changed what is due.
    next_tick = tick();
  }
}

}  // namespace weir
