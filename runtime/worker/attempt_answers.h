// AttemptAnswers: what an executor has been told and has answered in its attempt, so that a
// coordinator that has started again may tell it everything once more.
//
// A command that was taken before is not done twice: what was answered to it is said again; an
// answer that is still to come is said when it comes. So the coordinator goes through the life of
// the attempt as if it were new, and finds itself where the attempt is. Only the last checkpoint is
// kept: a coordinator never asks about an earlier one.
//
// Not thread-safe; no I/O.
#pragma once

#include <functional>
#include <vector>

#include "weir/runtime/messages.pb.h"

namespace weir {

class AttemptAnswers {
 public:
  using Send = std::function<void(const runtime::ToCoordinator&)>;

  // True if the command is new and is to be done; else its answers so far have been given to
  // `send` again.
  bool Take(const runtime::ToExecutor& command, const Send& send);
  // To be told of everything that the executor sends.
  void OnSent(const runtime::ToCoordinator& message);

 private:
  bool deployed_ = false;
  bool recovering_ = false;
  bool started_ = false;
  bool draining_ = false;
  uint64_t triggered_ = 0;
  uint64_t completed_ = 0;
  uint64_t finishing_ = 0;
  std::vector<runtime::ToCoordinator> of_deploy_;  // tasks that opened, finished or failed
  std::vector<runtime::ToCoordinator> of_recover_;
  std::vector<runtime::ToCoordinator> of_trigger_;
  std::vector<runtime::ToCoordinator> of_complete_;
  std::vector<runtime::ToCoordinator> of_finish_;
};

}  // namespace weir
