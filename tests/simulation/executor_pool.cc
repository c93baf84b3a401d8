#include "tests/simulation/executor_pool.h"

#include <utility>

#include "core/check.h"
#include "core/limits.h"

namespace weir::simulation {
namespace {

constexpr int64_t kStartMicros = Milliseconds(20);  // of a process, typically

}  // namespace

SimExecutorPool::SimExecutorPool(Cluster& cluster, SimProcess& coordinator, std::string job_id,
                                 Events events)
    : cluster_(cluster),
      process_(coordinator),
      job_id_(std::move(job_id)),
      events_(std::move(events)) {
  cluster_.door.connect = [this](SimExecutor& executor) { return Accept(executor); };
  cluster_.door.late = [this](uint32_t attempt, int executor, const std::string& bytes) {
    if (!process_.alive()) return;
    // A connection doubles nothing: what is of this attempt has come.
    if (attempt == attempt_ && !cluster_.bugs.unfenced_attempts) return;
    OnMessage(attempt, executor, bytes);
  };
}

SimExecutorPool::~SimExecutorPool() {
  *alive_ = false;
  cluster_.door = {};
  for (Member& member : members_) Fence(member);
}

void SimExecutorPool::Fence(Member& member) {
  if (cluster_.bugs.unfenced_attempts) return;
  if (member.connection != nullptr) member.connection->Close(0);
  if (!cluster_.kills_reach || !process_.alive() || member.executor == nullptr) return;
  member.executor->process().Kill();
}

void SimExecutorPool::Start(uint32_t attempt, int executors) {
  for (Member& member : members_) Fence(member);
  members_.clear();
  members_.resize(executors);
  attempt_ = attempt;
  for (int i = 0; i < executors; ++i) {
    members_[i].deadline = cluster_.world.now() + limits::kExecutorStartMax;
    // A machine may be busy, or not come up at all.
    if (cluster_.world.random().OneIn(200)) continue;
    process_.After(cluster_.world.random().Delay(kStartMicros), [this, alive = alive_, attempt, i] {
      if (*alive && attempt == attempt_ && !members_[i].over) Launch(attempt, i);
    });
  }
}

void SimExecutorPool::Await(uint32_t attempt, int executors) {
  members_.resize(executors);
  attempt_ = attempt;
  for (Member& member : members_) member.deadline = cluster_.world.now() + limits::kReattachMax;
}

void SimExecutorPool::Launch(uint32_t attempt, int executor) {
  SimProcess& process = cluster_.NewProcess("executor");
  SimExecutor::Options options;
  options.job_id = job_id_;
  options.attempt = attempt;
  options.executor = executor;
  options.checkpoints = std::string(kDataFolder) + "/checkpoints";
  options.work = "/work/" + process.name();
  options.channel_bytes = cluster_.channel_bytes;
  options.bugs = cluster_.bugs;
  cluster_.executors.push_back(std::make_unique<SimExecutor>(
      process, cluster_.network, cluster_.links, cluster_.job, cluster_.door, std::move(options)));
  SimExecutor* started = cluster_.executors.back().get();
  cluster_.running.push_back(started);
  members_[executor].executor = started;
  if (cluster_.ambush) std::exchange(cluster_.ambush, nullptr)(process);
  started->Start();
}

SimExecutor::Coordinator SimExecutorPool::Accept(SimExecutor& executor) {
  // Which connection it is that is closed, the callback learns when there is one.
  auto own = std::make_shared<SimConnection*>(nullptr);
  auto connection = cluster_.network.Connect(
      {&process_,
       [this, alive = alive_, &executor, own](const Status& why) {
         if (*alive) OnClosed(executor, *own, why);
       }},
      {&executor.process(), [&executor](const Status& why) { executor.OnClosed(why); }});
  *own = connection.get();
  const uint32_t attempt = executor.options().attempt;
  const int index = executor.options().executor;
  return {connection,
          [this, alive = alive_, &executor, weak = std::weak_ptr(connection)] {
            const auto still = weak.lock();
            if (*alive && still != nullptr) OnHello(executor, still);
          },
          [this, alive = alive_, attempt, index](const std::string& bytes) {
            if (*alive) OnMessage(attempt, index, bytes);
          }};
}

void SimExecutorPool::OnHello(SimExecutor& executor,
                              const std::shared_ptr<SimConnection>& connection) {
  const size_t index = static_cast<size_t>(executor.options().executor);
  const bool expected = executor.options().attempt == attempt_ && index < members_.size() &&
                        !members_[index].over && members_[index].address.empty();
  if (!expected) return connection->Close(0);
  Member& member = members_[index];
  member.executor = &executor;
  member.connection = connection;
  member.address = executor.process().name();
  member.deadline = 0;
  std::vector<std::string> addresses;
  for (const Member& each : members_) {
    if (each.address.empty()) return;
    addresses.push_back(each.address);
  }
  events_.started(attempt_, addresses);
}

void SimExecutorPool::OnMessage(uint32_t attempt, int executor, const std::string& bytes) {
  runtime::ToCoordinator message;
  WEIR_CHECK(message.ParseFromString(bytes));
  if (attempt == attempt_ && message.has_canceled()) members_[executor].canceled = true;
  // One of an old attempt reaches the state machine, which refuses it.
  if (cluster_.bugs.unfenced_attempts) message.set_attempt(attempt_);
  events_.message(executor, message);
}

void SimExecutorPool::OnClosed(const SimExecutor& executor, const SimConnection* connection,
                               const Status& why) {
  const size_t index = static_cast<size_t>(executor.options().executor);
  if (executor.options().attempt != attempt_ || index >= members_.size() ||
      members_[index].connection.get() != connection) {
    return;
  }
  End(static_cast<int>(index), why, /*by_itself=*/true);
}

void SimExecutorPool::End(int executor, const Status& why, bool by_itself) {
  Member& member = members_[executor];
  if (std::exchange(member.over, true)) return;
  member.deadline = 0;
  Fence(member);
  if (member.canceled) return;
  JobMaster::Loss loss;
  loss.by_itself = by_itself;
  loss.why = absl::UnavailableError(
      fmt::format("executor {} is lost: {}", executor, std::string(why.message())));
  events_.lost(attempt_, executor, loss);
}

void SimExecutorPool::Send(int executor, const runtime::ToExecutor& message) {
  Member& member = members_[executor];
  if (member.over) return;
  if (!member.address.empty()) {
    SimExecutor* to = member.executor;
    member.connection->Send(
        0, [to, bytes = message.SerializeAsString()] { to->OnMessage(bytes); },
        cluster_.network.typical_delay);
    if (message.has_cancel()) member.deadline = cluster_.world.now() + limits::kExecutorCancelMax;
    return;
  }
  process_.Post([this, alive = alive_, attempt = attempt_, executor] {
    if (*alive && attempt == attempt_) {
      End(executor, absl::CancelledError("not needed any more"), /*by_itself=*/false);
    }
  });
}

void SimExecutorPool::AskProgress() {
  for (size_t i = 0; i < members_.size(); ++i) {
    if (members_[i].deadline == 0 || cluster_.world.now() < members_[i].deadline) continue;
    End(static_cast<int>(i), absl::DeadlineExceededError("it is late"), /*by_itself=*/false);
  }
}

}  // namespace weir::simulation
