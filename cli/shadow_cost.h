// What each version of a shadow costs: runs of one version alone, each in a process of its own, the
// baseline and the candidate in turn, so that what the machine does besides meets both.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/time.h"
#include "shadow/report.h"
#include "state/object_store.h"

namespace weir::cli {

struct CostOptions {
  int runs = 0;  // of each version
  int parallelism = 1;
  std::string memory;
  std::string from;               // as `weir shadow` has it
  uint64_t records = 0;           // at most to be read in each run; 0: all there are
  ObjectStore* folder = nullptr;  // where both versions are, packed, and room for the runs
  std::string baseline;           // names in the folder
  std::string candidate;
  std::string work;  // a folder in it, ends in '/'; removed afterwards
  std::function<bool()> stopped;
};

struct Cost {
  std::vector<shadow::CostMeasure> measures;
  std::vector<std::string> notes;  // what could not be measured, and why
};

// Cancelled: `stopped` has said so.
StatusOr<Cost> MeasureCost(const CostOptions& options);

}  // namespace weir::cli
