// Notices: lines on their way from operators to their job's log, no more of each than it can bear.
// Thread-safe.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "core/environment.h"
#include "runtime/log_limit.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

class Notices {
 public:
  // `send` is called on the thread that says something; at most lines_max times in
  // limits::kLogPeriod for each operator, and once more for the number of those left out. The clock
  // must outlive it.
  Notices(Clock& clock, size_t lines_max, std::function<void(const runtime::Notice&)> send)
      : clock_(clock), lines_max_(lines_max), send_(std::move(send)) {}

  // Warnings are counted apart, so that what an operator says itself hides none.
  void Say(const std::string& stage, int subtask, std::string_view line, bool warning = false);

 private:
  Clock& clock_;
  const size_t lines_max_;
  const std::function<void(const runtime::Notice&)> send_;
  std::mutex mutex_;
  std::map<std::pair<std::string, bool>, LogLimit> limits_;  // guarded by mutex_
};

}  // namespace weir
