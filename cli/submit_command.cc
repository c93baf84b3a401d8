#include <fmt/format.h>

#include <filesystem>
#include <iostream>

#include "cli/cluster.h"
#include "cli/cluster_report.h"
#include "cli/commands.h"
#include "core/environment.h"
#include "core/json.h"
#include "runtime/rest/rest_json.h"

namespace weir::cli {
namespace {

ExitCode ExitCodeOfEnd(const rest::Job& job) {
  if (job.state() == "FINISHED") return kDone;
  return job.state() == "SUSPENDED" ? kInterrupted : kJobFailed;
}

// What the coordinator is asked to run. InvalidArgument where something of it cannot be said in
// JSON.
StatusOr<rest::SubmitRequest> RequestOf(const SubmitFlags& flags, const LoadedJob& loaded,
                                        Duration interval) {
  rest::SubmitRequest request;
  request.set_library_sha256(loaded.library.sha256());
  for (const auto& [name, value] : loaded.parameters.values()) {
    if (!IsValidUtf8(name) || !IsValidUtf8(value)) {
      return absl::InvalidArgumentError(
          fmt::format("-D {}: what is sent to a cluster must be UTF-8", name));
    }
    (*request.mutable_parameters())[name] = value;
  }
  for (const Resource& resource : loaded.parameters.resources()) {
    if (!IsValidUtf8(resource.name) || !IsValidUtf8(resource.path)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: what is sent to a cluster must be UTF-8, names too", resource.path));
    }
    rest::Resource& sent = *request.add_resources();
    sent.set_name(resource.name);
    sent.set_path(resource.path);
    sent.set_sha256(resource.sha256);
  }
  request.set_parallelism(static_cast<uint32_t>(flags.parallelism));
  request.set_checkpoint_interval_seconds(static_cast<double>(interval) / 1e6);
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

Status SendFiles(const RestClient& client, const LoadedJob& loaded) {
  StatusOr<std::string> library = ReadFile(RealEnvironment().disk, loaded.library.path());
  if (!library.ok()) return absl::InvalidArgumentError(std::string(library.status().message()));
  if (Sha256Hex(*library) != loaded.library.sha256()) {
    return absl::FailedPreconditionError(
        loaded.library.path() + " has changed while it was being submitted; submit it again");
  }
  if (Status sent = client.SendBlob(loaded.library.sha256(), *library); !sent.ok()) {
    return Annotate(sent, loaded.library.path());
  }
  for (const Resource& resource : loaded.parameters.resources()) {
    if (Status sent = client.SendBlob(resource.sha256, resource.bytes); !sent.ok()) {
      return Annotate(sent, resource.name);
    }
  }
  return absl::OkStatus();
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
