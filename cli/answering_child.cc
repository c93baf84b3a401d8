#include "cli/answering_child.h"

#include <absl/cleanup/cleanup.h>
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <utility>

#include "cli/common.h"
#include "core/child_process.h"
#include "core/environment.h"
#include "core/shared_memory.h"

namespace weir::cli {
namespace {

// Where the child finds the file for its answer, and the one with the question.
constexpr const char* kAnswerFile = "/proc/self/fd/3";
constexpr const char* kQuestionFile = "/proc/self/fd/4";
constexpr auto kLookInterval = std::chrono::milliseconds(5);

StatusOr<int> WaitFor(ChildProcess& child, const std::function<bool()>& stopped) {
  for (;;) {
    if (const std::optional<int> ended = child.Ended()) return *ended;
    if (stopped && stopped()) {
      child.End();
      return absl::CancelledError("stopped");
    }
    std::this_thread::sleep_for(kLookInterval);
  }
}

}  // namespace

StatusOr<ChildAnswer> AskChild(std::vector<std::string> arguments,
                               const std::function<bool()>& stopped, std::string_view question) {
  WEIR_ASSIGN_OR_RETURN(const int answered, FileInMemory("weir-answer", ""));
  const absl::Cleanup close_answered = [answered] { close(answered); };
  WEIR_ASSIGN_OR_RETURN(const int asked, FileInMemory("weir-question", question));
  const absl::Cleanup close_asked = [asked] { close(asked); };
  WEIR_ASSIGN_OR_RETURN(
      ChildProcess child,
      ChildProcess::Start({ThisProgram(), std::move(arguments), {answered, asked}}));
  ChildAnswer answer;
  WEIR_ASSIGN_OR_RETURN(answer.wait_status, WaitFor(child, stopped));
  WEIR_ASSIGN_OR_RETURN(
      answer.bytes, ReadFile(RealEnvironment().disk, fmt::format("/proc/self/fd/{}", answered)));
  return answer;
}

StatusOr<std::string> Question() { return ReadFile(RealEnvironment().disk, kQuestionFile); }

Status Answer(std::string_view bytes) {
  WEIR_ASSIGN_OR_RETURN(const auto file, RealEnvironment().disk.Create(kAnswerFile));
  WEIR_RETURN_IF_ERROR(file->Append(bytes));
  return file->Close();
}

}  // namespace weir::cli
