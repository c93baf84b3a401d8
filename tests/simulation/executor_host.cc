#include "tests/simulation/executor_host.h"

#include <utility>

#include "core/check.h"
#include "core/limits.h"

namespace weir::simulation {
namespace {

constexpr int64_t kRoundMicros = 30;
constexpr int64_t kProgressMicros = Seconds(1);
// One message in so many arrives again, so much later at most.
constexpr uint64_t kLateMessages = 8;
constexpr int64_t kLateMicrosMax = Seconds(3);

}  // namespace

// A slot whose rounds are events.
class SimExecutor::SimSlot final : public Slot {
 public:
  explicit SimSlot(SimProcess& process) : process_(process) {}
  ~SimSlot() override { Join(); }
  void Join() override { *joined_ = true; }

 private:
  void OnWoken() override { RunAt(process_.world().random().Delay(kRoundMicros)); }
  void RunAt(int64_t delay) {
    if (*joined_) return;
    const uint64_t round = ++next_round_;  // the one that was planned before is not needed
    process_.After(delay, [this, joined = joined_, round] {
      if (!*joined && round == next_round_) Run();
    });
  }
  void Run() {
    const std::optional<int64_t> next = RunRound();
    if (*joined_) return;
    if (woken() || next == 0) {
      RunAt(process_.world().random().Delay(kRoundMicros));
    } else if (next) {
      RunAt(std::max<int64_t>(1, *next - process_.world().now()));
    }
  }

  SimProcess& process_;
  uint64_t next_round_ = 0;
  std::shared_ptr<bool> joined_ = std::make_shared<bool>(false);
};

// What lives in the process, in the order of its making.
struct SimExecutor::Parts {
  Parts(SimProcess& process, const Options& options)
      : objects(process.env(), options.checkpoints, {options.job_id, options.attempt}),
        store(objects, process.env(), {.job_id = options.job_id, .follows = true}) {}
  LocalObjectStore objects;
  CheckpointStore store;
  std::unique_ptr<SimPeerLinks> links;  // until the executor takes them
  std::unique_ptr<Executor> executor;
};

SimExecutor::SimExecutor(SimProcess& process, SimNetwork& network, LinksByAddress& links,
                         const BuiltJob& job, const Door& door, Options options)
    : process_(process), network_(network), job_(job), options_(std::move(options)), door_(door) {
  parts_ = std::make_unique<Parts>(process_, options_);
  parts_->links = std::make_unique<SimPeerLinks>(
      process_, network_, links,
      SimPeerLinks::Options{process_.name(), options_.channel_bytes, options_.bugs});
  Executor::Options executor;
  executor.work_dir = options_.work;
  executor.make_links = [this] { return std::move(parts_->links); };
  executor.heap_state = true;
  executor.make_slot = [this](int) { return std::make_unique<SimSlot>(process_); };
  executor.help_io = [this] { return process_.HelpIo(); };
  parts_->executor =
      std::make_unique<Executor>(job_, parts_->store, process_.env(), process_, std::move(executor),
                                 [this](const runtime::ToCoordinator& message) { Send(message); });
  process_.on_gone = [this] {
    network_.OnDeath(process_);
    parts_->executor.reset();
    parts_.reset();
  };
}

SimExecutor::~SimExecutor() = default;

void SimExecutor::Start() {
  Connect();
  process_.After(kProgressMicros, [this] { ReportProgress(); });
}

void SimExecutor::Connect() {
  if (!door_.connect) {
    return OnClosed(absl::UnavailableError("nobody listens"));
  }
  coordinator_ = door_.connect(*this);
  coordinator_.connection->Send(1, coordinator_.hello, network_.typical_delay);
}

void SimExecutor::OnMessage(const std::string& bytes) {
  runtime::ToExecutor message;
  WEIR_CHECK(message.ParseFromString(bytes));
  process_.world().Trace("to executor", static_cast<uint64_t>(message.message_case()),
                         message.attempt());
  lost_at_ = 0;
  if (!answers_.Take(message, [this](const auto& answer) { Carry(answer); })) return;
  parts_->executor->OnMessage(message);
}

void SimExecutor::OnClosed(const Status& why) {
  if (options_.bugs.unfenced_attempts) return;  // nobody has told it that it is over
  coordinator_ = {};
  const int64_t now = process_.world().now();
  if (lost_at_ == 0) lost_at_ = now;
  if (why.ok() || canceled_ || now - lost_at_ > limits::kCoordinatorAwayMax) {
    process_.world().Tell("{} ends: {}", process_.name(), std::string(why.message()));
    return process_.Kill();
  }
  process_.After(limits::kReconnectInterval, [this] { Connect(); });
}

void SimExecutor::Send(const runtime::ToCoordinator& message) {
  answers_.OnSent(message);
  World& world = process_.world();
  world.Trace("to coordinator", static_cast<uint64_t>(message.message_case()), message.attempt());
  if (message.has_task_failed()) {
    world.Tell("{} (attempt {}): {}", process_.name(), message.attempt(),
               message.task_failed().message());
  }
  Carry(message);
  if (!message.has_canceled()) return;
  canceled_ = true;
  if (coordinator_.connection == nullptr) return process_.Kill();
  coordinator_.connection->Close(1);
  process_.After(world.random().Delay(100), [this] { process_.Kill(); });
}

void SimExecutor::Carry(const runtime::ToCoordinator& message) {
  World& world = process_.world();
  if (options_.bugs.unfenced_attempts && !message.has_canceled()) {
    process_.After(world.random().Delay(network_.typical_delay),
                   [this, bytes = message.SerializeAsString()] {
                     if (door_.late) door_.late(options_.attempt, options_.executor, bytes);
                   });
    return;
  }
  if (world.random().OneIn(kLateMessages)) {
    world.After(world.random().Between(Milliseconds(50), kLateMicrosMax),
                [this, bytes = message.SerializeAsString()] {
                  if (door_.late) door_.late(options_.attempt, options_.executor, bytes);
                });
  }
  if (coordinator_.connection == nullptr) return;  // whoever comes next asks again
  // Its length is not part of the trace: it tells how much memory this very process has used.
  coordinator_.connection->Send(
      1, [deliver = coordinator_.message, bytes = message.SerializeAsString()] { deliver(bytes); },
      network_.typical_delay);
}

void SimExecutor::ReportProgress() {
  parts_->executor->SendProgress();
  process_.After(kProgressMicros, [this] { ReportProgress(); });
}

}  // namespace weir::simulation
