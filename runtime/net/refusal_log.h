// RefusalLog: lines about what was refused, of which a stranger can cause as many as he likes: in
// each period so many are told, and how many others there were with the first line of a later one.
//
// One thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "core/time.h"
#include "runtime/log_limit.h"

namespace weir {

class RefusalLog {
 public:
  // what: "HTTP: {} more requests were refused", with the number in place of {}.
  RefusalLog(std::function<void(std::string_view line)> log, std::string what, size_t lines_max,
             Duration period)
      : log_(std::move(log)), what_(std::move(what)), limit_(lines_max, period) {}

  // now_micros: of a monotonic clock.
  void Add(std::string_view line, int64_t now_micros);

 private:
  const std::function<void(std::string_view line)> log_;
  const std::string what_;
  LogLimit limit_;
};

}  // namespace weir
