// JobVersion: one of the jobs that a shadow compares: its library, its parameters and every file
// that its builder reads, as bytes, and the graph that they make.
//
// No process ever loads two versions: they define the same symbols. So a version is packed in a
// process that loads it and ends, and unpacked in the executors that run it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job_library.h"
#include "jobs/parameters.h"

namespace weir::shadow {

struct JobVersion {
  std::string library_path;
  std::string library_sha256;
  Parameters::Values parameters;
  std::vector<std::pair<std::string, std::string>> resources;  // names and SHA-256
  JobGraph graph;
  std::set<std::string> routed_sinks;  // stages whose routes are outputs of their own
};

// Of a job that this process has loaded and built. Equal jobs are equal bytes.
StatusOr<std::string> PackVersion(const JobLibrary& library, const Parameters& parameters,
                                  const BuiltJob& built);
// Of a job as it was submitted to a cluster: its library and resources as bytes, and no graph yet,
// which BuiltVersion() adds in the process that has built it.
StatusOr<std::string> SubmittedVersion(const JobVersion& version, std::string_view library,
                                       const std::vector<Resource>& resources);
StatusOr<std::string> BuiltVersion(std::string_view packed, const BuiltJob& built);
// What there is to know without loading it. InvalidArgument: the bytes are no version.
StatusOr<JobVersion> ReadVersion(std::string_view packed);
// Loads the library and builds the job.
StatusOr<BuiltJob> BuildVersion(std::string_view packed);

}  // namespace weir::shadow
