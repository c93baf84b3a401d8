// CheckpointWriter: what a job's coordinator does to the checkpoint store, off the event loop:
// manifests, garbage, savepoints.
//
// Calls and answers on the event loop's thread; the work is done on the I/O pool, and the
// destructor waits for it. What has not been answered by then is not.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/environment.h"
#include "runtime/event_loop.h"
#include "runtime/worker/counting_io_pool.h"
#include "state/checkpoint_store.h"
#include "state/job_record.h"

namespace weir {

class CheckpointWriter {
 public:
  // All must outlive it.
  CheckpointWriter(CheckpointStore& store, Environment& env, EventLoop& loop);
  ~CheckpointWriter();

  // OK: the manifest stands; else it does not, for certain. Takes as long as the store needs to
  // tell.
  void WriteManifest(Manifest manifest, std::function<void(CheckpointId, const Status&)> done);
  // `record` says what the job has gone back behind, which is of no use to it any more, and as
  // little is what attempts up to `attempts_over` have not finished.
  void CollectGarbage(const JobRecord& record, uint32_t attempts_over,
                      std::function<void(const Status&)> done);
  // The savepoint's folder.
  void KeepAsSavepoint(CheckpointId checkpoint,
                       std::function<void(const StatusOr<std::string>&)> done);
  // Until nothing is under way; the answers may be still to come.
  void Wait() { io_.WaitUntilIdle(); }

 private:
  template <class Result>
  void Run(std::function<Result()> work, std::function<void(const Result&)> then);

  CheckpointStore& store_;
  Environment& env_;
  EventLoop& loop_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  CountingIoPool io_;
};

}  // namespace weir
