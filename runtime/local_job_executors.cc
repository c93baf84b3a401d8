// LocalJob: where its executors run.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/limits.h"
#include "runtime/local_executor.h"
#include "runtime/local_job.h"

namespace weir {

StatusOr<std::unique_ptr<ExecutorPool>> LocalJob::MakeExecutors() {
  const auto now = [this] { return env_.clock.MonotonicMicros(); };
  ExecutorPool::Events events{
      [this](uint32_t attempt, const std::vector<std::string>& addresses) {
        master_->OnExecutorsStarted(attempt, addresses);
      },
      [this, now](uint32_t attempt, int executor, const JobMaster::Loss& loss) {
        master_->OnExecutorLost(attempt, executor, loss, now());
      },
      [this, now](int executor, const runtime::ToCoordinator& message) {
        master_->OnMessage(executor, message, now());
      }};
  const std::string work_dir = fmt::format("{}/work/{}", options_.data_dir, record_.job_id);
  if (options_.workers > 0) {
    ExecutorProcessOptions processes = options_.executors;
    processes.folder = work_dir;
    processes.descriptors = {lock_->descriptor()};
    processes.start.set_job_id(record_.job_id);
    processes.start.set_checkpoints(options_.data_dir + "/checkpoints");
    processes.start.set_memory_bytes(options_.memory_bytes);
    processes.start.set_encode_edges(options_.encode_edges);
    processes.parts = job_.graph.Parts();
    return ExecutorProcesses::Listen(
        loop_, env_, std::move(processes), std::move(events),
        [this](std::string_view line) { Log(LogLine::Warning(line)); });
  }
  Executor::Options options{work_dir, options_.encode_edges, options_.memory_bytes, {}};
  options.stall_max = options_.stall_max;
  options.notice_lines_max = limits::kNoticeLinesMax;
  return std::make_unique<LocalExecutor>(job_, *store_, env_, loop_, std::move(options),
                                         std::move(events));
}

std::vector<int> LocalJob::PlaceExecutors(int parallelism) {
  return EvenShares(parallelism, std::clamp(options_.workers, 1, parallelism));
}

void LocalJob::StartExecutors(uint32_t attempt, const std::vector<int>& shares) {
  executors_->Start(attempt, static_cast<int>(shares.size() * job_.graph.Parts().size()));
}

void LocalJob::Send(int executor, const runtime::ToExecutor& message) {
  executors_->Send(executor, message);
}

}  // namespace weir
