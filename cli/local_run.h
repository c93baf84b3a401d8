// What the commands share that run a job on this machine until it ends.
#pragma once

#include <functional>
#include <optional>

#include "cli/common.h"
#include "cli/process_log.h"
#include "cli/signals.h"
#include "runtime/local_job.h"

namespace weir::cli {

ExitCode ExitCodeOf(const LocalJobResult& result);

// The loaded job's identity, and how processes are started that run the same job.
LocalJobOptions LocalOptionsOf(const LoadedJob& loaded);

// Runs it until it ends, with its progress on stderr. Ctrl-C and SIGTERM are a stop with a
// checkpoint, a second one an end at once, and SIGHUP a reload; a job that has nothing to reload
// takes SIGHUP as any process does. watch: called a few times a second; may be empty. Nothing
// comes back where it could not begin. Errors have been told, and exit_code says how to end.
std::optional<LocalJobResult> RunLocally(
    const LoadedJob& loaded, const LocalJobOptions& options, SignalThread& signals,
    ProcessLog& process, const std::function<void(LocalJob&, const JobStatus&)>& watch,
    int& exit_code);

}  // namespace weir::cli
