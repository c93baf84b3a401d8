#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "cli/cluster.h"
#include "cli/cluster_report.h"
#include "cli/commands.h"
#include "cli/submission.h"
#include "runtime/rest/rest_json.h"

namespace weir::cli {
namespace {

ExitCode ExitCodeOfEnd(const rest::Job& job) {
  if (job.state() == "FINISHED") return kDone;
  return job.state() == "SUSPENDED" ? kInterrupted : kJobFailed;
}

StatusOr<rest::SubmitRequest> RequestOf(const SubmitFlags& flags, const LoadedJob& loaded,
                                        Duration interval) {
  WEIR_ASSIGN_OR_RETURN(rest::SubmitRequest request,
                        SubmissionOf(loaded, flags.parallelism, interval));
  request.set_from(flags.from);
  // A folder of this machine has another name where the coordinator runs, unless it is absolute.
  std::error_code error;
  if (!flags.from.empty() && std::filesystem::is_directory(flags.from, error)) {
    request.set_from(std::filesystem::absolute(flags.from).lexically_normal().string());
  }
  request.set_accept_duplicates(flags.accept_duplicates);
  request.set_drop_state(flags.drop_state);
  return request;
}

int WaitForEnd(const SubmitFlags& flags, const RestClient& client, const std::string& id) {
  EndOnCtrlC();
  std::cerr << "weir: waiting for the end of " << id << "; Ctrl-C ends the waiting, not the job\n";
  std::string last;
  const StatusOr<rest::Job> job = AwaitEnd(client, "/v1/jobs/" + id, [&](const rest::Job& now) {
    if (now.state() == last) return;
    last = now.state();
    std::cerr << "weir: " << StateText(now) << "\n";
  });
  if (!job.ok()) {
    PrintError(Annotate(job.status(), id));
    return ExitCodeOfAnswer(job.status());
  }
  if (flags.cluster.output == "json") std::cout << ToJson(*job) << "\n";
  return FinishOutput(ExitCodeOfEnd(*job));
}

}  // namespace

int Submit(const SubmitFlags& flags) {
  StatusOr<Duration> interval = ParseDuration(flags.checkpoint_interval);
  if (!interval.ok()) {
    return PrintError(Annotate(interval.status(), "--checkpoint-interval")), kUsage;
  }
  int exit_code = kDone;
  std::optional<LoadedJob> loaded = LoadJob(flags.job, exit_code);
  if (!loaded) return exit_code;
  StatusOr<RestClient> client = OpenCluster(flags.cluster);
  if (!client.ok()) return PrintError(client.status()), kUsage;
  StatusOr<rest::SubmitRequest> request = RequestOf(flags, *loaded, *interval);
  if (!request.ok()) return PrintError(request.status()), kConfiguration;

  rest::Submitted submitted;
  Status status = SendFiles(*client, *loaded);
  if (status.ok()) status = client->Post("/v1/jobs", *request, submitted);
  if (!status.ok()) return PrintError(status), ExitCodeOfAnswer(status);
  const bool json = flags.cluster.output == "json";
  if (!json) {
    std::cout << submitted.id() << std::endl;  // at once, for whoever reads it through a pipe
  } else if (!flags.wait) {
    std::cout << ToJson(submitted) << "\n";
  }
  return flags.wait ? WaitForEnd(flags, *client, submitted.id()) : FinishOutput(kDone);
}

}  // namespace weir::cli
