#include "testing/held_pool.h"

#include <utility>

namespace weir::testing {
namespace {

constexpr Duration kReleaseMax = Seconds(5);

}  // namespace

HeldPool::HeldPool() : running_(RealEnvironment().io), watch_([this] { Watch(); }) {}

HeldPool::~HeldPool() {
  {
    std::unique_lock lock(mutex_);
    stop_ = true;
    hold_ = false;
    RunAll(lock);
  }
  changed_.notify_all();
  watch_.join();
}

void HeldPool::RunAll(std::unique_lock<std::mutex>& lock) {
  std::deque<std::function<void()>> work;
  work.swap(held_);
  lock.unlock();
  for (auto& run : work) running_.Submit(std::move(run));
  lock.lock();
}

void HeldPool::Submit(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (hold_) {
      held_.push_back(std::move(work));
      changed_.notify_all();
      return;
    }
  }
  running_.Submit(std::move(work));
}

void HeldPool::Hold(bool hold) {
  std::unique_lock lock(mutex_);
  hold_ = hold;
  if (!hold) RunAll(lock);
}

void HeldPool::Release() {
  std::unique_lock lock(mutex_);
  const bool hold = std::exchange(hold_, false);
  RunAll(lock);
  lock.unlock();
  running_.WaitUntilIdleFor(kReleaseMax);
  lock.lock();
  hold_ = hold;
}

void HeldPool::set_in_call(bool in_call) {
  std::lock_guard lock(mutex_);
  in_call_ = in_call;
  calls_ += in_call;
  changed_.notify_all();
}

bool HeldPool::waited() const {
  std::lock_guard lock(mutex_);
  return waited_;
}

void HeldPool::Watch() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    changed_.wait(lock, [this] { return stop_ || (in_call_ && !held_.empty()); });
    if (stop_) return;
    const bool over = changed_.wait_for(lock, kPatience, [this, call = calls_] {
      return stop_ || !in_call_ || calls_ != call || held_.empty();
    });
    if (over) continue;
    waited_ = true;
    RunAll(lock);
  }
}

}  // namespace weir::testing
