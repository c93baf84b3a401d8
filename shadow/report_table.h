// The report of a shadow for a terminal.
#pragma once

#include <string>

#include "shadow/report.h"

namespace weir::shadow {

// `colours`: with ANSI colours, for a terminal. What records say is shown so that it drives none.
std::string ReportTable(const ShadowReport& report, bool colours);

}  // namespace weir::shadow
