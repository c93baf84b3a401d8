#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "cli/commands.h"
#include "runtime/worker/executor_process.h"

namespace weir::cli {
namespace {

constexpr int kStartDescriptor = 3;

StatusOr<runtime::ExecutorStart> ReadStart() {
  runtime::ExecutorStart start;
  if (fcntl(kStartDescriptor, F_GETFD) < 0 || !start.ParseFromFileDescriptor(kStartDescriptor)) {
    return absl::InvalidArgumentError(
        "weir executor is started by weir run --workers, not by hand");
  }
  close(kStartDescriptor);
  return start;
}

}  // namespace

int RunExecutor() {
  const StatusOr<runtime::ExecutorStart> start = ReadStart();
  if (!start.ok()) return PrintError(start.status()), kUsage;
  std::optional<LoadedJob> loaded;
  const auto load = [&]() -> StatusOr<const BuiltJob*> {
    WEIR_ASSIGN_OR_RETURN(LoadedJob built, BuildAgain(*start));
    loaded.emplace(std::move(built));
    return &loaded->built;
  };
  const Status status = RunExecutorProcess(*start, load, RealEnvironment());
  PrintError(status);
  return ExitCodeOf(status);
}

}  // namespace weir::cli
