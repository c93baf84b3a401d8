// CallThreads: threads for calls into somebody else's client library, which may block for long or
// for ever. Not the I/O pool: checkpoints are written there, and an attempt waits for all of it.
//
// Owned by one operator. Threads are started as they are needed, up to a number, and run what is
// submitted in order. The destructor forgets what has not begun and waits for the calls under way,
// at most limits::kAsyncShutdownMax; a thread that is still inside a call then is left behind, and
// ends when the call does. So work must own its data.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>

namespace weir {

class CallThreads {
 public:
  explicit CallThreads(size_t threads_max);
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  void Submit(std::function<void()> work);  // never throws

 private:
  struct Shared;
  const std::shared_ptr<Shared> shared_;
};

}  // namespace weir
