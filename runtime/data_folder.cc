#include "runtime/data_folder.h"

#include <fmt/format.h>

#include <chrono>
#include <thread>

namespace weir {
namespace {

constexpr auto kLockRetryInterval = std::chrono::milliseconds(20);
constexpr int kLockTries = 50;

}  // namespace

StatusOr<std::unique_ptr<FileLock>> LockDataFolder(Environment& env, const std::string& data) {
  if (data.empty()) return absl::InvalidArgumentError("--data is empty: it names a folder");
  if (Status made = env.disk.MakeDirectories(data); !made.ok()) {
    if (absl::IsResourceExhausted(made)) return Annotate(made, fmt::format("--data {}", data));
    // Whatever else it is, a file of that name or a permission, it is for the user to mend.
    return absl::FailedPreconditionError(fmt::format(
        "--data {}: {}; name a folder that can be written to", data, std::string(made.message())));
  }
  StatusOr<std::unique_ptr<FileLock>> lock = FileLock::Acquire(data + "/lock");
  for (int i = 0; absl::IsUnavailable(lock.status()) && i < kLockTries; ++i) {
    std::this_thread::sleep_for(kLockRetryInterval);
    lock = FileLock::Acquire(data + "/lock");
  }
  if (absl::IsUnavailable(lock.status())) {
    return Annotate(lock.status(),
                    fmt::format("the data folder {} is in use by another process; wait "
                                "for it, or choose another folder with --data",
                                data));
  }
  if (!lock.ok()) return Annotate(lock.status(), fmt::format("--data {}", data));
  return lock;
}

}  // namespace weir
