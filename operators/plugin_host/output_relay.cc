#include "operators/plugin_host/output_relay.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <climits>
#include <utility>

#include "core/limits.h"

namespace weir::plugin_host {

OutputRelay::OutputRelay(int from, int to, std::string prefix)
    : from_(from), to_(to), prefix_(std::move(prefix)) {}

OutputRelay::~OutputRelay() {
  const std::string line = DroppedLines();
  [[maybe_unused]] const ssize_t written = write(to_, line.data(), line.size());
}

std::string OutputRelay::DroppedLines() {
  if (dropped_lines_ == 0) return "";
  return prefix_ + "(" + std::to_string(std::exchange(dropped_lines_, 0)) +
         " lines that are not shown)\n";
}

void OutputRelay::Pump(bool all) {
  char bytes[4096];
  ssize_t size;
  while ((size = read(from_, bytes, sizeof(bytes))) > 0) {
    std::string_view rest(bytes, static_cast<size_t>(size));
    while (!rest.empty()) {
      const size_t end = rest.find('\n');
      line_ += rest.substr(0, end);
      // So that a line is written as a whole: PIPE_BUF bytes are.
      const size_t most = PIPE_BUF - prefix_.size() - 1;
      if (line_.size() > most) line_.resize(most);
      if (end == std::string_view::npos) break;
      Write(line_);
      line_.clear();
      rest.remove_prefix(end + 1);
    }
  }
  if (all && !line_.empty()) {
    Write(line_);
    line_.clear();
  }
}

void OutputRelay::Write(std::string_view text) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  std::string line = prefix_;
  if (now.tv_sec != second_) {
    second_ = now.tv_sec;
    written_ = 0;
    line = DroppedLines() + prefix_;
  }
  line.append(text);
  line += '\n';
  // A reader that does not read must not hold the keeper up.
  pollfd ready{to_, POLLOUT, 0};
  if (written_ + line.size() > limits::kIsolatedLogBytesPerSecond || poll(&ready, 1, 0) != 1 ||
      write(to_, line.data(), line.size()) < 0) {
    ++dropped_lines_;
    return;
  }
  written_ += line.size();
}

}  // namespace weir::plugin_host
