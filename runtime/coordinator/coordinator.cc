#include "runtime/coordinator/coordinator.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/limits.h"
#include "runtime/data_folder.h"

namespace weir {
Coordinator::Coordinator(NetworkThread& network, Environment& env, CoordinatorOptions options)
    : network_(network),
      env_(env),
      options_(std::move(options)),
      loop_(env.clock),
      io_(env.io),
      blobs_(env, options_.data_dir + "/blobs") {
  if (options_.checkpoints.empty()) options_.checkpoints = options_.data_dir + "/checkpoints";
}

Coordinator::~Coordinator() {
  *alive_ = false;
  doorkeeper_.reset();
  arrivals_.clear();
  sessions_.clear();
  closing_.clear();
  io_.WaitUntilIdle();
}

StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(NetworkThread& network, Environment& env,
                                                          CoordinatorOptions options) {
  std::unique_ptr<Coordinator> coordinator(new Coordinator(network, env, std::move(options)));
  WEIR_RETURN_IF_ERROR(coordinator->Open());
  return coordinator;
}

Status Coordinator::Open() {
  WEIR_ASSIGN_OR_RETURN(lock_, LockDataFolder(env_, options_.data_dir));
  const Status made = env_.disk.MakeDirectories(options_.checkpoints);
  if (!made.ok()) return Annotate(made, "the folder of checkpoints cannot be written to");
  // Workers are told of it, and may have another working directory.
  for (std::string* folder : {&options_.data_dir, &options_.checkpoints}) {
    WEIR_ASSIGN_OR_RETURN(*folder, env_.disk.Canonical(*folder));
  }
  WEIR_ASSIGN_OR_RETURN(store_, DurableMap::Open(options_.data_dir + "/store"));
  WEIR_RETURN_IF_ERROR(MakeMarker());
  WEIR_RETURN_IF_ERROR(RecoverJobs());
  Doorkeeper::Options door;
  door.listen = options_.rpc_listen;
  door.connection.tls = options_.tls;
  WEIR_ASSIGN_OR_RETURN(doorkeeper_,
                        Doorkeeper::Listen(
                            network_, std::move(door),
                            [this](const Frame& first, std::unique_ptr<Connection>& connection) {
                              return Greet(first, connection);
                            },
                            [this](const std::string& line) {
                              loop_.Post([this, alive = alive_, line] {
                                if (*alive) Log(LogLine::Warning(line));
                              });
                            }));
  return absl::OkStatus();
}

// By it a worker sees that the folder of checkpoints is the same one there.
Status Coordinator::MakeMarker() {
  const std::string path = fmt::format("{}/{}", options_.checkpoints, kMarkerFile);
  if (StatusOr<std::string> there = ReadFile(env_.disk, path); there.ok() && !there->empty()) {
    marker_content_ = *std::move(there);
    return absl::OkStatus();
  }
  marker_content_ = fmt::format("{:016x}{:016x}\n", env_.random.Next(), env_.random.Next());
  return Annotate(WriteAtomically(env_.disk, path, marker_content_),
                  "the folder of checkpoints cannot be written to");
}

Status Coordinator::RecoverJobs() {
  using Entries = std::map<std::string, std::string>;
  WEIR_ASSIGN_OR_RETURN(const Entries entries, store_->Load(kJobPrefix));
  for (const auto& [key, bytes] : entries) {
    runtime::ClusterJob kept;
    if (!kept.ParseFromString(bytes)) {
      return absl::DataLossError(fmt::format("{}/store: {} is damaged", options_.data_dir, key));
    }
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ClusterJob> job,
                          ClusterJob::Make(std::move(kept), env_, loop_, *this));
    jobs_[job->id()] = std::move(job);
  }
  return absl::OkStatus();
}

void Coordinator::Run() {
  for (auto& [id, job] : jobs_) {
    const Status begun = job->Begin();
    if (begun.ok()) continue;
    LogLine line = LogLine::Error(std::string(begun.message()));
    line.job = id;
    Log(line);
  }
  ready_ = true;
  loop_.Run([this] { return Tick(); });
  ready_ = false;
}

void Coordinator::Stop() { loop_.Stop(); }

int64_t Coordinator::Tick() {
  const int64_t now = env_.clock.MonotonicMicros();
  int64_t next = now + limits::kProgressInterval;
  for (auto& [id, job] : jobs_) next = std::min(next, job->Tick(now));
  SendGoodbyes();
  return std::max(next, now + 1000);
}

Status Coordinator::Save(const std::string& job_id, const runtime::ClusterJob& job) {
  const Status saved = store_->Put(std::string(kJobPrefix) + job_id, job.SerializeAsString());
  if (saved.ok()) return saved;
  return CannotStore(saved, "save what is to become of job " + job_id, options_.data_dir);
}

Status Coordinator::CannotStore(const Status& why, std::string_view what,
                                const std::string& folder) {
  const std::string message = fmt::format(
      "the coordinator cannot {}: {}; see that the disk of {} has room and can be written to", what,
      std::string(why.message()), folder);
  if (absl::IsResourceExhausted(why)) return absl::ResourceExhaustedError(message);
  return absl::UnavailableError(message);
}

}  // namespace weir
