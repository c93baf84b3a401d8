// SignalThread: signals that a command takes on a thread of its own, so that no handler runs in the
// middle of anything.
//
// Made before any other thread, so that all inherit the mask; Watch() when there is somebody to
// tell, and again after Stop(). What `on_signal` uses must live until Stop(), which the destructor
// calls.
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <initializer_list>
#include <thread>

namespace weir::cli {

class SignalThread {
 public:
  explicit SignalThread(std::initializer_list<int> signals);
  ~SignalThread() { Stop(); }
  SignalThread(const SignalThread&) = delete;

  void Watch(std::function<void(int signal)> on_signal);
  void Stop();

 private:
  sigset_t signals_;
  const int last_;  // one of them, to wake the thread with
  std::atomic<bool> done_ = false;
  std::thread thread_;
};

// For on_signal: the first of these ends in good order, by `end`, a second one at once.
std::function<void(int signal)> EndsAtOnceTheSecondTime(std::function<void()> end);

}  // namespace weir::cli
