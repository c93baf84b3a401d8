// Coordinator: the connections of workers and executors.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "runtime/coordinator/coordinator.h"

namespace weir {
namespace {

// Version of the messages between coordinator and workers.
constexpr uint32_t kWorkerProtocol = 1;

bool Parse(const Frame& frame, google::protobuf::MessageLite& message) {
  const std::string_view bytes = frame.bytes();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

// On the network thread.
void Coordinator::OnAccept(std::unique_ptr<Connection> accepted) {
  auto connection = std::make_shared<std::unique_ptr<Connection>>(std::move(accepted));
  loop_.Post([this, alive = alive_, connection] {
    if (!*alive) return;
    const size_t unknown = std::count_if(sessions_.begin(), sessions_.end(), [](const auto& each) {
      return each.second.deadline != 0;
    });
    if (unknown >= limits::kUnknownConnectionsMax) {
      return Log(fmt::format("refused {}: {} others have not said what they are",
                             (*connection)->peer().ToString(), unknown));
    }
    const uint64_t id = ++last_session_;
    Session& session = sessions_[id];
    session.connection = std::move(*connection);
    session.deadline = env_.clock.MonotonicMicros() + limits::kHelloTimeout;
    session.connection->set_frame_bytes_max(limits::kHelloBytesMax);
    session.connection->Start({
        .on_frame =
            [this, alive, id](Frame frame) {
              loop_.Post([this, alive, id, frame = std::move(frame)] {
                if (*alive) OnFrame(id, frame);
              });
            },
        .on_closed =
            [this, alive, id](const Status& why) {
              loop_.Post([this, alive, id, why] {
                if (*alive) OnClosed(id, why);
              });
            },
    });
  });
}

void Coordinator::OnFrame(uint64_t id, const Frame& frame) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = found->second;
  if (session.deadline != 0) return OnFirstFrame(id, session, frame);
  if (!session.worker.empty()) {
    runtime::FromWorker message;
    if (frame.kind != FrameKind::kControl || !Parse(frame, message)) {
      return OnClosed(id, absl::DataLossError("it sent what is no message of a worker"));
    }
    return OnWorkerMessage(id, session, message);
  }
  const auto job = jobs_.find(session.job);
  if (job == jobs_.end()) return;
  runtime::ToCoordinator message;
  if (frame.kind != FrameKind::kControl || !Parse(frame, message)) {
    return OnClosed(id, absl::DataLossError("it sent what is no message of an executor"));
  }
  job->second->OnMessage(session.executor, message);
}

void Coordinator::OnFirstFrame(uint64_t id, Session& session, const Frame& frame) {
  if (frame.kind == FrameKind::kHello) {
    runtime::WorkerHello hello;
    if (Parse(frame, hello)) return OnWorkerHello(id, session, hello);
  } else if (frame.kind == FrameKind::kControl) {
    runtime::ExecutorHello hello;
    if (Parse(frame, hello) && IsPlainName(hello.job_id())) {
      const auto job = jobs_.find(hello.job_id());
      if (job != jobs_.end()) {
        session.deadline = 0;
        session.job = hello.job_id();
        session.executor = static_cast<int>(hello.executor());
        network_.RunAndWait(
            [&] { session.connection->set_frame_bytes_max(limits::kFrameBytesMax); });
        if (job->second->OnHello(id, hello)) return;
      }
      // Whatever it still does counts for nothing.
      runtime::ToExecutor cancel;
      cancel.set_attempt(hello.attempt());
      cancel.mutable_cancel();
      SendTo(id, cancel);
      return Refuse(id, fmt::format("attempt {} of job '{}' does not run here", hello.attempt(),
                                    hello.job_id()));
    }
  }
  Refuse(id, "it did not begin with a Hello");
}

void Coordinator::OnWorkerHello(uint64_t id, Session& session, const runtime::WorkerHello& hello) {
  std::string why;
  if (hello.protocol() != kWorkerProtocol) {
    why = fmt::format(
        "it speaks version {} of the protocol, this coordinator {}: install the same "
        "version of weir on both",
        hello.protocol(), kWorkerProtocol);
  } else if (!IsPlainName(hello.id()) || hello.slots() == 0 ||
             hello.slots() > limits::kWorkerSlotsMax) {
    why = fmt::format("a worker has an id of letters and digits, and between 1 and {} slots",
                      limits::kWorkerSlotsMax);
  } else if (const WorkerInfo* there = workers_.Find(hello.id()); there != nullptr) {
    // It has lost a connection that looks alive from here.
    OnClosed(there->session, absl::UnavailableError("it has connected anew"));
  }
  if (!why.empty()) {
    runtime::ToWorker refused;
    refused.mutable_refused()->set_why(why);
    SendTo(id, refused);
    return Refuse(id, why);
  }
  session.deadline = 0;
  session.worker = hello.id();
  session.info = {.id = hello.id(),
                  .host = session.connection->peer().host,
                  .http = hello.http(),
                  .slots = static_cast<int>(hello.slots()),
                  .memory_bytes = hello.memory_bytes(),
                  .session = id};
  session.running.assign(hello.running().begin(), hello.running().end());
  network_.RunAndWait([&] { session.connection->set_frame_bytes_max(limits::kFrameBytesMax); });
  runtime::ToWorker welcome;
  welcome.mutable_welcome()->set_checkpoints(options_.checkpoints);
  welcome.mutable_welcome()->set_marker(marker_);
  welcome.mutable_welcome()->set_marker_content(marker_content_);
  SendTo(id, welcome);
}

void Coordinator::OnWorkerMessage(uint64_t id, Session& session,
                                  const runtime::FromWorker& message) {
  if (WorkerInfo* worker = workers_.Find(session.worker)) {
    worker->heard_at = env_.clock.MonotonicMicros();
  }
  using Kind = runtime::FromWorker;
  switch (message.message_case()) {
    case Kind::kJoined:
      return OnJoined(id, session);
    case Kind::kExecutorEnded: {
      const auto job = jobs_.find(message.executor_ended().executor().job_id());
      if (job != jobs_.end()) job->second->OnExecutorEnded(message.executor_ended());
      return;
    }
    case Kind::kNeedBlob:
      return OnNeedBlob(id, message.need_blob().sha256());
    case Kind::kLeaving: {
      WorkerInfo* worker = workers_.Find(session.worker);
      if (worker == nullptr || std::exchange(worker->leaving, true)) return;
      Log(fmt::format("worker {} is leaving", worker->id));
      for (auto& [name, job] : jobs_) {
        if (job->running_on(worker->id)) job->LeaveWorker();
      }
      return SendGoodbyes();
    }
    case Kind::MESSAGE_NOT_SET:
      return;
  }
}

void Coordinator::OnJoined(uint64_t id, Session& session) {
  if (std::exchange(session.joined, true)) return;
  session.info.heard_at = env_.clock.MonotonicMicros();
  workers_.Add(session.info);
  Log(fmt::format("worker {} at {} joined with {} slots", session.worker,
                  session.connection->peer().ToString(), session.info.slots));
  for (auto& [name, job] : jobs_) job->OnWorkerJoined(session.worker, session.running);
  // What it runs of attempts that are over is ended.
  for (const runtime::ExecutorRef& ref : session.running) {
    const auto job = jobs_.find(ref.job_id());
    if (job != jobs_.end() && !job->second->ended() &&
        job->second->record().attempt == ref.attempt()) {
      continue;
    }
    runtime::ToWorker end;
    *end.mutable_end_executor() = ref;
    SendTo(id, end);
  }
}

void Coordinator::OnNeedBlob(uint64_t session, const std::string& sha256) {
  io_.Submit([this, alive = alive_, session, sha256] {
    auto message = std::make_shared<runtime::ToWorker>();
    runtime::Blob& blob = *message->mutable_blob();
    blob.set_sha256(sha256);
    if (StatusOr<std::string> bytes = blobs_.Read(sha256); bytes.ok()) {
      blob.set_content(*std::move(bytes));
    } else {
      blob.set_missing(true);
    }
    loop_.Post([this, alive, session, message] {
      if (*alive) SendTo(session, *message);
    });
  });
}

void Coordinator::SendGoodbyes() {
  for (const auto& [id, worker] : workers_.workers()) {
    if (!worker.leaving) continue;
    const bool busy = std::any_of(jobs_.begin(), jobs_.end(),
                                  [&](const auto& job) { return job.second->running_on(id); });
    if (busy) continue;
    runtime::ToWorker goodbye;
    goodbye.mutable_goodbye();
    SendTo(worker.session, goodbye);
  }
}

void Coordinator::OnClosed(uint64_t id, const Status& why) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  const Session session = std::move(found->second);
  sessions_.erase(found);
  if (session.joined) {
    Log(fmt::format("worker {} is lost: {}", session.worker, std::string(why.message())));
    workers_.Remove(session.worker);
    for (auto& [name, job] : jobs_) job->OnWorkerLost(session.worker, why);
  } else if (session.executor >= 0) {
    const auto job = jobs_.find(session.job);
    if (job != jobs_.end()) job->second->OnClosed(session.executor, id, why);
  }
}

void Coordinator::Refuse(uint64_t id, const std::string& why) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Log(fmt::format("refused {}: {}", found->second.connection->peer().ToString(), why));
  CloseSession(id);
}

void Coordinator::SendTo(uint64_t session, const google::protobuf::MessageLite& message) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.connection->Send(FrameKind::kControl, 0, message.SerializeAsString());
}

void Coordinator::SendToWorker(const std::string& worker, const runtime::ToWorker& message) {
  if (const WorkerInfo* info = workers_.Find(worker)) SendTo(info->session, message);
}

void Coordinator::SendToExecutor(uint64_t session, const runtime::ToExecutor& message) {
  SendTo(session, message);
}

// What was sent to it arrives; the last few that were closed so are kept until it has.
void Coordinator::CloseSession(uint64_t session) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  found->second.connection->Shutdown();
  closing_.push_back(std::move(found->second.connection));
  if (closing_.size() > limits::kUnknownConnectionsMax) closing_.erase(closing_.begin());
  sessions_.erase(found);
}

}  // namespace weir
