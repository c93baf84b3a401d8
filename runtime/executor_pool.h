// ExecutorPool: the executors that a job's coordinator works with, wherever they run.
//
// Lives on the event loop's thread: calls and callbacks alike. One attempt at a time; an attempt
// whose executors have all said Canceled, or are lost, is over.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/coordinator/job_master.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

class ExecutorPool {
 public:
  struct Events {
    // As JobMaster's calls of these names.
    std::function<void(uint32_t attempt, const std::vector<std::string>& addresses)> started;
    std::function<void(uint32_t attempt, int executor, const JobMaster::Loss& loss)> lost;
    std::function<void(int executor, const runtime::ToCoordinator& message)> message;
  };

  virtual ~ExecutorPool() = default;
  // executors: of all parts of the job, those of a part beside each other.
  virtual void Start(uint32_t attempt, int executors) = 0;
  virtual void Send(int executor, const runtime::ToExecutor& message) = 0;
  // Has the executors report the progress of their tasks; called a few times a second.
  virtual void AskProgress() = 0;
};

}  // namespace weir
