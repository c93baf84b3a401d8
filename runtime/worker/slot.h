// Slot: one thread that runs the tasks placed in it cooperatively, and sleeps when none has work.
//
// Post() and Wake() may be called from any thread; everything posted runs on the slot's thread,
// between steps, in order. A posted function that makes a task also adds it with AddTask(). Join()
// ends the thread at the next step and destroys the tasks.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "runtime/worker/task.h"

namespace weir {

class Slot {
 public:
  Slot(int index, Clock& clock);
  ~Slot();

  void Post(std::function<void()> work);
  void Wake();
  void AddTask(Task* task) { tasks_.push_back(task); }  // on the slot's thread
  void Join();

 private:
  void Run();

  Clock& clock_;
  std::vector<Task*> tasks_;  // used by the slot's thread only

  std::mutex mutex_;
  std::condition_variable woken_cv_;
  std::vector<std::function<void()>> mailbox_;  // guarded by mutex_
  bool woken_ = false;                          // guarded by mutex_
  bool stop_ = false;                           // guarded by mutex_

  std::thread thread_;  // last: starts when everything above stands
};

}  // namespace weir
