// StageCounters: what a stage has counted; of one instance, or the totals of a job's whole life as
// checkpoints keep them. A plain value.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "state/tenant_counts.h"

namespace weir {

namespace state {
class Counters;  // weir/state/manifest.proto
}

using NamedCounts = std::map<std::string, uint64_t, std::less<>>;

struct StageCounters {
  uint64_t records_in = 0;
  uint64_t records_out = 0;
  uint64_t dropped = 0;
  uint64_t dead_letters = 0;
  uint64_t unusable_times = 0;
  // The operator's own (OperatorCounters::Named).
  NamedCounts named;
  TenantCounts tenants;

  StageCounters& operator+=(const StageCounters& other);
  bool operator==(const StageCounters&) const = default;

  void Write(state::Counters& out) const;
  static StageCounters Read(const state::Counters& in);
};

}  // namespace weir
