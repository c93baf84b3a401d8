#include "cli/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "core/environment.h"
#include "core/limits.h"

namespace weir::cli {
namespace {

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// Of a header field: a line break in it would begin another one.
bool IsToken(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
}

StatusOr<std::string> ReadToken(const std::string& token_file) {
  std::string token = FromEnvironment("WEIR_TOKEN");
  std::string where = "WEIR_TOKEN";
  if (!token_file.empty()) {
    where = "--token-file " + token_file;
    StatusOr<std::string> content = ReadFile(RealEnvironment().disk, token_file);
    if (!content.ok()) return Annotate(content.status(), "--token-file");
    token = content->substr(0, content->find_last_not_of(" \t\r\n") + 1);
  } else if (token.empty()) {
    return token;
  }
  if (!IsToken(token)) {
    return absl::InvalidArgumentError(
        where + ": this is no token, which is one line of characters without blanks");
  }
  return token;
}

void Pause(Duration duration) { std::this_thread::sleep_for(std::chrono::microseconds(duration)); }

}  // namespace

StatusOr<RestClient> OpenCluster(const ClusterFlags& flags) {
  std::string where = "--coordinator";
  std::string address = flags.coordinator;
  if (address.empty()) {
    where = "WEIR_COORDINATOR";
    address = FromEnvironment("WEIR_COORDINATOR");
  }
  if (address.empty()) address = kCoordinatorDefault;
  StatusOr<Address> coordinator = ParseAddress(address);
  if (!coordinator.ok()) return Annotate(coordinator.status(), where);
  WEIR_ASSIGN_OR_RETURN(std::string token, ReadToken(flags.token_file));
  return RestClient({*std::move(coordinator), std::move(token)});
}

StatusOr<std::string> JobPath(const std::string& job) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  };
  if (job.empty() || job.size() > limits::kRestIdBytesMax || job[0] == '.' ||
      !std::all_of(job.begin(), job.end(), fits)) {
    return absl::InvalidArgumentError(
        fmt::format("'{}' is no job's id; `weir list` shows them", job));
  }
  return "/v1/jobs/" + job;
}

ExitCode ExitCodeOfAnswer(const Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInternal:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
      return kUnreachable;
    default:
      return ExitCodeOf(status);
  }
}

Status AskPatiently(const RestClient& client, const std::function<Status()>& ask) {
  bool away = false;
  while (true) {
    const Status status = ask();
    if (!absl::IsUnavailable(status)) {
      if (away) std::cerr << "weir: the coordinator is back\n";
      return status;
    }
    if (!away) {
      std::cerr << fmt::format("weir: the coordinator at {} is away; waiting for it\n",
                               client.coordinator().ToString());
    }
    away = true;
    Pause(limits::kRestRetryInterval);
  }
}

StatusOr<rest::Job> AwaitEnd(const RestClient& client, const std::string& job_path,
                             const std::function<void(const rest::Job&)>& seen) {
  rest::Job job;
  while (true) {
    WEIR_RETURN_IF_ERROR(AskPatiently(client, [&] { return client.Get(job_path, job); }));
    seen(job);
    if (job.ended()) return job;
    Pause(limits::kRestPollInterval);
  }
}

StatusOr<rest::SavepointOperation> AwaitSavepoint(const RestClient& client,
                                                  const std::string& job_path,
                                                  const std::string& operation) {
  const std::string path = job_path + "/savepoints/" + operation;
  rest::SavepointOperation savepoint;
  while (true) {
    WEIR_RETURN_IF_ERROR(AskPatiently(client, [&] { return client.Get(path, savepoint); }));
    if (savepoint.state() == "FAILED") {
      return absl::AbortedError("the savepoint failed: " + savepoint.failure());
    }
    if (savepoint.state() == "COMPLETED") return savepoint;
    Pause(limits::kRestPollInterval);
  }
}

}  // namespace weir::cli
