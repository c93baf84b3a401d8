// FolderClaims: what a job that runs must have for itself on the disk.
//
// A folder that a sink writes belongs to one job at a time, and no source of that job may read
// what its sinks write: it would read its own results. Both are judged by canonical names, so links
// do not matter.
//
// Held by whoever runs the job, over all its attempts and subtasks; a process that dies holds
// nothing any more.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "jobs/built_job.h"

namespace weir {

class FolderClaims {
 public:
  // FailedPrecondition names the stage and what is wrong: an input that cannot be found, an output
  // folder that cannot be made, one that a source of this job reads, one that another run writes.
  static StatusOr<FolderClaims> Take(const BuiltJob& job, std::string_view job_id,
                                     Environment& env);

 private:
  std::vector<std::unique_ptr<FileLock>> locks_;
};

}  // namespace weir
