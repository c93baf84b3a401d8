// CountingIoPool: an IoPool that knows how much of what went through it is still under way, so that
// an attempt ends only after its last write.
#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <utility>

#include "core/environment.h"
#include "core/time.h"

namespace weir {

class CountingIoPool final : public IoPool {
 public:
  // help: runs one piece of what the pool has to do on the caller's thread, for pools that have no
  // threads of their own; false: there is none.
  explicit CountingIoPool(IoPool& pool, std::function<bool()> help = nullptr)
      : pool_(pool), help_(std::move(help)) {}
  ~CountingIoPool() override { WaitUntilIdle(); }

  void Submit(std::function<void()> work) override;
  // Until nothing is under way. Work that submits more work counts as one piece with it.
  void WaitUntilIdle();
  // The same for at most so long, by the machine's own clock; whether nothing is under way.
  bool WaitUntilIdleFor(Duration real_time);

 private:
  IoPool& pool_;
  const std::function<bool()> help_;
  std::mutex mutex_;
  std::condition_variable idle_;
  size_t under_way_ = 0;  // guarded by mutex_
};

}  // namespace weir
