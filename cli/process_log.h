// ProcessLog: what a command that runs for long says on stderr, from its first word on: its log,
// and why it ends, which is told as every command tells it, or as one more object where objects
// were asked for.
#pragma once

#include <string>

#include "cli/common.h"
#include "core/environment.h"
#include "runtime/log.h"

namespace weir::cli {

class ProcessLog {
 public:
  // `text` is what it is unless the flag says "json".
  ProcessLog(const std::string& flag, LogFormat text)
      : format_(flag == "json" ? LogFormat::kJson : text), log_(format_, RealEnvironment().clock) {}

  // Thread-safe, as it is.
  Log& log() { return log_; }
  bool json() const { return format_ == LogFormat::kJson; }

  ExitCode Fail(const Status& status, ExitCode code) {
    json() ? log_.Write(LogLine::Error(std::string(status.message()))) : PrintError(status);
    return code;
  }
  ExitCode Fail(const Status& status) { return Fail(status, ExitCodeOf(status)); }

 private:
  const LogFormat format_;
  Log log_;
};

}  // namespace weir::cli
