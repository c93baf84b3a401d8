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

// The job as the coordinator's process built it: of the same code and the same files, whatever has
// become of them since.
StatusOr<LoadedJob> BuildAgain(const runtime::ExecutorStart& start) {
  WEIR_ASSIGN_OR_RETURN(JobLibrary library, LoadLibrary(start.library()));
  if (library.sha256() != start.library_sha256()) {
    return absl::FailedPreconditionError(
        fmt::format("{} has changed since the job was started; start it again", start.library()));
  }
  std::vector<Resource> resources;
  for (const runtime::ResourceFile& file : start.resources()) {
    resources.push_back({file.name(), file.path(), file.content(), Sha256Hex(file.content())});
  }
  Parameters parameters(Parameters::Values(start.parameters().begin(), start.parameters().end()),
                        ResourcesThatTravelled(resources, /*plugins=*/false), /*working_dir=*/"",
                        ResourcesThatTravelled(resources, /*plugins=*/true));
  WEIR_ASSIGN_OR_RETURN(BuiltJob built, library.Build(parameters));
  return LoadedJob{std::move(library), std::move(parameters), std::move(built)};
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
