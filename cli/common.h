// What the commands share: exit codes, flags that several take, and how errors are told.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "core/status.h"
#include "jobs/job_library.h"
#include "weir/runtime/messages.pb.h"

namespace weir::cli {

enum ExitCode {
  kDone = 0,
  kJobFailed = 1,
  kUsage = 64,
  kCheckpointDoesNotFit = 65,
  kUnreachable = 69,
  kConfiguration = 78,
  kInterrupted = 130,
};

struct JobFlags {
  std::string library;
  std::vector<std::string> parameters;  // key=value
  bool help = false;
};

// Of an error before a job runs: LocalJob::Prepare() says which status means what.
ExitCode ExitCodeOf(const Status& status);

// Writes out what is left of stdout. `code`, or kUnreachable with a message where stdout took less
// than all (a full disk, a closed pipe), unless `code` says that something else went wrong.
int FinishOutput(ExitCode code);

// As many open files as the system lets this process have: shells give 1,024 of them, which is few
// for many inputs, routes and files of state.
void RaiseOpenFilesLimit();

// Prints "weir: <message>" to stderr, each line of the message on its own.
void PrintError(const Status& status);

// The parameters of the flags by name; InvalidArgument names one that is not key=value or comes
// twice.
StatusOr<Parameters::Values> ParseParameters(const std::vector<std::string>& flags);

// The folder above that of this program: the build folder, or where Weir is installed. Empty if the
// system does not tell.
std::string InstallationRoot();

// This program, to be started again as another of its commands.
std::string ThisProgram();

// The job library that a command line names: a path, or the name of a ready-made one, which is
// looked for in jobs and lib/weir/jobs of InstallationRoot().
StatusOr<JobLibrary> LoadLibrary(const std::string& library);

// The job that a command line names, built from its parameters.
struct LoadedJob {
  JobLibrary library;
  Parameters parameters;
  BuiltJob built;
};
// The job as another process built it: of the same code and the same files, whatever has become of
// them since.
StatusOr<LoadedJob> BuildAgain(const runtime::ExecutorStart& start);
// Prints the job's parameters where --help asks for them, or the error, and returns nothing then:
// `exit_code` says how to end.
std::optional<LoadedJob> LoadJob(const JobFlags& flags, int& exit_code);

// The parameters with what they name resolved on this machine: files, and plugins, which are looked
// for in the folders of WEIR_PLUGIN_PATH, then in ../plugins and ../lib/weir/plugins beside the
// folder of this program. The only place that reads the environment for a job.
Parameters LocalParameters(Parameters::Values values);

// "parameters of event_pipeline:" and a line for each.
void PrintParameters(const JobLibrary& library);

}  // namespace weir::cli
