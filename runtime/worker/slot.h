// Slot: runs the tasks placed in it cooperatively, one round after another. A ThreadSlot does so on
// a thread of its own, which sleeps when no task has work; a simulation has its own kind.
//
// Post() and Wake() may be called from any thread; everything posted runs where the rounds do,
// between steps, in order. A posted function that makes a task also adds it with AddTask(). After
// Join() no round begins, and none is under way: the tasks may be destroyed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "runtime/worker/task.h"

namespace weir {

class Slot {
 public:
  virtual ~Slot() = default;

  void Post(std::function<void()> work);
  void Wake();
  void AddTask(Task* task) { tasks_.push_back(task); }  // where the rounds run
  virtual void Join() = 0;

 protected:
  // Runs what was posted, then a step of each task. When the next round is due, by
  // Clock::MonotonicMicros(): 0, at once, if a task has worked; nullopt: only after OnWoken().
  std::optional<int64_t> RunRound();
  // Something has come since the last round began, for the first time. From any thread.
  virtual void OnWoken() = 0;
  // Whether it has.
  bool woken();

 private:
  std::vector<Task*> tasks_;  // used by the rounds only

  std::mutex mutex_;
  std::vector<std::function<void()>> mailbox_;  // guarded by mutex_
  bool woken_ = false;                          // guarded by mutex_
};

class ThreadSlot final : public Slot {
 public:
  ThreadSlot(int index, Clock& clock);
  ~ThreadSlot() override;

  void Join() override;  // ends the thread at the next step

 private:
  void Run();
  void OnWoken() override;

  Clock& clock_;
  std::mutex sleep_mutex_;
  std::condition_variable wake_up_;
  bool awake_ = false;  // guarded by sleep_mutex_; since the last sleep
  bool stop_ = false;   // guarded by sleep_mutex_

  std::thread thread_;  // last: starts when everything above stands
};

}  // namespace weir
