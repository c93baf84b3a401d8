// Coordinator: the connections of workers and executors.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "runtime/coordinator/coordinator.h"

namespace weir {
namespace {

bool Parse(const Frame& frame, google::protobuf::MessageLite& message) {
  const std::string_view bytes = frame.bytes();
  return message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

// On the network thread. Whether it may be here, the loop finds out, for which only so many wait.
StatusOr<Connection::Callbacks> Coordinator::Greet(const Frame& first,
                                                   std::unique_ptr<Connection>& connection) {
  if (first.kind != FrameKind::kHello && first.kind != FrameKind::kControl) {
    return absl::DataLossError("it did not begin with a Hello");
  }
  connection->set_frame_bytes_max(limits::kHelloBytesMax);
  uint64_t id;
  {
    std::lock_guard lock(mutex_);
    if (arrivals_.size() >= limits::kUnknownConnectionsMax) {
      return absl::ResourceExhaustedError(
          fmt::format("the Hellos of {} others have not been looked at", arrivals_.size()));
    }
    id = ++last_session_;
    arrivals_[id] = std::move(connection);
  }
  loop_.Post([this, alive = alive_, id, first] {
    if (*alive) OnArrival(id, first);
  });
  return Connection::Callbacks{
      .on_frame =
          [this, alive = alive_, id](Frame frame) {
            loop_.Post([this, alive, id, frame = std::move(frame)] {
              if (*alive) OnFrame(id, frame);
            });
          },
      .on_closed =
          [this, alive = alive_, id](const Status& why) {
            loop_.Post([this, alive, id, why] {
              if (*alive) OnClosed(id, why);
            });
          },
  };
}

void Coordinator::OnArrival(uint64_t id, const Frame& first) {
  Session& session = sessions_[id];
  {
    std::lock_guard lock(mutex_);
    const auto arrival = arrivals_.find(id);
    session.connection = std::move(arrival->second);
    arrivals_.erase(arrival);
  }
  if (first.kind == FrameKind::kHello) {
    runtime::WorkerHello hello;
    if (Parse(first, hello)) return OnWorkerHello(id, session, hello);
  } else {
    runtime::ExecutorHello hello;
    if (Parse(first, hello)) return OnExecutorHello(id, session, hello);
  }
  Refuse(id, "it did not begin with a Hello");
}

void Coordinator::OnFrame(uint64_t id, const Frame& frame) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  Session& session = found->second;
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

void Coordinator::OnExecutorHello(uint64_t id, Session& session,
                                  const runtime::ExecutorHello& hello) {
  const auto job = jobs_.find(hello.job_id());
  if (job != jobs_.end()) {
    session.job = hello.job_id();
    session.executor = static_cast<int>(hello.executor());
    network_.RunAndWait([&] { session.connection->set_frame_bytes_max(limits::kFrameBytesMax); });
    if (job->second->OnHello(id, hello)) return;
  }
  // Whatever it still does counts for nothing.
  runtime::ToExecutor cancel;
  cancel.set_attempt(hello.attempt());
  cancel.mutable_cancel();
  SendTo(id, cancel);
  // It is not quoted: who it is, nobody knows.
  Refuse(id, "the attempt that it belongs to does not run here");
}

Status Coordinator::MayJoin(const std::string& token) const {
  if (options_.tokens == nullptr) return absl::OkStatus();
  return options_.tokens->Check(token, Role::kWorker, env_.clock.Now()).status();
}

void Coordinator::OnWorkerHello(uint64_t id, Session& session, const runtime::WorkerHello& hello) {
  std::string why;
  if (hello.protocol() != runtime::WORKER_PROTOCOL_NOW) {
    why = fmt::format(
        "it speaks version {} of the protocol, this coordinator {}: install the same "
        "version of weir on both",
        hello.protocol(), static_cast<int>(runtime::WORKER_PROTOCOL_NOW));
  } else if (!IsPlainName(hello.id()) || hello.slots() == 0 ||
             hello.slots() > limits::kWorkerSlotsMax) {
    why = fmt::format("a worker has an id of letters and digits, and between 1 and {} slots",
                      limits::kWorkerSlotsMax);
  } else if (Status may = MayJoin(hello.token()); !may.ok()) {
    why = std::string(may.message());
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
  welcome.mutable_welcome()->set_marker(kMarkerFile);
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
    Log(LogLine::Warning(
        fmt::format("worker {} is lost: {}", session.worker, std::string(why.message()))));
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
  Log(LogLine::Warning(
      fmt::format("refused {}: {}", found->second.connection->peer().ToString(), why),
      "refused connections"));
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
