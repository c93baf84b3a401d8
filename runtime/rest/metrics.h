// /metrics: a snapshot of jobs and workers in the text format of Prometheus.
//
// Names begin with weir_; what only grows ends in _total. Labels are job_name, operator and
// subtask, and job_id where two jobs that live have one name; never anything of a user's data.
#pragma once

#include <string>

#include "core/time.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {

inline constexpr const char* kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// Of the jobs that have ended only those of the last limits::kMetricsEndedJobAge are told, and of a
// name only the newest, unless a job of that name lives. One that has failed is told in any case,
// so that an alert sees it, unless another of its name was submitted since.
std::string WriteMetrics(const rest::Snapshot& snapshot, Timestamp now);

}  // namespace weir
