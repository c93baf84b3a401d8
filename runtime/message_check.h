// What coordinator and executors check of a message before they act on it: that it speaks of tasks,
// stages and numbers that there are. A peer that has proved who it is may still be another build,
// broken, or taken over; its messages must not end this process.
//
// Pure. DataLoss says what was wrong.
#pragma once

#include "jobs/built_job.h"
#include "runtime/execution_plan.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

// `graph` is the plan's.
Status CheckMessage(const runtime::ToCoordinator& message, const JobGraph& graph,
                    const ExecutionPlan& plan);
// To an executor that has `job`.
Status CheckMessage(const runtime::ToExecutor& message, const BuiltJob& job);

}  // namespace weir
