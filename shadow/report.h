// ShadowReport: all that a shadow has to tell, for the three ways to tell it: report_json.h,
// report_table.h and report_html.h. Values; one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "shadow/verdict.h"

namespace weir::shadow {

// Something that was measured in separate runs of each version. One value for each run.
struct CostMeasure {
  std::string name;  // "records_per_second", a member in JSON
  std::string unit;  // "records/s", for people; bytes are written out by "bytes"
  bool higher_is_better = false;
  std::vector<double> baseline;
  std::vector<double> candidate;
};

struct CostSpread {
  double median = 0;
  double min = 0;
  double max = 0;
  size_t runs = 0;
};
CostSpread SpreadOf(const std::vector<double>& runs);

// By more than runs differ: no run of one version lies among those of the other, with at least
// kCostRunsMin of each, and the medians differ by 0.1% at least. Of equal versions that happens by
// chance in 1 of 10 cases with three runs each, 1 of 35 with four, 1 of 126 with five.
inline constexpr size_t kCostRunsMin = 3;
bool IsMoreThanNoise(const CostMeasure& measure);
// The candidate's median against the baseline's: 0.05 is 5% more.
double ChangeOf(const CostMeasure& measure);
// "1,234,567", "12.3 MiB", by the measure's unit.
std::string ValueText(const CostMeasure& measure, double value);

// One line of what was run, so that it can be repeated: a library with its SHA-256, a parameter.
struct RunFact {
  std::string name;
  std::string baseline;
  std::string candidate;  // empty: the same for both
};

struct ShadowReport {
  std::string job;
  std::string written_at;  // RFC 3339
  bool complete = true;    // false: the comparison still runs, and this is what it has found so far
  Verdict verdict;
  std::vector<CostMeasure> cost;
  std::vector<RunFact> facts;
  std::string rules;    // the rules file as it was; empty: none
  std::string command;  // that repeats the run
};

// "1234567" -> "1,234,567".
std::string Grouped(uint64_t number);
// A part of a whole for people: "0.001%", "12.5%", "0%".
std::string PercentText(uint64_t part, uint64_t whole);

}  // namespace weir::shadow
