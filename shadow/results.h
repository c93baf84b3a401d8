// What the comparators of a shadow have left in files, put together.
#pragma once

#include <set>
#include <string>

#include "core/environment.h"
#include "shadow/rules.h"
#include "shadow/verdict.h"
#include "shadow/version.h"

namespace weir::shadow {

// Adds every committed file in the folder that is not among `read`, their names, as the woven job's
// sink has written them, which then are. DataLoss names a file that holds something else. An error
// leaves a part of them in `result`.
Status ReadResults(Environment& env, const std::string& folder, std::set<std::string>& read,
                   ShadowResult& result);

// What both versions say of their outputs before a record is written: sinks that one alone has, and
// rows of another schema.
void DeclareOutputs(const JobVersion& baseline, const JobVersion& candidate, ShadowResult& result);

}  // namespace weir::shadow
