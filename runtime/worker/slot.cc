#include "runtime/worker/slot.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>

#include "runtime/crash_handler.h"

namespace weir {

Slot::Slot(int index, Clock& clock) : clock_(clock), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), fmt::format("weir-slot-{}", index).c_str());
}

Slot::~Slot() { Join(); }

void Slot::Post(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    mailbox_.push_back(std::move(work));
    woken_ = true;
  }
  woken_cv_.notify_one();
}

void Slot::Wake() {
  {
    std::lock_guard lock(mutex_);
    if (woken_) return;
    woken_ = true;
  }
  woken_cv_.notify_one();
}

void Slot::Join() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    woken_ = true;
  }
  woken_cv_.notify_one();
  thread_.join();
}

void Slot::Run() {
  CrashStack crash_stack;
  std::vector<std::function<void()>> work;
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (stop_) return;
      work.swap(mailbox_);
      woken_ = false;
    }
    for (auto& run : work) run();
    work.clear();
    bool worked = false;
    for (Task* task : tasks_) worked |= task->Step();
    if (worked) continue;

    std::optional<int64_t> next;
    for (Task* task : tasks_) {
      auto wake = task->next_wake();
      if (wake && (!next || *wake < *next)) next = wake;
    }
    std::unique_lock lock(mutex_);
    auto ready = [this] { return woken_ || stop_; };
    if (!next) {
      woken_cv_.wait(lock, ready);
    } else {
      const int64_t wait = std::max<int64_t>(0, *next - clock_.MonotonicMicros());
      woken_cv_.wait_for(lock, std::chrono::microseconds(wait), ready);
    }
  }
}

}  // namespace weir
