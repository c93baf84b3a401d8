// The folder of --data, or of another flag, which belongs to one process at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/environment.h"

namespace weir {

// Makes the folder if there is none, and locks it: held as long as the result lives. Who held it a
// moment ago, as executors of a run that was killed, is waited for, at most a second. Unavailable:
// another process has it. InvalidArgument, FailedPrecondition or ResourceExhausted: it cannot be.
// `flag` is who names the folder, for errors.
StatusOr<std::unique_ptr<FileLock>> LockDataFolder(Environment& env, const std::string& data,
                                                   std::string_view flag = "--data");

}  // namespace weir
