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
    text_ += fmt::format("{}\"{}\":{}", text_.empty() ? "{" : ",", name, value);
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

inline double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// How long calls held their thread: by the wall clock, waits and preemption included, and in CPU
// time alone, which tells on a busy machine how much of it was the call's own.
class Durations {
 public:
  template <class Call>
  void Measure(Call call) {
    const int64_t cpu = bare::ThreadCpuNs();
    const int64_t wall = WallNs();
    call();
    wall_ns_.push_back(WallNs() - wall);
    cpu_ns_.push_back(bare::ThreadCpuNs() - cpu);
  }
  // NAME_ms_p50, NAME_ms_p99 and NAME_ms_max; the same of NAME_cpu.
  void AddTo(Report& report, const std::string& name) {
    Add(report, name, wall_ns_);
    Add(report, name + "_cpu", cpu_ns_);
  }

 private:
  static void Add(Report& report, const std::string& name, std::vector<int64_t> ns) {
    std::sort(ns.begin(), ns.end());
    // What so many of all durations do not exceed.
    const auto ms = [&](double quantile) {
      const double at = std::ceil(quantile * static_cast<double>(ns.size())) - 1;
      return static_cast<double>(ns[static_cast<size_t>(std::max(at, 0.0))]) / 1e6;
    };
    report.Add(name + "_ms_p50", ms(0.5));
    report.Add(name + "_ms_p99", ms(0.99));
    report.Add(name + "_ms_max", ms(1));
  }

  std::vector<int64_t> wall_ns_;
  std::vector<int64_t> cpu_ns_;
};

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
