#include "runtime/data_folder.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace weir {
namespace {

constexpr auto kLockRetryInterval = std::chrono::milliseconds(20);
constexpr int kLockTries = 50;

}  // namespace

StatusOr<std::unique_ptr<FileLock>> LockDataFolder(Environment& env, const std::string& data,
                                                   std::string_view flag) {
  if (data.empty())
    return absl::InvalidArgumentError(fmt::format("{} is empty: it names a folder", flag));
  if (Status made = env.disk.MakeDirectories(data); !made.ok()) {
    if (absl::IsResourceExhausted(made)) return Annotate(made, fmt::format("{} {}", flag, data));
    // Whatever else it is, a file of that name or a permission, it is for the user to mend.
    return absl::FailedPreconditionError(
        fmt::format("{} {}: {}; name a folder that can be written to", flag, data,
                    std::string(made.message())));
  }
  StatusOr<std::unique_ptr<FileLock>> lock = FileLock::Acquire(data + "/lock");
  for (int i = 0; absl::IsUnavailable(lock.status()) && i < kLockTries; ++i) {
    std::this_thread::sleep_for(kLockRetryInterval);
    lock = FileLock::Acquire(data + "/lock");
  }
  if (absl::IsUnavailable(lock.status())) {
    return Annotate(
        lock.status(),
        fmt::format("the folder {} is in use by another process; wait for it, or choose "
                    "another folder with {}",
                    data, flag));
  }
  if (!lock.ok()) return Annotate(lock.status(), fmt::format("{} {}", flag, data));
  return lock;
}

}  // namespace weir
