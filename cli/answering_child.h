// This program, started again as another of its commands that answers in bytes: what loads a
// version of a job, which no two may in one process.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace weir::cli {

struct ChildAnswer {
  int wait_status = 0;
  std::string bytes;  // empty: it has not answered
};
// Waits until it has ended; until then `stopped` is asked again and again, and ends it at once when
// it says so (Cancelled). May be empty. question: what is too much for an argument.
StatusOr<ChildAnswer> AskChild(std::vector<std::string> arguments,
                               const std::function<bool()>& stopped = nullptr,
                               std::string_view question = "");

// In the child: what it was asked, and its answer, once.
StatusOr<std::string> Question();
Status Answer(std::string_view bytes);

}  // namespace weir::cli
