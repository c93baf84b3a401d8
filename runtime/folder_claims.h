// FolderClaims: what a job that runs must have for itself on the disk.
//
// A folder that a sink writes belongs to one job at a time, and no source of that job may read
// what its sinks write: it would read its own results. Both are judged by canonical names, so links
// do not matter.
//
// Held by whoever runs the job, over all its attempts and subtasks; a process that dies holds
// nothing any more.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/environment.h"
#include "jobs/built_job.h"

namespace weir {

class FolderClaims {
 public:
  // FailedPrecondition names the stage and what is wrong: an input that cannot be found, an output
  // folder that cannot be made, one that a source of this job reads, one that another run writes.
  // ResourceExhausted: the disk of an output folder is full.
  static StatusOr<FolderClaims> Take(const BuiltJob& job, std::string_view job_id,
                                     Environment& env);
  // Of folders that a Take() elsewhere has found to be right and told of (folders()).
  static StatusOr<FolderClaims> Hold(const std::vector<std::string>& folders,
                                     std::string_view job_id, Environment& env);
  // Canonical.
  std::vector<std::string> folders() const;

 private:
  Status Add(const std::string& folder, std::string_view job_id, Environment& env);

  std::map<std::string, std::unique_ptr<FileLock>> locks_;  // by canonical folder
};

}  // namespace weir
