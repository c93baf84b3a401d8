// The report of a shadow as one JSON object. docs/shadow.md names every member.
#pragma once

#include <string>

#include "shadow/report.h"

namespace weir::shadow {

std::string ReportJson(const ShadowReport& report);

}  // namespace weir::shadow
