// JobMaster on messages of executors that say what they like, in any order: the job goes on,
// restarts or ends, and the coordinator's process stands.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"
#include "runtime/coordinator/job_master.h"
#include "tests/fuzz/fuzz_input.h"

namespace weir {
namespace {

constexpr int kExecutors = 2;

// Does what it is asked for, later: as a coordinator's process does.
class Host final : public JobMaster::Host {
 public:
  std::vector<int> PlaceExecutors(int parallelism) override {
    return EvenShares(parallelism, std::min(parallelism, kExecutors));
  }
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override {
    starting = attempt;
    executors = static_cast<int>(shares.size());
  }
  void Send(int executor, const runtime::ToExecutor&) override {
    WEIR_CHECK(executor >= 0 && executor < executors);
  }
  Status SaveRecord(const JobRecord&, const runtime::AttemptState&) override {
    return absl::OkStatus();
  }
  void WriteManifest(Manifest manifest) override {
    const StatusOr<Manifest> read = Manifest::Parse(manifest.Serialize(), "manifest.pb");
    WEIR_CHECK(read.ok());
    writing.push_back(manifest.checkpoint);
  }
  void CollectGarbage(uint32_t) override { ++collections; }
  void Log(const LogLine&) override {}

  std::optional<uint32_t> starting;
  int executors = 0;
  std::vector<CheckpointId> writing;
  int collections = 0;
};

void Ask(JobMaster& master, int what, int64_t now) {
  switch (what) {
    case 0:
      return master.RequestStop(now);
    case 1:
      return master.RequestDrain(now);
    case 2:
      return master.RequestCancel(now);
    case 3:
      return master.RequestSavepoint(now);
    default:
      return master.Rescale(what - 3, now);
  }
}

JobGraph MakeGraph() {
  JobGraph graph;
  graph.job = "job";
  graph.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
  graph.stages.push_back({.name = "count", .kind = "process", .keyed_state = true});
  graph.stages.push_back({.name = "sink", .kind = "sink", .role = StageRole::kSink});
  graph.edges.push_back({.from = 0, .to = 1, .partitioning = Partitioning::kKeyed});
  graph.edges.push_back({.from = 1, .to = 2});
  return graph;
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  testing::FuzzInput input(data, size);
  static const JobGraph graph = MakeGraph();
  Host host;
  JobRecord record;
  record.job_id = "job-1";
  JobMaster::Options options;
  options.parallelism = 2;
  options.checkpoint_interval = Milliseconds(100);
  JobMaster master(graph, record, options, host);
  int64_t now = 0;
  uint32_t attempt = 0;
  master.Start(now);
  while (!input.done() && !master.ended()) {
    if (host.starting) {
      attempt = *host.starting;
      host.starting.reset();
      master.OnExecutorsStarted(attempt, std::vector<std::string>(host.executors, "a:1"));
    }
    const uint8_t action = input.Byte();
    if (action < 0xe0) {
      runtime::ToCoordinator message;
      const std::string_view bytes = input.Piece();
      if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
      // Chance seldom hits the attempt.
      if (action % 8 != 0) message.set_attempt(attempt);
      master.OnMessage(action / 8 % kExecutors, message, now);
    } else if (action < 0xe8) {
      master.OnExecutorLost(attempt, action % kExecutors,
                            {absl::UnavailableError("gone"), "", true}, now);
    } else if (!host.writing.empty()) {
      const CheckpointId checkpoint = host.writing.back();
      host.writing.pop_back();
      master.OnManifestOutcome(
          checkpoint, action % 2 == 0 ? absl::OkStatus() : absl::UnavailableError("no disk"));
    } else if (host.collections > 0) {
      --host.collections;
      master.OnGarbageCollected(now);
    }
    now += Milliseconds(10);
    master.Tick(now);
    (void)master.status(now);
  }
  return 0;
}
