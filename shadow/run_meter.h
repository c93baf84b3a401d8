// RunMeter: what a run of one version alone is measured by. Sources tell it what they read, meters
// (shadow/measured_job.h), which stand where the sinks would, what came out.
//
// A run ends when so many records were read, when its time is over, or when every source has come
// to its end. Then nobody reads any more, and on_end has the job stopped with a checkpoint: so what
// the state amounts to is what the job holds at that point, and not what is left of it when windows
// and timers have been closed for good.
//
// Latency is that of watermarks, which no row in front of them is behind: the time from when the
// last source had said one until it is through with all that comes before a sink.
//
// Thread-safe. Times: Clock::MonotonicMicros().
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/time.h"

namespace weir::shadow {

class RunMeter {
 public:
  // Latencies of a run that count, and watermarks of one reader that are remembered.
  static constexpr size_t kSamplesMax = 1'000'000;

  struct Options {
    int readers = 1;                 // instances of sources
    uint64_t records = 0;            // to read, exactly; 0: all
    Duration time = 0;               // for which it reads; 0: as long as it takes
    std::function<void()> on_begin;  // in front of the first record, on any thread
    std::function<void()> on_end;    // once nobody reads any more
  };
  explicit RunMeter(Options options) : options_(std::move(options)) {}

  // Of a source, one after the other for each; `reader` is what AddReader() gave.
  int AddReader();
  // In front of each poll: whether there is anything left to read.
  bool BeginPoll(int64_t now);
  // How many of so many records may go on.
  uint64_t Take(uint64_t records);
  void OnSourceWatermark(int reader, Timestamp watermark, int64_t now);
  // It has come to its end, or found BeginPoll() false. Once.
  void EndReader();

  // Of a meter.
  void OnRows(uint64_t bytes, int64_t now);
  void OnWatermark(Timestamp watermark, int64_t now);

  // When the run has ended.
  uint64_t records() const;
  uint64_t output_bytes() const;
  double elapsed_s() const;  // from the first poll to the last row that came out
  // Of how many parts of the samples, 0.99 for p99; -1: there are none.
  double LatencyMillis(double part) const;

 private:
  const Options options_;
  std::atomic<uint64_t> taken_ = 0;
  std::atomic<bool> out_of_time_ = false;
  std::atomic<int64_t> began_ = 0;

  mutable std::mutex mutex_;
  // By reader: watermarks, rising, and when it first said them.
  std::vector<std::vector<std::pair<Timestamp, int64_t>>> said_;
  std::vector<int64_t> latencies_;
  uint64_t output_bytes_ = 0;
  int64_t last_ = 0;
  int ended_ = 0;
};

}  // namespace weir::shadow
