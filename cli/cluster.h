// What the commands that ask a cluster share: whom they ask, as whom, and how they wait for
// something that takes longer than a coordinator may live.
#pragma once

#include <functional>
#include <string>

#include "cli/commands.h"
#include "cli/rest_client.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir::cli {

// The only place that reads WEIR_COORDINATOR, WEIR_TOKEN and WEIR_TLS_CA. InvalidArgument names the
// flag or the variable that is wrong.
StatusOr<RestClient> OpenCluster(const ClusterFlags& flags);

// "/v1/jobs/JOB". InvalidArgument where this cannot be a job's id.
StatusOr<std::string> JobPath(const std::string& job);

// From here on Ctrl-C ends the process at once, with the exit code that says so: nothing that was
// asked for is undone.
void EndOnCtrlC();

// How a command ends with an answer that is an error; the same codes as of jobs on this machine.
ExitCode ExitCodeOfAnswer(const Status& status);

// Calls `ask` until it is answered by anything but Unavailable. While the coordinator is away that
// is said on stderr once, and so is that it is back.
Status AskPatiently(const RestClient& client, const std::function<Status()>& ask);

// Asks for the job until it has ended; `seen` is given each answer.
StatusOr<rest::Job> AwaitEnd(const RestClient& client, const std::string& job_path,
                             const std::function<void(const rest::Job&)>& seen);

// Asks for a savepoint until it is complete. Aborted, with the reason, where it failed.
StatusOr<rest::SavepointOperation> AwaitSavepoint(const RestClient& client,
                                                  const std::string& job_path,
                                                  const std::string& operation);

}  // namespace weir::cli
