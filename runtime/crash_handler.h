// What a process that crashes says before it dies: a line on stderr, and the same in a file, from
// which the next start knows of the crash (a kill -9 or a power cut leaves none).
//
// InstallCrashHandler() once, by the owner of the process; it takes SIGSEGV, SIGBUS, SIGFPE,
// SIGILL and SIGABRT. Every thread that may run operators' code owns a CrashStack, so that a stack
// that overflowed can be told as well. The handler is async-signal-safe, and the process then dies
// by the signal's default action, core dump included. It tells what CurrentCrashSite() says of the
// thread that crashed. A signal that another process sent is no crash: it leaves no file.
#pragma once

#include <signal.h>

#include <memory>
#include <string>

#include "core/environment.h"

namespace weir {

void InstallCrashHandler();

// Where a crash is recorded from now on; empty: nowhere. One job of a process at a time.
void SetCrashFile(const std::string& path);

// What a process that crashed left there, never empty; NotFound if it left nothing.
StatusOr<std::string> ReadCrashFile(Disk& disk, const std::string& path);

// An alternate signal stack for the thread that makes it; destroyed by the same thread.
class CrashStack {
 public:
  CrashStack();
  ~CrashStack();
  CrashStack(const CrashStack&) = delete;
  CrashStack& operator=(const CrashStack&) = delete;

 private:
  std::unique_ptr<char[]> memory_;
  stack_t before_ = {};  // a sanitizer's, or none
};

}  // namespace weir
