// What the benchmarks measure with: how long single calls take, and how the result is printed for
// the script that asked.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/bare.h"

namespace bench {

inline int64_t WallNs() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// {"name":number,...} on a line of its own.
class Report {
 public:
  void Add(std::string_view name, double value) {
    text_ += fmt::format("{}\"{}\":{:.6g}", text_.empty() ? "{" : ",", name, value);
  }
  void Print() const {
    fmt::print("{}}}\n", text_);
    std::fflush(stdout);
  }

 private:
  std::string text_;
};

// Waits for the time, unless it is near or has passed: the thread is to work in long stretches, as
// one that has much to do, with what it needs in its caches.
inline void SleepUntil(int64_t wall_ns) {
  constexpr int64_t kShortestNs = 100'000'000;
  const int64_t ns = wall_ns - WallNs();
  if (ns >= kShortestNs) std::this_thread::sleep_for(std::chrono::nanoseconds(ns));
}

// How long calls held their thread: by the wall clock, waits and preemption included.
class Durations {
 public:
  template <class Call>
  auto Measure(Call call) {
    struct Stop {
      Durations& durations;
      int64_t start = WallNs();
      ~Stop() { durations.Add(WallNs() - start); }
    } stop{*this};
    return call();
  }
  void Add(int64_t ns) { ns_.push_back(ns); }
  // NAME_ms_p50, NAME_ms_p99 and NAME_ms_max.
  void AddTo(Report& report, std::string_view name) {
    report.Add(fmt::format("{}_ms_p50", name), Ms(0.5));
    report.Add(fmt::format("{}_ms_p99", name), Ms(0.99));
    report.Add(fmt::format("{}_ms_max", name), Ms(1));
  }

 private:
  // What so many of all durations do not exceed, in milliseconds.
  double Ms(double quantile) {
    std::sort(ns_.begin(), ns_.end());
    const double at = std::ceil(quantile * static_cast<double>(ns_.size())) - 1;
    return static_cast<double>(ns_[static_cast<size_t>(std::max(at, 0.0))]) / 1e6;
  }

  std::vector<int64_t> ns_;
};

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// CPU time of the whole process since the start, without what the benchmark itself used to make its
// input.
class CpuTime {
 public:
  // Runs `make`, on the thread that always does, and does not count it.
  template <class Make>
  void Exclude(Make make) {
    const int64_t start = bare::ThreadCpuNs();
    make();
    excluded_ns_ += bare::ThreadCpuNs() - start;
  }
  int64_t ns() const { return bare::ProcessCpuNs() - start_ns_ - excluded_ns_; }

 private:
  const int64_t start_ns_ = bare::ProcessCpuNs();
  int64_t excluded_ns_ = 0;
};

}  // namespace bench
