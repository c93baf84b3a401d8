// ClusterApi: what can be asked of a running coordinator, whatever the protocol. Implemented by the
// coordinator, called by the REST server.
//
// Any thread may call; each call returns at once, and its `done` is called exactly once, on
// whatever thread, perhaps inside the call. Status codes and what they become in REST:
//   InvalidArgument 400, FailedPrecondition and OutOfRange 409 (a job that has ended, a checkpoint
//   that does not fit), NotFound 404, Unavailable 503 (later, perhaps: also where the disk of the
//   coordinator cannot be written to), ResourceExhausted 507 (that disk is full), else 500
// Messages say what was wrong and what to do. Who may ask what is decided before (roles).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "core/status.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {

class ClusterApi {
 public:
  template <class T>
  using Done = std::function<void(StatusOr<T>)>;

  virtual ~ClusterApi() = default;

  // OK, or why the coordinator cannot take requests yet (or no more). Does not block.
  virtual Status Ready() = 0;

  virtual void ListJobs(Done<rest::JobList> done) = 0;
  virtual void GetJob(const std::string& job, Done<rest::Job> done) = 0;
  // The library and resources must have been put before. Answered when the job's library has been
  // described and the job is durable; it then runs as slots are free.
  virtual void SubmitJob(const rest::SubmitRequest& request, Done<rest::Submitted> done) = 0;
  // What was submitted, secrets in parameters too.
  virtual void GetSubmission(const std::string& job, Done<rest::Submission> done) = 0;
  // Answered when the wish is durable; the job ends soon after. A job that has ended: OK.
  virtual void CancelJob(const std::string& job, Done<rest::Job> done) = 0;
  // With a savepoint first; answered when the wish is durable.
  virtual void StopJob(const std::string& job, const rest::StopRequest& request,
                       Done<rest::SavepointOperation> done) = 0;
  virtual void TriggerSavepoint(const std::string& job, const rest::SavepointRequest& request,
                                Done<rest::SavepointOperation> done) = 0;
  virtual void GetSavepoint(const std::string& job, const std::string& operation,
                            Done<rest::SavepointOperation> done) = 0;
  virtual void RescaleJob(const std::string& job, const rest::RescaleRequest& request,
                          Done<rest::Job> done) = 0;
  virtual void ListCheckpoints(const std::string& job, Done<rest::CheckpointList> done) = 0;
  // Keeps a checkpoint from being removed, as CheckpointStore::Lease() does, for at most
  // limits::kLeaseMax.
  virtual void LeaseCheckpoint(const std::string& job, const rest::LeaseRequest& request,
                               Done<rest::CheckpointLease> done) = 0;
  virtual void ListExceptions(const std::string& job, Done<rest::ExceptionList> done) = 0;
  virtual void ListWorkers(Done<rest::WorkerList> done) = 0;
  // Everything at once, for /metrics.
  virtual void TakeSnapshot(Done<rest::Snapshot> done) = 0;

  // Bytes that a job needs, by their SHA-256 in hex; idempotent. InvalidArgument if `sha256` is not
  // that of the bytes.
  virtual void PutBlob(const std::string& sha256, std::string bytes, Done<rest::Blob> done) = 0;
  // NotFound if it must be put yet.
  virtual void FindBlob(const std::string& sha256, Done<rest::Blob> done) = 0;
  virtual void ReadBlob(const std::string& sha256, Done<std::string> done) = 0;
};

}  // namespace weir
