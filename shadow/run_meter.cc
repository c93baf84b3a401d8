#include "shadow/run_meter.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"

namespace weir::shadow {

int RunMeter::AddReader() {
  std::lock_guard lock(mutex_);
  said_.emplace_back();
  return static_cast<int>(said_.size()) - 1;
}

bool RunMeter::BeginPoll(int64_t now) {
  int64_t none = 0;
  if (began_ == 0 && began_.compare_exchange_strong(none, now) && options_.on_begin) {
    options_.on_begin();
  }
  if (options_.records > 0 && taken_ >= options_.records) return false;
  if (options_.time > 0 && now - began_ >= options_.time) out_of_time_ = true;
  return !out_of_time_;
}

uint64_t RunMeter::Take(uint64_t records) {
  const uint64_t before = taken_.fetch_add(records);
  if (options_.records == 0) return records;
  return before >= options_.records ? 0 : std::min(records, options_.records - before);
}

void RunMeter::OnSourceWatermark(int reader, Timestamp watermark, int64_t now) {
  std::lock_guard lock(mutex_);
  auto& said = said_[reader];
  if (said.size() < kSamplesMax && (said.empty() || said.back().first < watermark)) {
    said.emplace_back(watermark, now);
  }
}

void RunMeter::EndReader() {
  int ended = 0;
  {
    std::lock_guard lock(mutex_);
    ended = ++ended_;
  }
  WEIR_CHECK(ended <= options_.readers);
  if (ended == options_.readers && options_.on_end) options_.on_end();
}

void RunMeter::OnRows(uint64_t bytes, int64_t now) {
  std::lock_guard lock(mutex_);
  output_bytes_ += bytes;
  last_ = std::max(last_, now);
}

void RunMeter::OnWatermark(Timestamp watermark, int64_t now) {
  std::lock_guard lock(mutex_);
  int64_t moment = -1;
  for (const auto& said : said_) {
    const auto first = std::lower_bound(said.begin(), said.end(), std::pair{watermark, int64_t{0}});
    if (first != said.end() && first->second <= now) moment = std::max(moment, first->second);
  }
  if (moment < 0) return;  // the end of the input, which nobody said
  last_ = std::max(last_, now);
  if (latencies_.size() < kSamplesMax) latencies_.push_back(now - moment);
}

uint64_t RunMeter::records() const {
  const uint64_t taken = taken_;
  return options_.records == 0 ? taken : std::min(taken, options_.records);
}

uint64_t RunMeter::output_bytes() const {
  std::lock_guard lock(mutex_);
  return output_bytes_;
}

double RunMeter::elapsed_s() const {
  std::lock_guard lock(mutex_);
  return static_cast<double>(std::max<int64_t>(last_ - began_, 0)) / 1e6;
}

double RunMeter::LatencyMillis(double part) const {
  std::lock_guard lock(mutex_);
  if (latencies_.empty()) return -1;
  std::vector<int64_t> sorted = latencies_;
  const auto rank = static_cast<size_t>(std::ceil(part * static_cast<double>(sorted.size())));
  const auto at = sorted.begin() + static_cast<int64_t>(std::max<size_t>(rank, 1) - 1);
  std::nth_element(sorted.begin(), at, sorted.end());
  return static_cast<double>(*at) / 1000;
}

}  // namespace weir::shadow
