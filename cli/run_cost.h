// RunCost: what one run of one version came to, as the process that ran it tells the one that had
// it run.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <string>

#include "core/codec.h"

namespace weir::cli {

struct RunCost {
  std::string failure;  // empty: it went well, and the rest holds
  uint64_t records = 0;
  double elapsed_s = 0;
  double cpu_s = 0;  // of the process and of those that it had started
  uint64_t state_bytes = 0;
  uint64_t output_bytes = 0;
  double latency_p50_ms = -1;  // -1: not known
  double latency_p99_ms = -1;

  BOOST_DESCRIBE_CLASS(RunCost, (),
                       (failure, records, elapsed_s, cpu_s, state_bytes, output_bytes,
                        latency_p50_ms, latency_p99_ms),
                       (), ())
};

}  // namespace weir::cli
