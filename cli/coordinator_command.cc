#include <fmt/format.h>
#include <signal.h>

#include <iostream>
#include <thread>

#include "cli/commands.h"
#include "cli/security.h"
#include "cli/signals.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/rest/rest_server.h"
#include "runtime/worker/worker_process.h"

namespace weir::cli {
namespace {

void LogLine(std::string_view line) { std::cerr << fmt::format("weir: {}\n", line) << std::flush; }

// A file of one line is a token to join with, and says nothing of who may ask this worker.
StatusOr<Security> OpenWorkerSecurity(SecurityOptions options, const Address& http) {
  if (IsLoopback(http.host) && !options.token_file.empty() &&
      !ReadTokenFile(options.token_file).ok()) {
    options.token_file.clear();
  }
  return OpenSecurity(options, {{"--http", http}}, LogLine);
}

}  // namespace

int RunCoordinator(const CoordinatorFlags& flags) {
  SignalThread signals({SIGINT, SIGTERM});
  const StatusOr<Address> listen = ParseAddress(flags.listen);
  if (!listen.ok()) return PrintError(Annotate(listen.status(), "--listen")), kUsage;
  const StatusOr<Address> rpc_listen = ParseAddress(flags.rpc_listen);
  if (!rpc_listen.ok()) return PrintError(Annotate(rpc_listen.status(), "--rpc-listen")), kUsage;
  const StatusOr<Security> security =
      OpenSecurity(flags.security, {{"--listen", *listen}, {"--rpc-listen", *rpc_listen}}, LogLine);
  if (!security.ok()) return PrintError(security.status()), ExitCodeOf(security.status());
  NetworkThread network;
  CoordinatorOptions options;
  options.tls = security->tls;
  options.tokens = security->tokens;
  options.data_dir = flags.data;
  options.checkpoints = flags.checkpoints;
  options.rpc_listen = *rpc_listen;
  options.program = ThisProgram();
  options.log = LogLine;
  StatusOr<std::unique_ptr<Coordinator>> coordinator =
      Coordinator::Start(network, RealEnvironment(), std::move(options));
  if (!coordinator.ok()) return PrintError(coordinator.status()), ExitCodeOf(coordinator.status());
  RestServer::Options rest;
  rest.log = LogLine;
  Apply(*security, rest);
  StatusOr<std::unique_ptr<RestServer>> server =
      RestServer::Start(network, *listen, **coordinator, std::move(rest));
  if (!server.ok()) return PrintError(server.status()), ExitCodeOf(server.status());
  LogLine(fmt::format("coordinator: REST on {}://{}, workers join {}",
                      security->tls ? "https" : "http", (*server)->address().ToString(),
                      (*coordinator)->rpc_address().ToString()));
  signals.Watch(EndsAtOnceTheSecondTime([&] { (*coordinator)->Stop(); }));
  (*coordinator)->Run();
  LogLine("coordinator: ended; jobs that run go on until it is started again");
  return kDone;
}

int RunWorker(const WorkerFlags& flags) {
  SignalThread signals({SIGINT, SIGTERM});
  const StatusOr<Address> join = ParseAddress(flags.join);
  if (!join.ok()) return PrintError(Annotate(join.status(), "--join")), kUsage;
  const StatusOr<Address> http = ParseAddress(flags.http);
  if (!http.ok()) return PrintError(Annotate(http.status(), "--http")), kUsage;
  const StatusOr<uint64_t> memory = ParseSize(flags.memory);
  if (!memory.ok()) return PrintError(Annotate(memory.status(), "--memory")), kUsage;
  StatusOr<Security> security = OpenWorkerSecurity(flags.security, *http);
  if (!security.ok()) return PrintError(security.status()), ExitCodeOf(security.status());
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
  options.log = LogLine;
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
  rest.log = LogLine;
  Apply(*security, rest);
  StatusOr<std::unique_ptr<RestServer>> server =
      RestServer::StartOnWorker(network, *http, std::move(status), std::move(rest));
  if (!server.ok()) return PrintError(server.status()), ExitCodeOf(server.status());
  options.http = (*server)->address().ToString();
  LogLine(fmt::format("worker: metrics on {}://{}/metrics", security->tls ? "https" : "http",
                      options.http));
  StatusOr<std::unique_ptr<WorkerProcess>> worker =
      WorkerProcess::Make(network, RealEnvironment(), std::move(options));
  if (!worker.ok()) return PrintError(worker.status()), ExitCodeOf(worker.status());
  running = worker->get();
  signals.Watch(EndsAtOnceTheSecondTime([&] { (*worker)->RequestLeave(); }));
  const Status result = (*worker)->Run();
  server->reset();  // before the worker that it asks
  if (result.ok()) return kDone;
  PrintError(result);
  return ExitCodeOf(result);
}

}  // namespace weir::cli
