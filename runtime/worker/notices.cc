#include "runtime/worker/notices.h"

#include <fmt/format.h>

#include <optional>

namespace weir {

void Notices::Say(const std::string& stage, int subtask, std::string_view line, bool warning) {
  std::optional<uint64_t> left_out;
  {
    std::lock_guard lock(mutex_);
    const auto at = limits_.try_emplace({stage, warning}, lines_max_).first;
    left_out = at->second.Admit(clock_.MonotonicMicros());
  }
  if (!left_out) return;
  runtime::Notice notice;
  notice.set_stage(stage);
  notice.set_subtask(subtask);
  notice.set_warning(warning);
  if (*left_out > 0) {
    notice.set_line(fmt::format("{} lines of this stage were left out", *left_out));
    send_(notice);
  }
  notice.set_line(std::string(line));
  send_(notice);
}

}  // namespace weir
