// RunningJob: a job of a cluster as the baseline of a shadow: what it was submitted with, and a
// checkpoint of it, which is kept from being removed as long as this object lives.
//
// Of the job nothing else is asked for and nothing is changed; a coordinator that is away is asked
// again. One thread, but for one of its own that renews the lease.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "cli/rest_client.h"
#include "jobs/parameters.h"
#include "state/snapshot.h"

namespace weir::cli {

class RunningJob {
 public:
  // Whether this is the id of a job rather than a library: "flights-3f0c9a5b7e21", and no file.
  static bool IsJob(const std::string& name);

  // Leases checkpoint `wanted`, if it is still there, or else the newest one; then asks for the
  // rest. Unavailable: nobody answers; NotFound: there is no such job, or no checkpoint yet.
  static StatusOr<std::unique_ptr<RunningJob>> Open(RestClient client, const std::string& job,
                                                    CheckpointId wanted);
  ~RunningJob();  // ends the lease

  const Parameters::Values& parameters() const { return parameters_; }
  // A folder, which this machine has to see.
  const std::string& checkpoint() const { return checkpoint_; }
  // Its library and files, to be built as a version of a shadow (shadow::SubmittedVersion).
  StatusOr<std::string> Fetch(Parameters::Values parameters) const;

 private:
  RunningJob(RestClient client, std::string path, std::string job);
  Status Lease(CheckpointId checkpoint, Duration length);
  void Renew();

  const RestClient client_;
  const std::string path_;  // "/v1/jobs/JOB"
  const std::string job_;
  const std::string holder_;
  Parameters::Values parameters_;
  std::string checkpoint_;
  CheckpointId number_ = 0;

  std::mutex mutex_;
  std::condition_variable ends_;
  bool ending_ = false;  // guarded by mutex_
  std::thread renews_;
};

}  // namespace weir::cli
