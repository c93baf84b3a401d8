#include "runtime/worker/attempt_answers.h"

#include <utility>

namespace weir {

bool AttemptAnswers::Take(const runtime::ToExecutor& command, const Send& send) {
  const auto again = [&](const std::vector<runtime::ToCoordinator>& answers) {
    for (const runtime::ToCoordinator& answer : answers) send(answer);
    return false;
  };
  // Checkpoints rise: one that is not above the last was taken before.
  const auto newer = [](uint64_t number, uint64_t& last,
                        std::vector<runtime::ToCoordinator>& answers) {
    if (number <= last) return false;
    last = number;
    answers.clear();
    return true;
  };
  using Kind = runtime::ToExecutor;
  switch (command.message_case()) {
    case Kind::kDeploy:
      return std::exchange(deployed_, true) ? again(of_deploy_) : true;
    case Kind::kRecoverSinks:
      return std::exchange(recovering_, true) ? again(of_recover_) : true;
    case Kind::kStartInput:
      return !std::exchange(started_, true);
    case Kind::kDrainSources:
      return !std::exchange(draining_, true);
    case Kind::kTriggerCheckpoint:
      return newer(command.trigger_checkpoint().checkpoint(), triggered_, of_trigger_) ||
             again(of_trigger_);
    case Kind::kCheckpointComplete:
      return newer(command.checkpoint_complete().checkpoint(), completed_, of_complete_) ||
             again(of_complete_);
    case Kind::kFinishCommit:
      return newer(command.finish_commit().checkpoint(), finishing_, of_finish_) ||
             again(of_finish_);
    case Kind::kCancel:
    case Kind::MESSAGE_NOT_SET:
      return true;
  }
  return true;
}

void AttemptAnswers::OnSent(const runtime::ToCoordinator& message) {
  using Kind = runtime::ToCoordinator;
  switch (message.message_case()) {
    case Kind::kTaskOpened:
    case Kind::kTaskFinished:
    case Kind::kTaskFailed:
      return of_deploy_.push_back(message);
    case Kind::kSinksRecovered:
      return of_recover_.push_back(message);
    case Kind::kCheckpointAck:
      if (message.checkpoint_ack().checkpoint() == triggered_) of_trigger_.push_back(message);
      return;
    case Kind::kCommitted:
      return of_complete_.push_back(message);
    case Kind::kCommitFinished:
      return of_finish_.push_back(message);
    default:
      return;  // progress comes again by itself; behind Canceled there is nothing
  }
}

}  // namespace weir
