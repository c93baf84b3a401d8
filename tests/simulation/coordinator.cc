#include "tests/simulation/coordinator.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <utility>

#include "core/check.h"
#include "core/codec.h"

namespace weir::simulation {
namespace {

// The same bytes each time, also of maps.
std::string Serialize(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  WEIR_CHECK(message.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

constexpr int64_t kSettleMicros = Milliseconds(200);
// The record and the attempt's state, as one; a coordinator keeps them in a DurableMap.
constexpr const char* kKept = "/data/job";

}  // namespace

struct SimCoordinator::Parts {
  explicit Parts(SimProcess& process)
      : objects(process.env(), std::string(kDataFolder) + "/checkpoints") {}
  LocalObjectStore objects;
  std::unique_ptr<CheckpointStore> store;
  std::unique_ptr<SimExecutorPool> pool;
  std::unique_ptr<JobMaster> master;
};

SimCoordinator::SimCoordinator(Cluster& cluster, SimProcess& process, Options options)
    : cluster_(cluster),
      process_(process),
      options_(std::move(options)),
      parts_(std::make_unique<Parts>(process)) {
  process_.on_gone = [this] {
    cluster_.network.OnDeath(process_);
    while (process_.HelpIo()) {
    }
    parts_.reset();
  };
}

SimCoordinator::~SimCoordinator() = default;

// What ClusterJob::StartOptions() does for a job that goes on.
Status SimCoordinator::Prepare() {
  Environment& env = process_.env();
  WEIR_RETURN_IF_ERROR(env.disk.MakeDirectories(kDataFolder));
  StatusOr<std::string> kept = ReadFile(env.disk, kKept);
  if (absl::IsNotFound(kept.status())) {
    record_.job_id = NewJobId("simulated", env.random);
    record_.identity.job_name = "simulated";
    record_.created = env.clock.Now();
  } else {
    WEIR_RETURN_IF_ERROR(kept.status());
    ByteReader in(*kept);
    std::string_view record, attempt;
    if (!in.Bytes(record) || !in.Bytes(attempt) ||
        !attempt_.ParseFromString(std::string(attempt))) {
      return absl::DataLossError("the job's record is torn");
    }
    WEIR_ASSIGN_OR_RETURN(record_, JobRecord::Parse(record, kKept));
  }
  start_.parallelism = options_.parallelism;
  start_.checkpoint_interval = options_.checkpoint_interval;
  start_.restarts_max = std::nullopt;  // as many as there are faults
  start_.identity = record_.identity;
  parts_->store = std::make_unique<CheckpointStore>(parts_->objects, env,
                                                    CheckpointStoreOptions{record_.job_id});
  WEIR_ASSIGN_OR_RETURN(CheckpointStore::Newest newest, parts_->store->NewestVerified());
  const CheckpointId found = newest.manifest ? newest.manifest->checkpoint : 0;
  if (record_.last_completed > found || !newest.skipped.empty()) {
    return absl::DataLossError(
        fmt::format("checkpoint {} was complete, and the newest that can be verified is {}: {}",
                    record_.last_completed, found,
                    newest.skipped.empty() ? "nothing else is there"
                                           : std::string(newest.skipped[0].why.message())));
  }
  if (newest.manifest) start_.restore = *std::move(newest.manifest);
  return absl::OkStatus();
}

void SimCoordinator::Start(std::function<void(const Outcome&)> over) {
  over_ = std::move(over);
  if (const Status prepared = Prepare(); !prepared.ok()) {
    process_.Post([this, prepared] {
      std::exchange(over_, nullptr)({true, RunState::kRunning, prepared});
    });
    return;
  }
  const auto now = [this] { return process_.env().clock.MonotonicMicros(); };
  ExecutorPool::Events events{
      [this](uint32_t attempt, const std::vector<std::string>& addresses) {
        Drive([&] { parts_->master->OnExecutorsStarted(attempt, addresses); });
      },
      [this, now](uint32_t attempt, int executor, const JobMaster::Loss& loss) {
        Drive([&] { parts_->master->OnExecutorLost(attempt, executor, loss, now()); });
      },
      [this, now](int executor, const runtime::ToCoordinator& message) {
        Drive([&] { parts_->master->OnMessage(executor, message, now()); });
      }};
  parts_->pool =
      std::make_unique<SimExecutorPool>(cluster_, process_, record_.job_id, std::move(events));
  parts_->master = std::make_unique<JobMaster>(cluster_.job.graph, record_, start_,
                                               static_cast<JobMaster::Host&>(*this));
  const bool runs = record_.state == RunState::kRunning && record_.attempt != 0 &&
                    attempt_.attempt() == record_.attempt && !cluster_.bugs.unfenced_attempts;
  Drive([&] {
    if (!runs) return parts_->master->Start(now());
    parts_->pool->Await(record_.attempt, attempt_.shares_size());
    parts_->master->Reattach(attempt_, now());
    int parallelism = 0;
    for (const uint32_t share : attempt_.shares()) parallelism += static_cast<int>(share);
    if (parallelism != options_.parallelism) parts_->master->Rescale(options_.parallelism, now());
  });
}

bool SimCoordinator::running() const {
  return process_.alive() && parts_ != nullptr && parts_->master != nullptr &&
         !parts_->master->ended();
}

// What was handled may have changed what is due.
void SimCoordinator::Drive(const std::function<void()>& call) {
  call();
  Tick();
}

void SimCoordinator::Tick() {
  if (!process_.alive()) return;
  parts_->pool->AskProgress();
  const int64_t next = parts_->master->Tick(process_.env().clock.MonotonicMicros());
  const uint64_t tick = ++next_tick_;
  if (parts_->master->ended()) {
    if (!over_) return;
    process_.Post([this, over = std::exchange(over_, nullptr)] {
      while (process_.HelpIo()) {  // as LocalJob waits for its manifests and garbage
      }
      over({true, record_.state, parts_->master->status(0).failure});
    });
    return;
  }
  process_.At(next, [this, tick] {
    if (tick == next_tick_) Tick();
  });
}

void SimCoordinator::RequestStop() {
  if (!running()) return;
  Drive([&] { parts_->master->RequestStop(process_.env().clock.MonotonicMicros()); });
}

void SimCoordinator::RequestSavepoint() {
  if (!running()) return;
  Drive([&] { parts_->master->RequestSavepoint(process_.env().clock.MonotonicMicros()); });
}

void SimCoordinator::Rescale(const Options& options) {
  options_ = options;
  if (!running()) return;
  Drive([&] {
    parts_->master->Rescale(options.parallelism, process_.env().clock.MonotonicMicros());
  });
}

// As slots happen to be free: at least one subtask for each executor.
std::vector<int> SimCoordinator::PlaceExecutors(int parallelism) {
  SeededRandom& random = cluster_.world.random();
  if (random.OneIn(20)) return {};
  std::vector<int> shares(std::min(options_.executors, parallelism), 1);
  for (int left = parallelism - static_cast<int>(shares.size()); left > 0; --left) {
    ++shares[random.Below(shares.size())];
  }
  return shares;
}

void SimCoordinator::StartExecutors(uint32_t attempt, const std::vector<int>& shares) {
  ++attempts_;
  parts_->pool->Start(attempt, static_cast<int>(shares.size()));
}

void SimCoordinator::Send(int executor, const runtime::ToExecutor& message) {
  parts_->pool->Send(executor, message);
}

Status SimCoordinator::SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) {
  record_ = record;
  record_.updated = process_.env().clock.Now();
  std::string bytes;
  PutBytes(record_.Serialize(), bytes);
  PutBytes(Serialize(attempt), bytes);
  return WriteAtomically(process_.env().disk, kKept, bytes);
}

void SimCoordinator::WriteManifest(Manifest manifest) {
  SettleManifest(std::make_shared<Manifest>(std::move(manifest)));
}

void SimCoordinator::SettleManifest(std::shared_ptr<Manifest> manifest) {
  process_.env().io.Submit([this, manifest] {
    manifest->created = process_.env().clock.Now();
    const Status outcome = parts_->store->WriteManifest(*manifest);
    process_.Post([this, manifest, outcome] {
      if (absl::IsUnknown(outcome)) {
        // Nothing may be done with the job before the store has told.
        process_.After(kSettleMicros, [this, manifest] { SettleManifest(manifest); });
        return;
      }
      if (outcome.ok()) {
        ++completed_;
        cluster_.world.Tell("checkpoint {} is complete", manifest->checkpoint);
      }
      Drive([&] { parts_->master->OnManifestOutcome(manifest->checkpoint, outcome); });
    });
  });
}

void SimCoordinator::CollectGarbage(uint32_t attempts_over) {
  process_.env().io.Submit([this, record = record_, attempts_over] {
    const Status collected =
        parts_->store
            ->CollectGarbage(
                [&](CheckpointId checkpoint) { return !record.IsSuperseded(checkpoint); },
                attempts_over)
            .status();
    process_.Post([this, collected] {
      if (!collected.ok()) Log(std::string(collected.message()));
      Drive([&] { parts_->master->OnGarbageCollected(process_.env().clock.MonotonicMicros()); });
    });
  });
}

void SimCoordinator::Log(const LogLine& line) {
  cluster_.world.Tell("{}: {}", process_.name(), line.message);
}

}  // namespace weir::simulation
