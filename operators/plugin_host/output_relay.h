// OutputRelay: passes on what a plugin prints, a line at a time with the plugin's name in front,
// and no more of it than is good for a log. Used by the keeper, on its one thread; never blocks.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir::plugin_host {

class OutputRelay {
 public:
  // Reads `from`, a pipe that does not block; writes to `to`. `prefix` is in front of each line.
  OutputRelay(int from, int to, std::string prefix);
  // Tells what has not been shown.
  ~OutputRelay();
  // Passes on what there is. With `all`, a last line that has not ended as well.
  void Pump(bool all);

 private:
  void Write(std::string_view line);
  std::string DroppedLines();

  const int from_;
  const int to_;
  const std::string prefix_;
  std::string line_;    // that has not ended
  int64_t second_ = 0;  // in which `written_` bytes were written
  uint64_t written_ = 0;
  uint64_t dropped_lines_ = 0;
};

}  // namespace weir::plugin_host
