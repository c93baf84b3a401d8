// What a coordinator must know of a job, found out by a child process, so that no user's code ever
// runs in the coordinator: `weir describe` loads the library, builds the job and tells of it.
#pragma once

#include <string>

#include "core/environment.h"
#include "jobs/built_job.h"
#include "runtime/folder_claims.h"
#include "weir/runtime/cluster.pb.h"

namespace weir {

// In the coordinator: starts `program` (weir) and waits for its answer; for limits::kDescribeMax at
// most. Blocks. An error is the job's: what is wrong with its library, its parameters, its stages'
// check, or the checkpoint that it does not fit (OutOfRange). said: gets the beginning of what the
// child wrote to stderr, at most limits::kLogTailBytes of it.
StatusOr<runtime::JobDescription> DescribeInChild(const std::string& program,
                                                  const runtime::DescribeJob& request,
                                                  std::string& said);

// In the child.
inline constexpr int kDescribeRequestDescriptor = 3;
inline constexpr int kDescribeAnswerDescriptor = 4;
runtime::JobDescription DescribeJob(const runtime::DescribeJob& request, const BuiltJob& job,
                                    Environment& env);
runtime::JobDescription DescribeFailure(const Status& status);

}  // namespace weir
