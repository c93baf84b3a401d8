#include "runtime/worker/stall_detector.h"

#include <fmt/format.h>
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <fstream>

#include "runtime/limits.h"

namespace weir {
namespace {

// How long a thread of this process has been ready to run without a CPU; 0 where the system does
// not tell.
Duration CpuWaitOf(int thread) {
  std::ifstream schedstat(fmt::format("/proc/self/task/{}/schedstat", thread));
  uint64_t ran_ns = 0;
  uint64_t waited_ns = 0;
  if (!(schedstat >> ran_ns >> waited_ns)) return 0;
  return Microseconds(static_cast<int64_t>(waited_ns / 1000));
}

// Of a moment: the fields belong to one call, or it says that there is none.
StallWatch::Sight SightOf(const CrashSite& site) {
  StallWatch::Sight sight;
  sight.calls = site.calls.load(std::memory_order_acquire);
  if (sight.calls % 2 == 0) return sight;
  const char* const stage = site.stage.load(std::memory_order_acquire);
  sight.subtask = site.subtask.load(std::memory_order_acquire);
  const char* const component = site.component.load(std::memory_order_acquire);
  const std::atomic<uint32_t>* const row = site.row.load(std::memory_order_acquire);
  if (row != nullptr) sight.row = row->load(std::memory_order_relaxed);
  if (stage == nullptr || site.calls.load(std::memory_order_acquire) != sight.calls) return {};
  sight.stage = stage;
  if (component != nullptr) sight.component = component;
  return sight;
}

}  // namespace

StallDetector::StallDetector(Clock& clock, Duration stall_max, Notices& notices)
    : clock_(clock), watch_(stall_max), notices_(notices), thread_([this] { Run(); }) {
  pthread_setname_np(thread_.native_handle(), "weir-stalls");
}

StallDetector::~StallDetector() { Stop(); }

void StallDetector::Stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_up_.notify_one();
  thread_.join();
}

void StallDetector::Watch(int index, Slot& slot) {
  slot.Post([this, index] {
    std::lock_guard lock(mutex_);
    slots_[index] = {&CurrentCrashSite(), gettid()};
  });
}

StallDetector::Stalls StallDetector::Of(const std::string& stage, int subtask) const {
  std::lock_guard lock(mutex_);
  const auto found = stalls_.find({stage, subtask});
  return found == stalls_.end() ? Stalls() : found->second;
}

void StallDetector::Run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    wake_up_.wait_for(lock, std::chrono::microseconds(limits::kStallLookInterval),
                      [this] { return stop_; });
    if (stop_) return;
    watch_.BeginRound(clock_.MonotonicMicros());
    for (const auto& [slot, thread] : slots_) {
      const StallWatch::Sight sight = SightOf(*thread.site);
      const std::optional<Stall> stall =
          watch_.Look(slot, sight, [id = thread.id] { return CpuWaitOf(id); });
      if (const Duration held = watch_.Held(slot); held > 0) {
        stalls_[{sight.stage, sight.subtask}].held = held;
      }
      if (!stall) continue;
      Stalls& stalls = stalls_[{stall->stage, stall->subtask}];
      if (stall->first) ++stalls.count;
      if (stall->over) stalls.held = 0;
      notices_.Say(stall->stage, stall->subtask, Describe(*stall), /*warning=*/true);
    }
  }
}

}  // namespace weir
