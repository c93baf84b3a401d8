// What the comparators of a shadow have left in files, put together.
#pragma once

#include <string>

#include "core/environment.h"
#include "shadow/rules.h"
#include "shadow/verdict.h"
#include "shadow/version.h"

namespace weir::shadow {

// Adds every committed file in the folder, as the woven job's sink has written them. DataLoss names
// a file that holds something else.
Status ReadResults(Environment& env, const std::string& folder, ShadowResult& result);

// What both versions say of their outputs before a record is written: sinks that one alone has, and
// rows of another schema.
void DeclareOutputs(const JobVersion& baseline, const JobVersion& candidate, ShadowResult& result);

}  // namespace weir::shadow
