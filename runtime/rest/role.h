// Role: what somebody may do with a cluster. Submitting a job is running code, so it stands apart
// from operating those that run.
#pragma once

#include <string_view>

namespace weir {

enum class Role {
  kRead,     // see jobs, workers and metrics
  kOperate,  // cancel, stop, rescale, take savepoints
  kSubmit,   // send libraries and start jobs
  kWorker,   // join as a worker; includes none of the others, which each include those before it
};

constexpr std::string_view RoleName(Role role) {
  switch (role) {
    case Role::kRead:
      return "read";
    case Role::kOperate:
      return "operate";
    case Role::kSubmit:
      return "submit";
    case Role::kWorker:
      return "worker";
  }
  return "";
}

}  // namespace weir
