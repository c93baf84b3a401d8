#include "shadow/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/time.h"

namespace weir::shadow {

constexpr double kCostChangeMin = 0.001;  // what is less is nothing that anybody pays for

CostSpread SpreadOf(const std::vector<double>& runs) {
  if (runs.empty()) return {};
  std::vector<double> sorted = runs;
  std::sort(sorted.begin(), sorted.end());
  const size_t half = sorted.size() / 2;
  const double median =
      sorted.size() % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
  return {median, sorted.front(), sorted.back(), sorted.size()};
}

bool IsMoreThanNoise(const CostMeasure& measure) {
  const CostSpread a = SpreadOf(measure.baseline);
  const CostSpread b = SpreadOf(measure.candidate);
  const bool apart = a.max < b.min || b.max < a.min;
  return a.runs >= kCostRunsMin && b.runs >= kCostRunsMin && apart &&
         std::fabs(b.median - a.median) >= kCostChangeMin * std::fabs(a.median);
}

double ChangeOf(const CostMeasure& measure) {
  const double before = SpreadOf(measure.baseline).median;
  const double after = SpreadOf(measure.candidate).median;
  return before == 0 ? 0 : after / before - 1;
}

std::string ValueText(const CostMeasure& measure, double value) {
  if (measure.unit == "bytes") return FormatSize(static_cast<uint64_t>(std::max(value, 0.0)));
  if (std::fabs(value) >= 1000) return Grouped(static_cast<uint64_t>(std::llround(value)));
  return fmt::format("{:.3g}", value);
}

std::string Grouped(uint64_t number) {
  std::string text = std::to_string(number);
  for (size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string PercentText(uint64_t part, uint64_t whole) {
  if (whole == 0 || part == 0) return "0%";
  return fmt::format("{:.3g}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

}  // namespace weir::shadow
