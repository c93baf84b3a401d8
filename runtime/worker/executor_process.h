// What a process does that is an executor of one attempt of a job, for a coordinator in another
// process (runtime/executor_processes.h), from its start to its end.
//
// It ends when the attempt is over, when the coordinator is gone, and with the thread that started
// it: nobody has to look for executors that were forgotten.
#pragma once

#include <functional>
#include <string>

#include "core/environment.h"
#include "jobs/built_job.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

// `load` makes the job that `start` tells of; the result lives until the process ends. Called once,
// on the calling thread. Returns an error if the process cannot begin; else the process ends here.
Status RunExecutorProcess(const runtime::ExecutorStart& start,
                          const std::function<StatusOr<const BuiltJob*>()>& load, Environment& env);

}  // namespace weir
