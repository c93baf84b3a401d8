// What the comparators of a shadow have left in files, put together.
#pragma once

#include <string>

#include "core/environment.h"
#include "jobs/graph.h"
#include "shadow/rules.h"
#include "shadow/verdict.h"

namespace weir::shadow {

// Adds every committed file in the folder, as the woven job's sink has written them. DataLoss names a
// file that holds something else.
Status ReadResults(Environment& env, const std::string& folder, ShadowResult& result);

// What the graphs of both versions say of their outputs: sinks that one alone has, and rows of
// another schema.
void DeclareOutputs(const JobGraph& baseline, const JobGraph& candidate, ShadowResult& result);

}  // namespace weir::shadow
