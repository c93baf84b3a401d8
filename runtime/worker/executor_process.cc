#include "runtime/worker/executor_process.h"

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <iostream>
#include <memory>
#include <utility>

#include "runtime/crash_handler.h"
#include "runtime/event_loop.h"
#include "runtime/net/connection.h"
#include "runtime/net/network_thread.h"
#include "runtime/worker/executor.h"
#include "runtime/worker/executor_links.h"
#include "runtime/worker/executor_messages.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"

namespace weir {
namespace {

constexpr int kAttemptOver = 0;
constexpr int kCoordinatorGone = 1;

void SendMessage(Connection& connection, const google::protobuf::MessageLite& message) {
  connection.Send(FrameKind::kControl, 0, message.SerializeAsString());
}

}  // namespace

Status RunExecutorProcess(const runtime::ExecutorStart& start,
                          const std::function<StatusOr<const BuiltJob*>()>& load,
                          Environment& env) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  InstallCrashHandler();
  SetCrashFile(start.crash_file());
  WEIR_ASSIGN_OR_RETURN(const Address coordinator, ParseAddress(start.coordinator()));

  NetworkThread network;
  PeerMesh::Options mesh;
  mesh.job_id = start.job_id();
  mesh.attempt = start.attempt();
  mesh.index = static_cast<int>(start.executor());
  mesh.executors = static_cast<int>(start.executors());
  mesh.secret = start.secret();
  WEIR_ASSIGN_OR_RETURN(
      std::unique_ptr<ExecutorLinks> links,
      ExecutorLinks::Listen(network, std::move(mesh), [](const std::string& line) {
        std::cerr << "weir: " << line << "\n";
      }));

  EventLoop loop(env.clock);
  std::unique_ptr<Executor> executor;  // used on the loop's thread, which is this one
  const std::unique_ptr<Connection> connection = Connection::Connect(network, coordinator, {});
  // Where the job could not be loaded there is no executor.
  const auto answer_canceled = [&] {
    SendMessage(*connection, CanceledMessage(start.attempt()));
    connection->Shutdown();
  };
  connection->Start({
      .on_frame =
          [&](Frame frame) {
            auto message = std::make_shared<runtime::ToExecutor>();
            if (frame.kind != FrameKind::kControl ||
                !message->ParseFromArray(frame.bytes().data(),
                                         static_cast<int>(frame.bytes().size()))) {
              return connection->Close(absl::DataLossError("not a message of a coordinator"));
            }
            loop.Post([&, message] {
              if (executor != nullptr) return executor->OnMessage(*message);
              if (message->has_cancel()) answer_canceled();
            });
          },
      // Whatever this process was at: nothing of it counts any more, and files that it leaves are
      // its successor's to remove.
      .on_closed = [](const Status& why) { _exit(why.ok() ? kAttemptOver : kCoordinatorGone); },
  });
  runtime::ExecutorHello hello;
  hello.set_secret(start.secret());
  hello.set_attempt(start.attempt());
  hello.set_executor(start.executor());
  hello.set_address(links->address());
  SendMessage(*connection, hello);

  const StatusOr<const BuiltJob*> job = load();
  if (!job.ok()) {
    SendMessage(*connection, TaskFailedMessage(start.attempt(), job.status()));
    loop.Run([&] { return env.clock.MonotonicMicros() + limits::kProgressInterval; });
  }
  LocalObjectStore objects(env, start.checkpoints());
  CheckpointStore store(objects, env, {.job_id = start.job_id(), .follows = true});
  Executor::Options options;
  options.work_dir = start.work();
  options.encode_edges = start.encode_edges();
  options.memory_bytes = start.memory_bytes();
  options.make_links = [&links] { return std::move(links); };
  executor = std::make_unique<Executor>(**job, store, env, loop, std::move(options),
                                        [&](const runtime::ToCoordinator& message) {
                                          SendMessage(*connection, message);
                                          if (message.has_canceled()) connection->Shutdown();
                                        });
  int64_t next_progress = 0;
  loop.Run([&]() -> int64_t {
    const int64_t now = env.clock.MonotonicMicros();
    if (now >= next_progress) {
      executor->SendProgress();
      next_progress = now + limits::kProgressInterval;
    }
    return next_progress;
  });
  return absl::OkStatus();
}

}  // namespace weir
