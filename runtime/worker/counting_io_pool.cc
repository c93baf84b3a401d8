#include "runtime/worker/counting_io_pool.h"

#include <chrono>

namespace weir {

void CountingIoPool::Submit(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    ++under_way_;
  }
  pool_.Submit([this, work = std::move(work)]() mutable {
    work();
    // What the work owns goes before it counts as done.
    work = nullptr;
    // Under the lock, so that a waiter cannot destroy the pool before the notification is over.
    std::lock_guard lock(mutex_);
    if (--under_way_ == 0) idle_.notify_all();
  });
}

void CountingIoPool::WaitUntilIdle() {
  while (help_ && help_()) {
  }
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return under_way_ == 0; });
}

bool CountingIoPool::WaitUntilIdleFor(Duration real_time) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, std::chrono::microseconds(real_time),
                        [this] { return under_way_ == 0; });
}

}  // namespace weir
