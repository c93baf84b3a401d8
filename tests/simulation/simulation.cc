#include "tests/simulation/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "tests/simulation/cluster.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/sim_job.h"

namespace weir::simulation {
namespace {

constexpr int64_t kTimeMax = Seconds(4 * 3600);  // a job that takes longer hangs
constexpr uint64_t kEventsMax = 3'000'000;
constexpr int64_t kAfterlife = Seconds(60);  // in which those that are left over go on

constexpr std::string_view kNames[kFaults] = {
    "kill",       "kill-in-io", "kill-several", "kill-coordinator", "cut",       "stop",
    "stop-in-io", "slow",       "disk-error",   "disk-full",        "disk-slow", "power",
    "clock-jump", "stop-job",   "rescale",      "savepoint"};

class Simulation {
 public:
  Simulation(uint64_t seed, const SimulationOptions& options);
  // What lives in the processes goes before them.
  ~Simulation() {
    for (const auto& process : cluster_.processes) process->End();
  }
  SimulationResult Run();

 private:
  void StartCoordinator();
  void StartCoordinatorSoon();
  void OnOver(const SimCoordinator::Outcome& outcome);
  void ChangeShape();
  void PlanFault();
  void Inject();
  bool Strike(Fault fault);
  bool StrikeAtAccess(std::function<void(SimProcess&)> strike);
  int64_t StopTime();
  void KillAll();
  void NoteCheckpoints();
  void Fail(std::string what) {
    if (result_.violation.empty()) result_.violation = std::move(what);
  }
  SeededRandom& random() { return cluster_.world.random(); }

  SimulationResult result_;
  std::shared_ptr<Input> input_;
  Cluster cluster_;
  SimCoordinator::Options shape_;
  std::vector<Fault> kinds_;  // that this seed has
  uint64_t faults_left_ = 0;
  int64_t fault_gap_ = 0;
  bool finished_ = false;
  bool rescaled_ = false;
  bool list_ = false;
  bool coordinator_coming_ = false;
  SimCoordinator* coordinator_ = nullptr;
  uint64_t checkpoints_before_ = 0;  // of coordinators that are gone
  uint64_t attempts_before_ = 0;
  std::vector<std::unique_ptr<SimCoordinator>> coordinators_;
};

Simulation::Simulation(uint64_t seed, const SimulationOptions& options) : cluster_(seed) {
  result_.seed = seed;
  cluster_.world.tell = options.tell;
  cluster_.bugs = options.bugs;
  SeededRandom& random = cluster_.world.random();
  input_ = Input::Make(random);
  input_->poll_micros = Milliseconds(random.Between(20, 150));
  JobOptions job;
  job.sink.directory = kOutFolder;
  job.sink.by_partition = false;
  job.sink.encoding.compression = PartCompression::kNone;
  job.sink.manifest = list_ = random.OneIn(2);
  if (random.OneIn(3)) job.sink.part_bytes = 400;  // parts stay open across checkpoints
  job.commit_early = options.bugs.commit_before_manifest;
  cluster_.job = MakeJob(input_, job);

  shape_.executors = random.OneIn(20) ? 2 : static_cast<int>(random.Between(3, 5));
  shape_.parallelism = shape_.executors + static_cast<int>(random.Below(3));
  shape_.checkpoint_interval = Milliseconds(random.Between(100, 700));
  result_.executors = shape_.executors;
  const size_t channels[] = {64, 500, 4000, 1 << 20};
  cluster_.channel_bytes = channels[random.Below(4)];
  const int64_t delays[] = {50, 300, 3000};
  cluster_.network.typical_delay = delays[random.Below(3)];
  cluster_.kills_reach = random.OneIn(2);

  // Few kinds in one seed, each again and again, find what all kinds together hide.
  for (size_t kind = 0; kind < kFaults; ++kind) {
    if (random.OneIn(3)) kinds_.push_back(static_cast<Fault>(kind));
  }
  if (kinds_.empty()) kinds_.push_back(Fault::kKill);
  faults_left_ = static_cast<uint64_t>(random.Between(3, 9));
  fault_gap_ = shape_.checkpoint_interval * random.Between(1, 4) / 2;
}

SimulationResult Simulation::Run() {
  World& world = cluster_.world;
  const int64_t began = world.now();
  StartCoordinator();
  PlanFault();
  int64_t end = kMaxTimestamp;
  while (result_.violation.empty() && world.now() < end && world.RunOne()) {
    NoteCheckpoints();
    if (finished_ && end == kMaxTimestamp) end = world.now() + kAfterlife;
    if (finished_ && cluster_.AnyExecutor() == nullptr) break;
    if (finished_) continue;
    if (world.now() - began > kTimeMax || world.events() > kEventsMax) {
      Fail(fmt::format("the job does not come to its end: {} events, {} s of virtual time",
                       world.events(), (world.now() - began) / 1'000'000));
    }
  }
  if (result_.violation.empty()) {
    // What is committed is durable.
    if (random().OneIn(2)) {
      KillAll();
      cluster_.disk.FailPower();
    }
    Fail(FindFault(*input_, cluster_.disk, kOutFolder, {finished_, rescaled_, list_}));
    if (!finished_) Fail("nothing happens any more, and the job has not ended");
  }
  world.Trace("end", finished_, result_.checkpoints);
  result_.trace = world.trace();
  result_.events = world.events();
  result_.virtual_s = static_cast<double>(world.now() - began) / 1e6;
  return std::move(result_);
}

void Simulation::StartCoordinator() {
  coordinator_coming_ = false;
  SimProcess& process = cluster_.NewProcess("coordinator");
  coordinators_.push_back(std::make_unique<SimCoordinator>(cluster_, process, shape_));
  coordinator_ = coordinators_.back().get();
  coordinator_->Start([this](const SimCoordinator::Outcome& outcome) { OnOver(outcome); });
}

void Simulation::StartCoordinatorSoon() {
  if (std::exchange(coordinator_coming_, true)) return;
  cluster_.world.After(random().Delay(Milliseconds(300)), [this] { StartCoordinator(); });
}

void Simulation::OnOver(const SimCoordinator::Outcome& outcome) {
  cluster_.world.Tell("{} is over: {} {}", coordinator_->process().name(), ToString(outcome.state),
                      std::string(outcome.failure.message()));
  coordinator_->process().Kill();
  if (outcome.state == RunState::kFinished) {
    finished_ = true;
    return;
  }
  if (outcome.state == RunState::kSuspended) {
    ChangeShape();
  } else if (!IsRetryable(outcome.failure) || absl::IsDataLoss(outcome.failure)) {
    Fail(fmt::format("the job cannot go on: {}", outcome.failure.ToString()));
  }
  StartCoordinatorSoon();
}

void Simulation::ChangeShape() {
  rescaled_ = true;
  shape_.executors = static_cast<int>(random().Between(2, 5));
  shape_.parallelism = shape_.executors + static_cast<int>(random().Below(3));
}

void Simulation::NoteCheckpoints() {
  if (coordinator_ == nullptr) return;
  result_.checkpoints = checkpoints_before_ + coordinator_->checkpoints_completed();
  result_.attempts = attempts_before_ + coordinator_->attempts();
  if (coordinator_->process().alive() || finished_ || coordinator_coming_) return;
  // It died, or it is being replaced.
  checkpoints_before_ = result_.checkpoints;
  attempts_before_ = result_.attempts;
  coordinator_ = nullptr;
  StartCoordinatorSoon();
}

void Simulation::PlanFault() {
  cluster_.world.After(random().Between(1, 2 * fault_gap_), [this] { Inject(); });
}

void Simulation::Inject() {
  if (finished_) return;
  // The first faults may come at any time, the last ones when there is something to be lost.
  if (faults_left_ <= 3 && result_.checkpoints == 0) return PlanFault();
  if (faults_left_ == 0) {
    cluster_.trouble = {};
    return;
  }
  const Fault fault = kinds_[random().Below(kinds_.size())];
  if (Strike(fault)) {
    --faults_left_;
    ++result_.faults[static_cast<size_t>(fault)];
    if (result_.checkpoints > 0) ++result_.faults_after_checkpoint;
    cluster_.world.Trace("fault", static_cast<uint64_t>(fault));
  }
  PlanFault();
}

// False: there is nobody to strike.
bool Simulation::Strike(Fault fault) {
  World& world = cluster_.world;
  SimExecutor* executor = cluster_.AnyExecutor();
  world.Tell("fault: {}", ToString(fault));
  switch (fault) {
    case Fault::kKill:
      if (executor == nullptr) return false;
      executor->process().Kill();
      return true;
    case Fault::kKillAtAccess:
      return StrikeAtAccess([](SimProcess& process) { process.Kill(); });
    case Fault::kKillSeveral:
      if (executor == nullptr) return false;
      for (SimExecutor* each : std::vector(cluster_.running)) {
        if (random().OneIn(2)) each->process().Kill();
      }
      return true;
    case Fault::kKillCoordinator:
      if (coordinator_ == nullptr || !coordinator_->process().alive()) return false;
      if (random().OneIn(2)) {
        coordinator_->process().StrikeAtAccess(1 + random().Below(60),
                                               [](SimProcess& process) { process.Kill(); });
      } else {
        coordinator_->process().Kill();
      }
      return true;
    case Fault::kCut: {
      const auto connection = cluster_.network.Any();
      if (connection == nullptr) return false;
      connection->Cut();
      return true;
    }
    case Fault::kStop:
      if (executor == nullptr || executor->process().stopped()) return false;
      cluster_.network.Stop(executor->process(), StopTime());
      return true;
    case Fault::kStopAtAccess:
      return StrikeAtAccess(
          [this](SimProcess& process) { cluster_.network.Stop(process, StopTime()); });
    case Fault::kSlow:
      if (executor == nullptr) return false;
      executor->process().set_slowness(random().Between(2, 50));
      return true;
    case Fault::kDiskError:
      cluster_.trouble.errors_left += static_cast<int>(random().Between(1, 3));
      return true;
    case Fault::kDiskFull:
      cluster_.trouble.full_until = world.now() + random().Between(1000, 3 * fault_gap_);
      return true;
    case Fault::kDiskSlow:
      cluster_.trouble.slow_until = world.now() + random().Between(1000, 5 * fault_gap_);
      return true;
    case Fault::kPower:
      KillAll();
      cluster_.disk.FailPower();
      return true;
    case Fault::kClockJump: {
      const Duration by = random().Between(-Seconds(200'000), Seconds(200'000));
      if (executor != nullptr && random().OneIn(2)) {
        executor->process().JumpClock(by);
      } else if (coordinator_ != nullptr) {
        coordinator_->process().JumpClock(by);
      }
      return true;
    }
    case Fault::kStopJob:
      if (coordinator_ == nullptr || !coordinator_->process().alive()) return false;
      coordinator_->RequestStop();
      return true;
    case Fault::kRescale:
      if (coordinator_ == nullptr || !coordinator_->process().alive()) return false;
      ChangeShape();
      coordinator_->Rescale(shape_);
      return true;
    case Fault::kSavepoint:
      if (coordinator_ == nullptr || !coordinator_->process().alive()) return false;
      coordinator_->RequestSavepoint();
      return true;
  }
  return false;
}

// Often long enough to be taken for lost, and not much longer: then the next attempt is under way.
int64_t Simulation::StopTime() {
  switch (random().Below(4)) {
    case 0:
      return random().Between(1000, Seconds(1));
    case 1:
      return random().Between(Seconds(1), Seconds(40));
    default:
      return limits::kHeartbeatTimeout + random().Between(1000, Seconds(4));
  }
}

// An executor that runs, or the next one from its start.
bool Simulation::StrikeAtAccess(std::function<void(SimProcess&)> strike) {
  SimExecutor* executor = cluster_.AnyExecutor();
  const uint64_t accesses = 1 + random().Below(random().OneIn(2) ? 20 : 100);
  if (executor != nullptr && random().OneIn(2)) {
    executor->process().StrikeAtAccess(accesses, std::move(strike));
  } else {
    cluster_.ambush = [accesses, strike = std::move(strike)](SimProcess& process) {
      process.StrikeAtAccess(accesses, strike);
    };
  }
  return true;
}

void Simulation::KillAll() {
  for (SimExecutor* each : std::vector(cluster_.running)) each->process().Kill();
  if (coordinator_ != nullptr) coordinator_->process().Kill();
}

}  // namespace

std::string_view ToString(Fault fault) { return kNames[static_cast<size_t>(fault)]; }

SimulationResult Simulate(uint64_t seed, const SimulationOptions& options) {
  return Simulation(seed, options).Run();
}

}  // namespace weir::simulation
