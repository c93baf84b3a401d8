// RateLimiter: how many events a source may read now, so that it reads `rate` a second. A token
// bucket that holds a tenth of a second. Times are Clock::MonotonicMicros(). Not thread-safe.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weir {

class RateLimiter {
 public:
  // REQUIRES: rate > 0.
  RateLimiter(double rate, int64_t now)
      : rate_(rate), capacity_(std::max(1.0, rate / 10)), tokens_(1), refilled_(now) {}

  // Up to `wanted`, none only if there is not a whole one.
  size_t Allowed(int64_t now, size_t wanted) {
    if (now > refilled_) {
      tokens_ = std::min(capacity_, tokens_ + rate_ * static_cast<double>(now - refilled_) / 1e6);
      refilled_ = now;
    }
    return tokens_ < 1 ? 0 : static_cast<size_t>(std::min(tokens_, static_cast<double>(wanted)));
  }
  void Take(size_t n) { tokens_ -= static_cast<double>(n); }
  // When it is worth asking again: there will be a whole event, or a hundredth of a second's.
  int64_t NextTime() const {
    const double wanted = std::max(1.0, std::min(capacity_, rate_ / 100));
    return refilled_ + static_cast<int64_t>((wanted - tokens_) / rate_ * 1e6) + 1;
  }

 private:
  const double rate_;
  const double capacity_;
  double tokens_;
  int64_t refilled_;
};

}  // namespace weir
