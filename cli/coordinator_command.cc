#include <fmt/format.h>
#include <signal.h>

#include <optional>
#include <thread>

#include "cli/commands.h"
#include "cli/process_log.h"
#include "cli/security.h"
#include "cli/signals.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/limits.h"
#include "runtime/rest/rest_server.h"
#include "runtime/worker/worker_process.h"

namespace weir::cli {
namespace {

// One that no job could run on would join, and fail what is placed there.
StatusOr<uint64_t> ReadWorkerMemory(const std::string& flag) {
  StatusOr<uint64_t> memory = ParseSize(flag);
  if (!memory.ok() || *memory >= limits::kExecutorMemoryBytesMin) return memory;
  return absl::InvalidArgumentError(
      fmt::format("{} is less than any job can run in: give at least {}, of which a job gets the "
                  "share of the slots that it takes",
                  flag, FormatSize(limits::kExecutorMemoryBytesMin)));
}

// --memory-limit, as WorkerOptions has it.
Status ReadMemoryLimit(const std::string& flag, std::optional<uint64_t>& limit) {
  limit = 0;
  if (flag.empty()) return absl::OkStatus();
  limit = std::nullopt;
  if (flag == "off") return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(limit, ParseSize(flag));
  if (*limit > 0) return absl::OkStatus();
  return absl::InvalidArgumentError("a size above 0, or off");
}

// A file of one line is a token to join with, and says nothing of who may ask this worker.
StatusOr<Security> OpenWorkerSecurity(SecurityOptions options, const Address& http,
                                      std::function<void(std::string_view line)> log) {
  if (IsLoopback(http.host) && !options.token_file.empty() &&
      !ReadTokenFile(options.token_file).ok()) {
    options.token_file.clear();
  }
  return OpenSecurity(options, {{"--http", http}}, std::move(log));
}

}  // namespace

int RunCoordinator(const CoordinatorFlags& flags) {
  SignalThread signals({SIGINT, SIGTERM});
  ProcessLog process(flags.log_format, LogFormat::kText);
  const auto say = [&process](const LogLine& line) { process.log().Write(line); };
  const auto warn = [&say](std::string_view line) { say(LogLine::Warning(line)); };
  const StatusOr<Address> listen = ParseAddress(flags.listen);
  if (!listen.ok()) return process.Fail(Annotate(listen.status(), "--listen"), kUsage);
  const StatusOr<Address> rpc_listen = ParseAddress(flags.rpc_listen);
  if (!rpc_listen.ok()) return process.Fail(Annotate(rpc_listen.status(), "--rpc-listen"), kUsage);
  const StatusOr<Security> security =
      OpenSecurity(flags.security, {{"--listen", *listen}, {"--rpc-listen", *rpc_listen}}, warn);
  if (!security.ok()) return process.Fail(security.status());
  NetworkThread network;
  CoordinatorOptions options;
  options.tls = security->tls;
  options.tokens = security->tokens;
  options.data_dir = flags.data;
  options.checkpoints = flags.checkpoints;
  options.rpc_listen = *rpc_listen;
  options.program = ThisProgram();
  options.log = say;
  StatusOr<std::unique_ptr<Coordinator>> coordinator =
      Coordinator::Start(network, RealEnvironment(), std::move(options));
  if (!coordinator.ok()) return process.Fail(coordinator.status());
  RestServer::Options rest;
  rest.log = warn;
  Apply(*security, rest);
  StatusOr<std::unique_ptr<RestServer>> server =
      RestServer::Start(network, *listen, **coordinator, std::move(rest));
  if (!server.ok()) return process.Fail(server.status());
  say(fmt::format("coordinator: REST on {}://{}, workers join {}", security->tls ? "https" : "http",
                  (*server)->address().ToString(), (*coordinator)->rpc_address().ToString()));
  signals.Watch(EndsAtOnceTheSecondTime([&] { (*coordinator)->Stop(); }));
  (*coordinator)->Run();
  say("coordinator: ended; jobs that run go on until it is started again");
  return kDone;
}

int RunWorker(const WorkerFlags& flags) {
  SignalThread signals({SIGINT, SIGTERM});
  ProcessLog process(flags.log_format, LogFormat::kText);
  const auto say = [&process](const LogLine& line) { process.log().Write(line); };
  const auto warn = [&say](std::string_view line) { say(LogLine::Warning(line)); };
  const StatusOr<Address> join = ParseAddress(flags.join);
  if (!join.ok()) return process.Fail(Annotate(join.status(), "--join"), kUsage);
  const StatusOr<Address> http = ParseAddress(flags.http);
  if (!http.ok()) return process.Fail(Annotate(http.status(), "--http"), kUsage);
  const StatusOr<uint64_t> memory = ReadWorkerMemory(flags.memory);
  if (!memory.ok()) return process.Fail(Annotate(memory.status(), "--memory"), kUsage);
  StatusOr<Security> security = OpenWorkerSecurity(flags.security, *http, warn);
  if (!security.ok()) return process.Fail(security.status());
  NetworkThread network;
  WorkerOptions options;
  options.tls = security->tls;
  options.tls_files = flags.security.tls;
  if (!flags.security.token_file.empty()) {
    StatusOr<std::string> token = ReadToken(flags.security.token_file);
    if (!token.ok()) return PrintError(token.status()), ExitCodeOf(token.status());
    options.token = *std::move(token);
  }
  options.data_dir = flags.data;
  options.join = *join;
  options.slots =
      flags.slots > 0 ? flags.slots : static_cast<int>(std::thread::hardware_concurrency());
  options.memory_bytes = *memory;
  options.program = ThisProgram();
  options.log_format = flags.log_format;
  const Status limit = ReadMemoryLimit(flags.memory_limit, options.memory_limit_bytes);
  if (!limit.ok()) return process.Fail(Annotate(limit, "--memory-limit"), kUsage);
  options.log = say;
  std::atomic<WorkerProcess*> running = nullptr;
  RestServer::WorkerStatus status;
  status.ready = [&]() -> Status {
    const WorkerProcess* worker = running;
    return worker == nullptr ? absl::UnavailableError("the worker is starting") : worker->Ready();
  };
  status.snapshot = [&] {
    const WorkerProcess* worker = running;
    return worker == nullptr ? rest::Snapshot() : worker->Snapshot();
  };
  RestServer::Options rest;
  rest.log = warn;
  Apply(*security, rest);
  StatusOr<std::unique_ptr<RestServer>> server =
      RestServer::StartOnWorker(network, *http, std::move(status), std::move(rest));
  if (!server.ok()) return process.Fail(server.status());
  options.http = (*server)->address().ToString();
  say(fmt::format("worker: metrics on {}://{}/metrics", security->tls ? "https" : "http",
                  options.http));
  StatusOr<std::unique_ptr<WorkerProcess>> worker =
      WorkerProcess::Make(network, RealEnvironment(), std::move(options));
  if (!worker.ok()) return process.Fail(worker.status());
  running = worker->get();
  signals.Watch(EndsAtOnceTheSecondTime([&] { (*worker)->RequestLeave(); }));
  const Status result = (*worker)->Run();
  server->reset();  // before the worker that it asks
  if (result.ok()) return kDone;
  return process.Fail(result);
}

}  // namespace weir::cli
