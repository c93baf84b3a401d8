#include "runtime/worker/slot.h"

#include <fmt/format.h>
#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "runtime/crash_handler.h"

namespace weir {

void Slot::Post(std::function<void()> work) {
  bool first;
  {
    std::lock_guard lock(mutex_);
    mailbox_.push_back(std::move(work));
    first = !std::exchange(woken_, true);
  }
  if (first) OnWoken();
}

void Slot::Wake() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(woken_, true)) return;
  }
  OnWoken();
}

bool Slot::woken() {
  std::lock_guard lock(mutex_);
  return woken_;
}

std::optional<int64_t> Slot::RunRound() {
  std::vector<std::function<void()>> work;
  {
    std::lock_guard lock(mutex_);
    work.swap(mailbox_);
    woken_ = false;
  }
  for (auto& run : work) run();
  bool worked = false;
  for (Task* task : tasks_) worked |= task->Step();
  if (worked) return 0;
  std::optional<int64_t> next;
  for (Task* task : tasks_) {
    const auto wake = task->next_wake();
    if (wake && (!next || *wake < *next)) next = wake;
  }
  return next;
}

ThreadSlot::ThreadSlot(int index, Clock& clock) : clock_(clock), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), fmt::format("weir-slot-{}", index).c_str());
}

ThreadSlot::~ThreadSlot() { Join(); }

void ThreadSlot::OnWoken() {
  {
    std::lock_guard lock(sleep_mutex_);
    awake_ = true;
  }
  wake_up_.notify_one();
}

void ThreadSlot::Join() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(sleep_mutex_);
    stop_ = true;
  }
  wake_up_.notify_one();
  thread_.join();
}

void ThreadSlot::Run() {
  CrashStack crash_stack;
  while (true) {
    const std::optional<int64_t> next = RunRound();
    std::unique_lock lock(sleep_mutex_);
    const auto ready = [this] { return awake_ || stop_; };
    if (!next) {
      wake_up_.wait(lock, ready);
    } else if (*next != 0) {
      const int64_t wait = std::max<int64_t>(0, *next - clock_.MonotonicMicros());
      wake_up_.wait_for(lock, std::chrono::microseconds(wait), ready);
    }
    if (stop_) return;
    awake_ = false;
  }
}

}  // namespace weir
