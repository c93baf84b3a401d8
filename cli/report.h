// The final report of `weir run`: a table, or one JSON object.
#pragma once

#include <string>

#include "runtime/local_job.h"

namespace weir::cli {

// {"job","state","elapsed_s","operators":[...],"checkpoints":{...},"restarts"}; docs/jobs.md names
// every member.
std::string ReportJson(const LocalJobResult& result);
std::string ReportTable(const LocalJobResult& result);

}  // namespace weir::cli
