// EventLog: what callbacks on other threads tell a test, in the order in which they told it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace weir::testing {

class EventLog {
 public:
  void Add(std::string event) {
    std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
    changed_.notify_all();
  }
  // What there is when `count` events have come, or after a time that means that they will not.
  std::vector<std::string> Await(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kTimeout, [&] { return events_.size() >= count; });
    return events_;
  }
  // The first event that contains the text; "" if none comes.
  std::string AwaitText(const std::string& text) {
    std::unique_lock lock(mutex_);
    std::string found;
    changed_.wait_for(lock, kTimeout, [&] {
      for (const std::string& event : events_) {
        if (event.find(text) != std::string::npos) found = event;
        if (!found.empty()) return true;
      }
      return false;
    });
    return found;
  }

 private:
  static constexpr std::chrono::seconds kTimeout{20};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::string> events_;
};

}  // namespace weir::testing
