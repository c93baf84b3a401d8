#include "runtime/worker/executor_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "core/process_memory.h"
#include "runtime/crash_handler.h"
#include "runtime/event_loop.h"
#include "runtime/limits.h"
#include "runtime/log.h"
#include "runtime/net/network_thread.h"
#include "runtime/worker/attempt_answers.h"
#include "runtime/worker/coordinator_link.h"
#include "runtime/worker/executor.h"
#include "runtime/worker/executor_links.h"
#include "runtime/worker/executor_messages.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"

namespace weir {
namespace {

constexpr int kAttemptOver = 0;
constexpr int kCoordinatorGone = 1;

}  // namespace

Status RunExecutorProcess(const runtime::ExecutorStart& start,
                          const std::function<StatusOr<const BuiltJob*>()>& load,
                          Environment& env) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != start.parent()) {  // it may have died before
    return absl::UnavailableError("the process that started this executor is gone");
  }
  RaiseOomScore(limits::kExecutorOomScore);
  InstallCrashHandler();
  SetCrashFile(start.crash_file());
  WEIR_ASSIGN_OR_RETURN(const Address coordinator, ParseAddress(start.coordinator()));

  Connection::Options secured;
  if (start.has_tls()) {
    WEIR_ASSIGN_OR_RETURN(secured.tls,
                          LoadTls({start.tls().cert(), start.tls().key(), start.tls().ca()}));
  }

  // Here before the network thread, which writes to it.
  Log log(ParseLogFormat(start.log_format()), env.clock);
  const auto say = [&log, &start](const std::string& text) {
    LogLine line = LogLine::Warning(text, "connections between executors");
    line.job = start.job_id();
    line.attempt = start.attempt();
    line.executor = static_cast<int>(start.executor());
    log.Write(line);
  };
  NetworkThread network;
  PeerMesh::Options mesh;
  mesh.connection = secured;
  mesh.job_id = start.job_id();
  mesh.attempt = start.attempt();
  mesh.index = static_cast<int>(start.executor());
  mesh.executors = static_cast<int>(start.executors());
  mesh.secret = start.secret();
  if (!start.host().empty()) mesh.listen.host = start.host();
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ExecutorLinks> links,
                        ExecutorLinks::Listen(network, std::move(mesh), say));

  EventLoop loop(env.clock);
  std::unique_ptr<Executor> executor;  // used on the loop's thread, which is this one
  AttemptAnswers answers;
  CoordinatorLink::Options to_coordinator{
      coordinator, secured, {}, start.coordinator_away_micros_max()};
  to_coordinator.hello.set_secret(start.secret());
  to_coordinator.hello.set_job_id(start.job_id());
  to_coordinator.hello.set_attempt(start.attempt());
  to_coordinator.hello.set_executor(start.executor());
  to_coordinator.hello.set_address(links->address());
  std::unique_ptr<CoordinatorLink> link;
  const auto send = [&](const runtime::ToCoordinator& message) {
    answers.OnSent(message);
    link->Send(message);
    if (message.has_canceled()) link->Shutdown();
  };
  link = std::make_unique<CoordinatorLink>(
      network, loop, env.clock, std::move(to_coordinator),
      [&](const runtime::ToExecutor& message) {
        if (!answers.Take(message, [&](const auto& answer) { link->Send(answer); })) return;
        if (executor != nullptr) return executor->OnMessage(message);
        // The job could not be loaded.
        if (message.has_cancel()) send(CanceledMessage(start.attempt()));
      },
      // Whatever this process was at: nothing of it counts any more, and files that it leaves are
      // its successor's to remove.
      [](const Status& why) { _exit(why.ok() ? kAttemptOver : kCoordinatorGone); });
  link->Connect();

  const StatusOr<const BuiltJob*> job = load();
  if (!job.ok()) {
    send(TaskFailedMessage(start.attempt(), job.status()));
    loop.Run([&] { return link->Tick(env.clock.MonotonicMicros()); });
  }
  LocalObjectStore objects(env, start.checkpoints(), {start.job_id(), start.attempt()});
  CheckpointStore store(objects, env, {.job_id = start.job_id(), .follows = true});
  Executor::Options options;
  options.work_dir = start.work();
  options.encode_edges = start.encode_edges();
  options.memory_bytes = start.memory_bytes();
  options.make_links = [&links] { return std::move(links); };
  options.stall_max = limits::kStallMax;
  options.notice_lines_max = limits::kNoticeLinesMax;
  executor = std::make_unique<Executor>(**job, store, env, loop, std::move(options), send);
  int64_t next_progress = 0;
  loop.Run([&]() -> int64_t {
    const int64_t now = env.clock.MonotonicMicros();
    if (now >= next_progress) {
      executor->SendProgress();
      next_progress = now + limits::kProgressInterval;
    }
    return std::min(link->Tick(now), next_progress);
  });
  return absl::OkStatus();
}

}  // namespace weir
