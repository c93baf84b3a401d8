#include "runtime/executor_processes.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "core/limits.h"
#include "core/shared_memory.h"
#include "runtime/crash_handler.h"
#include "runtime/security/secret.h"

namespace weir {
namespace {

template <class Message>
bool Parse(const Frame& frame, Message& message) {
  const std::string_view bytes = frame.bytes();
  return frame.kind == FrameKind::kControl &&
         message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

}  // namespace

ExecutorProcesses::ExecutorProcesses(EventLoop& loop, Environment& env,
                                     ExecutorProcessOptions options, Events events,
                                     std::function<void(std::string_view)> log)
    : loop_(loop),
      env_(env),
      options_(std::move(options)),
      events_(std::move(events)),
      log_(std::move(log)) {}

StatusOr<std::unique_ptr<ExecutorProcesses>> ExecutorProcesses::Listen(
    EventLoop& loop, Environment& env, ExecutorProcessOptions options, Events events,
    std::function<void(std::string_view)> log) {
  std::unique_ptr<ExecutorProcesses> pool(
      new ExecutorProcesses(loop, env, std::move(options), std::move(events), std::move(log)));
  Doorkeeper::Options door;
  if (pool->options_.start.has_tls()) {
    const runtime::ExecutorTls& tls = pool->options_.start.tls();
    WEIR_ASSIGN_OR_RETURN(door.connection.tls, LoadTls({tls.cert(), tls.key(), tls.ca()}));
  }
  ExecutorProcesses* at = pool.get();  // outlives the doorkeeper
  WEIR_ASSIGN_OR_RETURN(pool->doorkeeper_,
                        Doorkeeper::Listen(
                            pool->network_, std::move(door),
                            [at](const Frame& first, std::unique_ptr<Connection>& connection) {
                              return at->Greet(first, connection);
                            },
                            [at](const std::string& line) {
                              at->loop_.Post([at, alive = at->alive_, line] {
                                if (*alive) at->log_(line);
                              });
                            }));
  return pool;
}

ExecutorProcesses::~ExecutorProcesses() {
  *alive_ = false;
  doorkeeper_.reset();
  EndAll();
}

void ExecutorProcesses::EndAll() {
  std::map<uint64_t, std::unique_ptr<Connection>> arrivals;
  {
    std::lock_guard lock(mutex_);
    secret_.clear();
    arrivals.swap(arrivals_);
  }
  arrivals.clear();
  peers_.clear();
  members_.clear();  // ends the processes that still run
}

void ExecutorProcesses::Start(uint32_t attempt, int executors) {
  EndAll();
  attempt_ = attempt;
  std::string secret;
  for (int i = 0; i < 2; ++i) secret += fmt::format("{:016x}", env_.random.Next());
  doorkeeper_->set_expected(executors);
  {
    std::lock_guard lock(mutex_);
    secret_ = secret;
  }
  members_.resize(executors);
  // What earlier attempts left is of no use to this one.
  Status status = env_.disk.RemoveTree(options_.folder);
  if (status.ok()) status = env_.disk.MakeDirectories(options_.folder);
  for (int i = 0; i < executors && status.ok(); ++i) {
    Member& member = members_[i];
    member.crash_file = fmt::format("{}/crash-{}", options_.folder, i);
    StatusOr<ChildProcess> process = StartProcess(i, executors, secret, member.crash_file);
    status = process.status();
    if (!process.ok()) break;
    member.process = *std::move(process);
    member.deadline = env_.clock.MonotonicMicros() + limits::kExecutorStartMax;
    member.late = "did not connect in time";
  }
  if (status.ok()) return;
  loop_.Post([this, alive = alive_, attempt, status, executors] {
    if (!*alive || attempt != attempt_) return;
    for (int i = 0; i < executors; ++i) End(i, Annotate(status, "cannot start an executor"));
  });
}

StatusOr<ChildProcess> ExecutorProcesses::StartProcess(int executor, int executors,
                                                       const std::string& secret,
                                                       const std::string& crash_file) {
  runtime::ExecutorStart start = options_.start;
  start.set_coordinator(doorkeeper_->address().ToString());
  start.set_secret(secret);
  start.set_attempt(attempt_);
  start.set_executor(executor);
  start.set_executors(executors);
  start.set_part(options_.parts[executor * options_.parts.size() / executors]);
  start.set_work(fmt::format("{}/executor-{}", options_.folder, executor));
  start.set_crash_file(crash_file);
  start.set_parent(getpid());
  WEIR_ASSIGN_OR_RETURN(const int fd,
                        FileInMemory("weir-executor-start", start.SerializeAsString()));
  ChildProcess::Options child{options_.program, {"executor"}, {fd}};
  child.descriptors.insert(child.descriptors.end(), options_.descriptors.begin(),
                           options_.descriptors.end());
  StatusOr<ChildProcess> process = ChildProcess::Start(child);
  close(fd);
  return process;
}

// On the network thread: whether it knows the secret. Which executor it is, the loop finds out.
StatusOr<Connection::Callbacks> ExecutorProcesses::Greet(const Frame& first,
                                                         std::unique_ptr<Connection>& connection) {
  runtime::ExecutorHello hello;
  if (!Parse(first, hello)) {
    return absl::DataLossError("it did not begin with the Hello of an executor");
  }
  uint64_t peer;
  {
    std::lock_guard lock(mutex_);
    if (secret_.empty() || !SameSecret(hello.secret(), secret_)) {
      return absl::PermissionDeniedError("its secret is not that of the attempt");
    }
    peer = ++last_peer_;
    arrivals_[peer] = std::move(connection);
  }
  loop_.Post([this, alive = alive_, peer, hello] {
    if (*alive) OnArrival(peer, hello);
  });
  return Connection::Callbacks{
      .on_frame =
          [this, alive = alive_, peer](Frame frame) {
            loop_.Post([this, alive, peer, frame = std::move(frame)] {
              if (*alive) OnFrame(peer, frame);
            });
          },
      .on_closed =
          [this, alive = alive_, peer](const Status& why) {
            loop_.Post([this, alive, peer, why] {
              if (*alive) OnClosed(peer, why);
            });
          },
  };
}

void ExecutorProcesses::OnArrival(uint64_t id, const runtime::ExecutorHello& hello) {
  {
    std::lock_guard lock(mutex_);
    const auto arrival = arrivals_.find(id);
    if (arrival == arrivals_.end()) return;  // of an attempt that is over
    peers_[id].connection = std::move(arrival->second);
    arrivals_.erase(arrival);
  }
  const Status status = OnHello(id, hello);
  if (status.ok()) return;
  const auto peer = peers_.find(id);
  log_(fmt::format("refused {}: {}", peer->second.connection->peer().ToString(),
                   std::string(status.message())));
  peers_.erase(peer);
}

void ExecutorProcesses::OnFrame(uint64_t id, const Frame& frame) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end()) return;
  const int executor = peer->second.executor;
  runtime::ToCoordinator message;
  if (!Parse(frame, message)) {
    return End(executor, absl::DataLossError("sent what is no message of an executor"));
  }
  if (message.has_canceled()) members_[executor].canceled = true;
  events_.message(executor, message);
}

Status ExecutorProcesses::OnHello(uint64_t id, const runtime::ExecutorHello& hello) {
  if (hello.attempt() != attempt_) {
    return absl::AbortedError(
        fmt::format("it belongs to attempt {}, not to {}", hello.attempt(), attempt_));
  }
  if (hello.executor() >= members_.size()) {
    return absl::OutOfRangeError(fmt::format("there is no executor {}", hello.executor()));
  }
  Member& member = members_[hello.executor()];
  if (member.connection != 0 || member.over) {
    return absl::AlreadyExistsError(fmt::format("executor {} has come already", hello.executor()));
  }
  peers_.at(id).executor = static_cast<int>(hello.executor());
  member.connection = id;
  member.address = hello.address();
  member.deadline = 0;
  std::vector<std::string> addresses;
  for (const Member& each : members_) {
    if (each.connection != 0) addresses.push_back(each.address);
  }
  if (addresses.size() == members_.size()) events_.started(attempt_, addresses);
  return absl::OkStatus();
}

void ExecutorProcesses::OnClosed(uint64_t id, const Status& why) {
  const auto peer = peers_.find(id);
  if (peer == peers_.end()) return;
  const int executor = peer->second.executor;
  peers_.erase(peer);
  if (executor >= 0) End(executor, why, /*by_itself=*/true);
}

void ExecutorProcesses::End(int executor, const Status& why, bool by_itself) {
  Member& member = members_[executor];
  if (std::exchange(member.over, true)) return;
  member.deadline = 0;
  peers_.erase(member.connection);
  std::string what = fmt::format("executor {}", executor);
  if (member.process.pid() != 0) {
    const pid_t pid = member.process.pid();
    // One that has closed its connection is ending; how is worth the wait, and a core dump takes
    // its time. One that goes on is killed.
    const int wait_status = member.process.End();
    what += fmt::format(" (process {}) {}", pid, DescribeWaitStatus(wait_status));
  }
  if (member.canceled) return;
  JobMaster::Loss loss;
  loss.by_itself = by_itself;
  if (StatusOr<std::string> crash = ReadCrashFile(env_.disk, member.crash_file); crash.ok()) {
    loss.crash = *std::move(crash);
    what += ": " + loss.crash;
  } else if (!why.ok()) {
    what += fmt::format(": {}", std::string(why.message()));
  }
  loss.why = absl::UnavailableError(what);
  events_.lost(attempt_, executor, loss);
}

void ExecutorProcesses::Send(int executor, const runtime::ToExecutor& message) {
  Member& member = members_[executor];
  const bool cancel = message.has_cancel();
  if (member.over) return;
  if (member.connection != 0) {
    peers_.at(member.connection)
        .connection->Send(FrameKind::kControl, 0, message.SerializeAsString());
    if (!cancel) return;
    member.deadline = env_.clock.MonotonicMicros() + limits::kExecutorCancelMax;
    member.late = "did not end in time";
    return;
  }
  // Not inside the caller's call.
  loop_.Post([this, alive = alive_, attempt = attempt_, executor] {
    if (*alive && attempt == attempt_) End(executor, absl::CancelledError("not needed any more"));
  });
}

void ExecutorProcesses::AskProgress() {
  const int64_t now = env_.clock.MonotonicMicros();
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    if (member.deadline != 0 && now >= member.deadline) {
      End(static_cast<int>(i), absl::DeadlineExceededError(member.late));
    } else if (member.connection == 0 && !member.over) {
      // One that is connected tells its end by its connection.
      const std::optional<int> ended = member.process.Ended();
      if (ended) End(static_cast<int>(i), absl::UnavailableError(DescribeWaitStatus(*ended)));
    }
  }
}

}  // namespace weir
