#include "runtime/worker/worker_process.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/process_memory.h"
#include "core/shared_memory.h"
#include "runtime/crash_handler.h"
#include "runtime/data_folder.h"
#include "runtime/limits.h"
#include "runtime/security/security_options.h"

namespace weir {
namespace {

std::string NameOf(const runtime::ExecutorRef& ref) {
  return fmt::format("{}-{}-{}", ref.job_id(), ref.attempt(), ref.executor());
}

}  // namespace

WorkerProcess::WorkerProcess(NetworkThread& network, Environment& env, WorkerOptions options)
    : network_(network),
      env_(env),
      options_(std::move(options)),
      id_(fmt::format("worker-{:012x}", env.random.Next() >> 16)),
      loop_(env.clock),
      blobs_(env, options_.data_dir + "/blobs") {}

WorkerProcess::~WorkerProcess() = default;

StatusOr<std::unique_ptr<WorkerProcess>> WorkerProcess::Make(NetworkThread& network,
                                                             Environment& env,
                                                             WorkerOptions options) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<FileLock> lock, LockDataFolder(env, options.data_dir));
  WEIR_ASSIGN_OR_RETURN(options.data_dir, env.disk.Canonical(options.data_dir));
  std::unique_ptr<WorkerProcess> worker(new WorkerProcess(network, env, std::move(options)));
  worker->lock_ = std::move(lock);
  // What an earlier worker left is of no use: its executors are gone with it.
  WEIR_RETURN_IF_ERROR(env.disk.RemoveTree(worker->options_.data_dir + "/executors"));
  return worker;
}

Status WorkerProcess::Run() {
  Connect();
  loop_.Run([this] { return Tick(); });
  connection_.reset();
  running_.clear();  // ends them
  return result_;
}

void WorkerProcess::Finish(Status why) {
  result_ = std::move(why);
  loop_.Stop();
}

void WorkerProcess::RequestLeave() {
  loop_.Post([this] {
    if (leave_by_ != 0 || !joined_) return Finish(absl::OkStatus());
    options_.log("leaving: waiting for the coordinator to move what runs here");
    leave_by_ = env_.clock.MonotonicMicros() + limits::kLeaveMax;
    runtime::FromWorker message;
    message.mutable_leaving();
    Send(message);
  });
}

Status WorkerProcess::Ready() const {
  if (joined_) return absl::OkStatus();
  return absl::UnavailableError(
      fmt::format("not joined: the coordinator at {} is not reached", options_.join.ToString()));
}

rest::Snapshot WorkerProcess::Snapshot() const {
  rest::Snapshot snapshot;
  rest::Worker& worker = *snapshot.add_workers();
  worker.set_id(id_);
  worker.set_http(options_.http);
  worker.set_slots(options_.slots);
  worker.set_memory_bytes(static_cast<double>(options_.memory_bytes));
  worker.set_state(joined_ ? "ACTIVE" : "LOST");
  return snapshot;
}

void WorkerProcess::Connect() {
  const uint64_t generation = ++generation_;
  connection_ = Connection::Connect(network_, options_.join, {.tls = options_.tls});
  connection_->Start({
      .on_frame =
          [this, generation](Frame frame) {
            loop_.Post([this, generation, frame = std::move(frame)] {
              if (generation == generation_) OnFrame(frame);
            });
          },
      .on_closed =
          [this, generation](const Status& why) {
            loop_.Post([this, generation, why] {
              if (generation == generation_) OnClosed(why);
            });
          },
  });
  runtime::WorkerHello hello;
  hello.set_protocol(runtime::WORKER_PROTOCOL_NOW);
  hello.set_id(id_);
  hello.set_slots(options_.slots);
  hello.set_memory_bytes(options_.memory_bytes);
  hello.set_http(options_.http);
  hello.set_token(options_.token);
  for (const auto& [name, running] : running_) *hello.add_running() = running.ref;
  connection_->Send(FrameKind::kHello, 0, hello.SerializeAsString());
}

void WorkerProcess::OnClosed(const Status& why) {
  const int64_t now = env_.clock.MonotonicMicros();
  connection_.reset();
  ++generation_;
  connect_at_ = now + limits::kReconnectInterval;
  if (joined_.exchange(false) || now >= complained_at_ + limits::kComplainInterval) {
    options_.log(
        LogLine::Warning(fmt::format("the coordinator at {} is not reached, trying again: {}",
                                     options_.join.ToString(), std::string(why.message()))));
    complained_at_ = now;
  }
  // What it waited for would be sent by the connection that is gone.
  waiting_.clear();
  asked_for_.clear();
  if (leave_by_ != 0) Finish(absl::OkStatus());
}

void WorkerProcess::OnFrame(const Frame& frame) {
  runtime::ToWorker message;
  const std::string_view bytes = frame.bytes();
  if (frame.kind != FrameKind::kControl ||
      !message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return connection_->Close(absl::DataLossError("not a message of a coordinator"));
  }
  using Kind = runtime::ToWorker;
  switch (message.message_case()) {
    case Kind::kWelcome:
      return OnWelcome(message.welcome());
    case Kind::kRefused:
      return Finish(absl::FailedPreconditionError(
          fmt::format("the coordinator at {} refuses this worker: {}", options_.join.ToString(),
                      message.refused().why())));
    case Kind::kStartExecutor:
      return Start(message.start_executor());
    case Kind::kEndExecutor:
      return EndExecutor(message.end_executor());
    case Kind::kBlob:
      return OnBlob(message.blob());
    case Kind::kGoodbye:
      if (leave_by_ != 0) Finish(absl::OkStatus());
      return;
    case Kind::MESSAGE_NOT_SET:
      return;
  }
}

void WorkerProcess::OnWelcome(const runtime::Welcome& welcome) {
  const std::string path = welcome.checkpoints() + "/" + welcome.marker();
  const StatusOr<std::string> marker = ReadFile(env_.disk, path);
  if (!marker.ok() || *marker != welcome.marker_content()) {
    return Finish(absl::FailedPreconditionError(fmt::format(
        "{} is not what the coordinator has written there ({}): the folder of checkpoints must be "
        "shared by all machines, under the same path; see --checkpoints of weir coordinator",
        path, marker.ok() ? "it has another content" : std::string(marker.status().message()))));
  }
  runtime::FromWorker message;
  message.mutable_joined();
  Send(message);
  joined_ = true;
  options_.log(fmt::format("{} joined the coordinator at {} with {} slots", id_,
                           options_.join.ToString(), options_.slots));
}

void WorkerProcess::Send(const runtime::FromWorker& message) {
  if (connection_ != nullptr) {
    connection_->Send(FrameKind::kControl, 0, message.SerializeAsString());
  }
}

void WorkerProcess::Start(const runtime::StartExecutor& start) {
  // An attempt that begins has no use for what is left of earlier ones.
  std::vector<runtime::ExecutorRef> old;
  for (const auto& [name, running] : running_) {
    if (running.ref.job_id() == start.executor().job_id() &&
        running.ref.attempt() < start.executor().attempt()) {
      old.push_back(running.ref);
    }
  }
  for (const runtime::ExecutorRef& ref : old) EndExecutor(ref);
  std::vector<std::string> missing;
  const auto need = [&](const std::string& sha256) {
    if (!blobs_.Find(sha256).ok()) missing.push_back(sha256);
  };
  need(start.start().library_sha256());
  for (const runtime::ResourceRef& resource : start.resources()) need(resource.sha256());
  for (const std::string& sha256 : missing) {
    if (std::find(asked_for_.begin(), asked_for_.end(), sha256) != asked_for_.end()) continue;
    asked_for_.push_back(sha256);
    runtime::FromWorker message;
    message.mutable_need_blob()->set_sha256(sha256);
    Send(message);
  }
  if (!missing.empty()) return waiting_.push_back(start);
  const Status started = StartNow(start);
  if (started.ok()) return;
  ReportEnd({start.executor(), {}, "", 0, {}},
            fmt::format("cannot be started: {}", std::string(started.message())), true);
}

Status WorkerProcess::StartNow(const runtime::StartExecutor& given) {
  const std::string name = NameOf(given.executor());
  if (!IsPlainName(name)) {  // it becomes a folder
    return absl::InvalidArgumentError("a job's id holds letters, digits and '-_.' only");
  }
  const std::string folder = fmt::format("{}/executors/{}", options_.data_dir, name);
  WEIR_RETURN_IF_ERROR(env_.disk.RemoveTree(folder));
  WEIR_RETURN_IF_ERROR(env_.disk.MakeDirectories(folder));
  runtime::ExecutorStart start = given.start();
  start.set_coordinator(options_.join.ToString());
  if (options_.tls != nullptr) {
    start.mutable_tls()->set_cert(options_.tls_files.cert);
    start.mutable_tls()->set_key(options_.tls_files.key);
    start.mutable_tls()->set_ca(options_.tls_files.ca);
  } else if (!start.host().empty() && !IsLoopback(start.host())) {
    return absl::FailedPreconditionError(fmt::format(
        "its executor would listen for its peers at {}, which other machines can reach; give the "
        "coordinator and all workers --tls-cert, --tls-key and --tls-ca",
        start.host()));
  }
  WEIR_ASSIGN_OR_RETURN(*start.mutable_library(), blobs_.Find(start.library_sha256()));
  for (const runtime::ResourceRef& resource : given.resources()) {
    runtime::ResourceFile& file = *start.add_resources();
    file.set_name(resource.name());
    file.set_path(resource.path());
    WEIR_ASSIGN_OR_RETURN(*file.mutable_content(), blobs_.Read(resource.sha256()));
  }
  start.set_work(folder + "/state");
  start.set_crash_file(folder + "/crash");
  start.set_parent(getpid());
  start.set_log_format(options_.log_format);
  WEIR_ASSIGN_OR_RETURN(OutputFile output, OutputFile::Create(folder + "/log"));
  WEIR_ASSIGN_OR_RETURN(const int question,
                        FileInMemory("weir-executor-start", start.SerializeAsString()));
  ChildProcess::Options child{options_.program, {"executor"}, {question}, output.descriptor()};
  StatusOr<ChildProcess> process = ChildProcess::Start(child);
  close(question);
  WEIR_RETURN_IF_ERROR(process.status());
  running_[name] = {given.executor(), *std::move(process), folder, MemoryLimitOf(start),
                    std::move(output)};
  return absl::OkStatus();
}

void WorkerProcess::OnBlob(const runtime::Blob& blob) {
  std::erase(asked_for_, blob.sha256());
  Status stored = absl::NotFoundError("the coordinator has it no more");
  if (!blob.missing()) stored = blobs_.Put(blob.sha256(), blob.content());
  std::vector<runtime::StartExecutor> waiting = std::exchange(waiting_, {});
  for (const runtime::StartExecutor& start : waiting) {
    if (stored.ok()) {
      Start(start);
      continue;
    }
    ReportEnd(
        {start.executor(), {}, "", 0, {}},
        fmt::format("cannot be started: blob {}: {}", blob.sha256(), std::string(stored.message())),
        true);
  }
}

void WorkerProcess::EndExecutor(const runtime::ExecutorRef& ref) {
  std::erase_if(waiting_, [&](const runtime::StartExecutor& start) {
    return NameOf(start.executor()) == NameOf(ref);
  });
  const auto found = running_.find(NameOf(ref));
  if (found == running_.end()) return;
  const pid_t pid = found->second.process.pid();
  const int wait_status = found->second.process.End();
  ReportEnd(found->second, fmt::format("process {} {}", pid, DescribeWaitStatus(wait_status)),
            false);
  running_.erase(found);
}

void WorkerProcess::ReportEnd(const Running& running, std::string how, bool by_itself,
                              std::string crash_of_job) {
  LogLine line(how);
  if (by_itself) line = LogLine::Warning(how, "executors that ended");
  line.job = running.ref.job_id();
  line.attempt = running.ref.attempt();
  line.executor = static_cast<int>(running.ref.executor());
  options_.log(line);
  runtime::FromWorker message;
  runtime::ExecutorEnded& ended = *message.mutable_executor_ended();
  *ended.mutable_executor() = running.ref;
  ended.set_how(std::move(how));
  ended.set_by_itself(by_itself);
  if (!running.folder.empty()) {
    StatusOr<std::string> crash = ReadCrashFile(env_.disk, running.folder + "/crash");
    ended.set_crash(crash.ok() ? *std::move(crash) : std::move(crash_of_job));
    ended.set_log_tail(running.output.Tail(limits::kLogTailBytes));
    (void)env_.disk.RemoveTree(running.folder);  // what stays is removed by the next worker
  }
  Send(message);
}

uint64_t WorkerProcess::MemoryLimitOf(const runtime::ExecutorStart& start) const {
  if (!options_.memory_limit_bytes) return 0;
  if (*options_.memory_limit_bytes == 0) {
    return 2 * start.memory_bytes() + limits::kExecutorMemorySlackBytes;
  }
  const double share =
      static_cast<double>(start.memory_bytes()) / static_cast<double>(options_.memory_bytes);
  return static_cast<uint64_t>(static_cast<double>(*options_.memory_limit_bytes) * share);
}

// One that takes all the memory there is would take its neighbours with it.
void WorkerProcess::EndTheGreedy() {
  for (auto at = running_.begin(); at != running_.end();) {
    Running& running = at->second;
    const pid_t pid = running.process.pid();
    const uint64_t held = running.memory_bytes_max == 0 ? 0 : ResidentBytesOf(pid);
    if (held <= running.memory_bytes_max) {
      ++at;
      continue;
    }
    running.process.End();
    ReportEnd(running,
              fmt::format("process {} was ended by its worker: it held {} of memory, its limit is "
                          "{} (--memory-limit of weir worker)",
                          pid, FormatSize(held), FormatSize(running.memory_bytes_max)),
              true, "with too much memory");
    at = running_.erase(at);
  }
}

int64_t WorkerProcess::Tick() {
  const int64_t now = env_.clock.MonotonicMicros();
  if (now >= look_at_memory_at_) {
    EndTheGreedy();
    look_at_memory_at_ = now + limits::kMemoryLookInterval;
  }
  for (auto at = running_.begin(); at != running_.end();) {
    at->second.output.Bound();
    const pid_t pid = at->second.process.pid();
    const std::optional<int> ended = at->second.process.Ended();
    if (!ended) {
      ++at;
      continue;
    }
    // With 0 it ends because its attempt is over, of which it has told.
    ReportEnd(at->second, fmt::format("process {} {}", pid, DescribeWaitStatus(*ended)),
              *ended != 0);
    at = running_.erase(at);
  }
  if (connection_ == nullptr && now >= connect_at_) Connect();
  if (joined_ && now >= tell_at_) {
    Send({});  // nothing but that it is there
    tell_at_ = now + limits::kHeartbeatInterval;
  }
  if (leave_by_ != 0 && now >= leave_by_) {
    options_.log(LogLine::Warning("leaving though not everything has been moved in time"));
    Finish(absl::OkStatus());
  }
  return now + limits::kSuperviseInterval;
}

}  // namespace weir
