// HeldPool: an I/O pool that lets work wait until it is released, so that whatever depends on it
// finds it unfinished for as long as that may be.
//
// Work that nobody releases for kPatience runs all the same; then somebody may have waited for it
// who must not, which waited() tells. Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/worker/counting_io_pool.h"

namespace weir::testing {

class HeldPool final : public IoPool {
 public:
  HeldPool();
  ~HeldPool() override;

  void Submit(std::function<void()> work) override;
  // Whether work waits from now on; what waits is released when it does not.
  void Hold(bool hold);
  // Runs what waits, and what that submits, and returns when nothing is under way, or after some
  // seconds if it does not come to an end.
  void Release();
  // The caller is in a call that must not wait for the pool.
  void set_in_call(bool in_call);
  bool waited() const;

 private:
  static constexpr std::chrono::milliseconds kPatience{700};

  void Watch();
  void RunAll(std::unique_lock<std::mutex>& lock);

  CountingIoPool running_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  // All below: guarded by mutex_.
  std::deque<std::function<void()>> held_;
  bool hold_ = false;
  bool in_call_ = false;
  uint64_t calls_ = 0;
  bool waited_ = false;
  bool stop_ = false;
  std::thread watch_;
};

}  // namespace weir::testing
