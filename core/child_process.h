// ChildProcess: another program that this one has started and looks after. The one place where Weir
// makes a process.
//
// The child is in a session of its own, so that Ctrl-C in a terminal reaches it only through its
// parent; it has the signal mask and handlers of a fresh process, and no descriptors but standard
// input (empty), output and error, and those it is given. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/status.h"

namespace weir {

class ChildProcess {
 public:
  struct Options {
    std::string path;
    std::vector<std::string> arguments;  // behind the program's own name
    // Descriptors of this process and, in order, what they are in the child: 3, 4, ...
    std::vector<int> descriptors;
    // What is its standard error; -1: that of this process.
    int error_descriptor = -1;
  };
  static StatusOr<ChildProcess> Start(const Options& options);

  ChildProcess() = default;
  ChildProcess(ChildProcess&& other) noexcept : pid_(std::exchange(other.pid_, 0)) {}
  ChildProcess& operator=(ChildProcess&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~ChildProcess() { End(); }

  // 0: there is none.
  pid_t pid() const { return pid_; }
  // Ends it at once, if it still runs, waits until it is gone, and tells how it ended, as waitpid()
  // does.
  int End();
  // The same if it has ended by itself; nullopt: it still runs.
  std::optional<int> Ended();

 private:
  explicit ChildProcess(pid_t pid) : pid_(pid) {}
  pid_t pid_ = 0;
};

// What waitpid() told, for a message: "was ended by SIGSEGV (Segmentation fault)", "exited with
// code 3".
std::string DescribeWaitStatus(int wait_status);
// False where the signal that ended the process is one that somebody else sends (SIGKILL, SIGTERM),
// and not one for something that went wrong in it.
bool EndedByItself(int wait_status);

}  // namespace weir
