#include "cli/common.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <sstream>

namespace weir::cli {
namespace {

std::vector<std::string> PluginFolders() {
  std::vector<std::string> folders;
  if (const char* path = std::getenv("WEIR_PLUGIN_PATH")) {
    std::istringstream parts{std::string(path)};
    for (std::string folder; std::getline(parts, folder, ':');) {
      if (!folder.empty()) folders.push_back(std::filesystem::absolute(folder).lexically_normal());
    }
  }
  if (const std::filesystem::path root = InstallationRoot(); !root.empty()) {
    folders.push_back(root / "plugins");           // of a build
    folders.push_back(root / "lib/weir/plugins");  // where it is installed
  }
  return folders;
}

}  // namespace

std::string InstallationRoot() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "" : program.parent_path().parent_path().string();
}

StatusOr<JobLibrary> LoadLibrary(const std::string& library) {
  std::error_code error;
  const bool is_name = library.find('/') == std::string::npos && library.find('.') == library.npos;
  if (!is_name || std::filesystem::is_regular_file(library, error)) {
    return JobLibrary::Load(library);
  }
  std::vector<std::string> folders;
  for (const char* folder : {"jobs", "lib/weir/jobs"}) {
    const std::filesystem::path path = std::filesystem::path(InstallationRoot()) / folder;
    const std::filesystem::path file = path / ("lib" + library + ".so");
    if (std::filesystem::exists(file, error)) return JobLibrary::Load(file);
    folders.push_back(path);
  }
  return absl::NotFoundError(
      fmt::format("there is no job library '{}': no such file here, and no lib{}.so in {}; name a "
                  "library by its path, such as build/jobs/lib{}.so",
                  library, library, fmt::join(folders, " or "), library));
}

std::optional<LoadedJob> LoadJob(const JobFlags& flags, int& exit_code) {
  StatusOr<JobLibrary> library = LoadLibrary(flags.library);
  if (!library.ok()) {
    PrintError(library.status());
    exit_code = kConfiguration;
    return std::nullopt;
  }
  if (flags.help) {
    PrintParameters(*library);
    exit_code = kDone;
    return std::nullopt;
  }
  StatusOr<Parameters::Values> values = ParseParameters(flags.parameters);
  if (!values.ok()) {
    PrintError(values.status());
    exit_code = kUsage;
    return std::nullopt;
  }
  Parameters parameters = LocalParameters(*std::move(values));
  StatusOr<BuiltJob> built = library->Build(parameters);
  if (!built.ok()) {
    PrintError(built.status());
    exit_code = kConfiguration;
    return std::nullopt;
  }
  return LoadedJob{*std::move(library), std::move(parameters), *std::move(built)};
}

Parameters LocalParameters(Parameters::Values values) {
  return Parameters(std::move(values), LocalResources(), "", PluginsIn(PluginFolders()));
}

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
  parameters.set_part(start.part());
  WEIR_ASSIGN_OR_RETURN(BuiltJob built, library.Build(parameters));
  return LoadedJob{std::move(library), std::move(parameters), std::move(built)};
}

std::string ThisProgram() {
  constexpr const char* kThisProgram = "/proc/self/exe";
  return RealEnvironment().disk.Canonical(kThisProgram).value_or(kThisProgram);
}

ExitCode ExitCodeOf(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kAborted:
      return kJobFailed;
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kResourceExhausted:  // a full disk is no wrong configuration
      return kUnreachable;
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return kCheckpointDoesNotFit;
    default:
      return kConfiguration;
  }
}

int FinishOutput(ExitCode code) {
  if (std::cout.flush()) return code;
  PrintError(absl::UnavailableError("the result could not be written to standard output"));
  return code == kDone ? kUnreachable : code;
}

void RaiseOpenFilesLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  // Where this fails the old limit stays, and an error that comes of it says what to do.
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

void PrintError(const Status& status) {
  std::istringstream lines{std::string(status.message())};
  for (std::string line; std::getline(lines, line);) std::cerr << "weir: " << line << "\n";
}

StatusOr<Parameters::Values> ParseParameters(const std::vector<std::string>& flags) {
  Parameters::Values values;
  for (const std::string& flag : flags) {
    const size_t equals = flag.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: a parameter is given as key=value", flag));
    }
    if (!values.emplace(flag.substr(0, equals), flag.substr(equals + 1)).second) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: the parameter is given twice", flag.substr(0, equals)));
    }
  }
  return values;
}

void PrintParameters(const JobLibrary& library) {
  std::cout << "Parameters of " << library.name() << ", each given as -D name=value:\n";
  for (const Parameters::Declaration& declared : library.Describe()) {
    std::string note = "required";
    if (declared.fallback) {
      note = declared.fallback->empty() ? "optional" : "default " + *declared.fallback;
    }
    std::cout << fmt::format("  {:<15} {:<11} {} ({})\n", declared.name, declared.type,
                             declared.help, note);
  }
}

}  // namespace weir::cli
