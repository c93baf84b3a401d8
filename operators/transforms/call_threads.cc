#include "operators/transforms/call_threads.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "core/limits.h"

namespace weir {

struct CallThreads::Shared {
  explicit Shared(size_t max) : threads_max(max) {}

  void Run() {
    std::unique_lock lock(mutex);
    for (;;) {
      ++idle;
      changed.wait(lock, [this] { return closing || !queue.empty(); });
      --idle;
      if (closing) break;
      std::function<void()> work = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      work();
      work = nullptr;  // what it owns goes without the lock
      lock.lock();
    }
    --threads;
    changed.notify_all();
  }

  const size_t threads_max;
  std::mutex mutex;
  std::condition_variable changed;
  // All below: guarded by mutex.
  std::deque<std::function<void()>> queue;
  size_t threads = 0;
  size_t idle = 0;
  bool closing = false;
};

CallThreads::CallThreads(size_t threads_max)
    : shared_(std::make_shared<Shared>(std::max<size_t>(1, threads_max))) {}

CallThreads::~CallThreads() {
  std::deque<std::function<void()>> forgotten;
  std::unique_lock lock(shared_->mutex);
  shared_->closing = true;
  forgotten.swap(shared_->queue);
  shared_->changed.notify_all();
  shared_->changed.wait_for(lock, std::chrono::microseconds(limits::kAsyncShutdownMax),
                            [this] { return shared_->threads == 0; });
  lock.unlock();  // before `forgotten` goes
}

void CallThreads::Submit(std::function<void()> work) {
  std::lock_guard lock(shared_->mutex);
  shared_->queue.push_back(std::move(work));
  if (shared_->idle >= shared_->queue.size() || shared_->threads == shared_->threads_max) {
    shared_->changed.notify_all();
    return;
  }
  try {
    std::thread([shared = shared_] { shared->Run(); }).detach();
    ++shared_->threads;
  } catch (const std::system_error&) {
    // No more threads to be had: those that run will come to it, and if there are none its time
    // runs out.
  }
}

}  // namespace weir
