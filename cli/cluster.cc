#include "cli/cluster.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "core/environment.h"
#include "core/limits.h"
#include "runtime/security/token_file.h"

namespace weir::cli {
namespace {

std::string FromEnvironment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

StatusOr<std::string> TokenOf(const std::string& token_file) {
  if (!token_file.empty()) {
    StatusOr<std::string> token = ReadToken(token_file);
    return token.ok() ? token : Annotate(token.status(), "--token-file");
  }
  std::string token = FromEnvironment("WEIR_TOKEN");
  // It becomes a header field: a line break in it would begin another one.
  if (!token.empty() && !IsToken(token)) {
    return absl::InvalidArgumentError(
        "WEIR_TOKEN: this is no token, which is one line of characters without blanks");
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
  RestClient::Options options{*std::move(coordinator)};
  WEIR_ASSIGN_OR_RETURN(options.token, TokenOf(flags.token_file));
  TlsFiles tls;
  tls.ca = flags.tls_ca.empty() ? FromEnvironment("WEIR_TLS_CA") : flags.tls_ca;
  if (!tls.ca.empty()) {
    WEIR_ASSIGN_OR_RETURN(options.tls, LoadTls(tls));
  }
  return RestClient(std::move(options));
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

void EndOnCtrlC() {
  (void)std::signal(SIGINT, [](int) { _exit(kInterrupted); });
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
