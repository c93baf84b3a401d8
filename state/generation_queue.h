// GenerationQueue: brings what a task has frozen into the files of its store, in order, on the I/O
// pool; for a checkpoint, or between two of them when too much has gathered (a spill).
//
// A Generation is an immutable stretch of a store's log; it has a `uint64_t number` that rises.
// While a checkpoint has yet to capture the files, nothing newer than its generation reaches them.
//
// Shared by the store (task side) and the frozen generations, which may outlive it (I/O side).
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/environment.h"
#include "core/status.h"

namespace weir {

template <class Generation>
class GenerationQueue {
 public:
  // Adds generations to the files, all or none. On the I/O pool, one call at a time.
  using Write = std::function<Status(std::span<const Generation>)>;

  // `wake` is called, from any thread, when Ready() may have become true.
  GenerationQueue(Write write, std::function<void()> wake)
      : write_(std::move(write)), wake_(std::move(wake)) {}

  // Task side.

  // A generation that a checkpoint will capture, unless its owner calls Release() before.
  void AddFrozen(Generation generation) {
    std::lock_guard lock(mutex_);
    frozen_.insert(generation.number);
    pending_.push_back(std::move(generation));
  }
  // False: twice `unwritten_max` bytes wait to be written, `wake` will be called. From once that
  // much on, a spill is submitted where there is none: of cut(), the generation since the last one.
  // The sequence must not outlive the queue. An error is a spill's that failed.
  template <class Cut>
  StatusOr<bool> Ready(size_t unwritten, size_t unwritten_max, Cut cut, IoSequence& spills) {
    std::lock_guard lock(mutex_);
    if (!spill_error_.ok()) return spill_error_;
    if (unwritten < unwritten_max) return true;
    if (!spilling_ && frozen_.empty()) {
      spilling_ = true;
      pending_.push_back(cut());
      spills.Submit([this, number = pending_.back().number] { Spill(number); });
    }
    if (unwritten < 2 * unwritten_max) return true;
    waiting_ = true;
    return false;
  }
  // Generations up to this one are in the files. Any thread.
  uint64_t written() const { return written_.load(std::memory_order_acquire); }

  // I/O side.

  // Brings the files up to generation `number` and captures them: what capture(), which is called
  // while nothing else writes, returns. Aborted if later ones were written already.
  template <class Capture>
  std::invoke_result_t<Capture> WriteAndCapture(uint64_t number, Capture capture) {
    std::lock_guard write(write_mutex_);
    if (written() > number) {
      return absl::AbortedError("a later checkpoint of this state was written already");
    }
    WEIR_RETURN_IF_ERROR(WriteUpTo(number));
    return capture();
  }
  // From here on later generations may go to the files. Any thread; may be repeated.
  void Release(uint64_t number) {
    Notify([&] { frozen_.erase(number); });
  }

 private:
  // REQUIRES: write_mutex_ is held.
  Status WriteUpTo(uint64_t number) {
    std::vector<Generation> generations;
    {
      std::lock_guard lock(mutex_);
      for (const Generation& g : pending_) {
        if (g.number <= number) generations.push_back(g);
      }
    }
    if (generations.empty()) return absl::OkStatus();  // another write took them along
    WEIR_RETURN_IF_ERROR(write_(generations));
    written_.store(generations.back().number, std::memory_order_release);
    std::deque<Generation> done;  // let go of outside the lock
    std::lock_guard lock(mutex_);
    while (!pending_.empty() && pending_.front().number <= number) {
      done.push_back(std::move(pending_.front()));
      pending_.pop_front();
    }
    return absl::OkStatus();
  }

  void Spill(uint64_t number) {
    Status status;
    {
      std::lock_guard write(write_mutex_);
      status = WriteUpTo(number);
    }
    Notify([&] {
      spilling_ = false;
      if (!status.ok()) spill_error_ = status;
    });
  }

  // Changes something under the mutex, then wakes the task if it waits.
  template <class Change>
  void Notify(Change change) {
    bool wanted = false;
    {
      std::lock_guard lock(mutex_);
      change();
      wanted = std::exchange(waiting_, false);
    }
    if (wanted && wake_) wake_();
  }

  const Write write_;
  const std::function<void()> wake_;

  // Serialises what changes or captures the files. Taken before mutex_.
  std::mutex write_mutex_;
  std::atomic<uint64_t> written_ = 0;

  std::mutex mutex_;                // guards what follows
  std::deque<Generation> pending_;  // not in the files yet, in order
  std::set<uint64_t> frozen_;       // generations that a checkpoint has yet to capture
  bool spilling_ = false;
  bool waiting_ = false;  // the task wants to be woken
  Status spill_error_;
};

}  // namespace weir
