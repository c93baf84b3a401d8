// NetworkThread: the one thread on which all sockets of a process are served, and the callbacks of
// connections, listeners and meshes run.
//
// Make it before them and destroy it after them. Nothing that runs on it may block.
#pragma once

#include <functional>
#include <memory>

#include "core/time.h"

namespace weir {

class NetworkThread {
 public:
  NetworkThread();
  // Ends the thread; what was posted and has not run is dropped. Not on the thread itself.
  ~NetworkThread();
  NetworkThread(const NetworkThread&) = delete;

  // Runs `work` on the thread, never inside the call. From any thread; in order for one caller.
  void Post(std::function<void()> work);
  // Runs `work` on the thread, inside the call where that is the caller's own, and waits for it.
  void RunAndWait(const std::function<void()>& work);
  bool OnThread() const;

  // Of the socket code only (network_impl.h).
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir
