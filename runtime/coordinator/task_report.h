// TaskReport: the last progress message of one task, and the rates between it and the one before.
#pragma once

#include <cstdint>
#include <map>

#include "runtime/execution_plan.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

struct TaskReport {
  uint32_t attempt = 0;
  runtime::TaskProgress last;
  int64_t at_micros = 0;
  double backpressured = 0;    // share of the time between the last two messages
  std::map<int, double> busy;  // by stage, likewise
  struct Rates {
    double records_in = 0;  // per second
    double records_out = 0;
  };
  std::map<int, Rates> rates;  // by stage

  void Add(const runtime::TaskProgress& progress, uint32_t of_attempt, int64_t now_micros);
};

inline TaskId ToTaskId(const runtime::TaskRef& ref) {
  return {static_cast<int>(ref.group()), static_cast<int>(ref.subtask())};
}

}  // namespace weir
