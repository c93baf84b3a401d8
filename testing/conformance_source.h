// CheckSource: the conformance kit for sources. Polls the instances of a source in turn to their
// end, undisturbed and then with freezes, restores and other parallelisms. Internal to testing/.
#pragma once

#include "testing/conformance.h"

namespace weir::testing {

void CheckSource(const StageCase& stage, ConformanceReport& report);

}  // namespace weir::testing
