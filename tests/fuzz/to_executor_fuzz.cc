// What an executor is told: messages that pass its check have only numbers that it can work with.
#include <string>

#include "core/check.h"
#include "core/key_group.h"
#include "runtime/message_check.h"
#include "tests/fuzz/fuzz_input.h"

namespace weir {
namespace {

BuiltJob MakeJob() {
  BuiltJob job;
  job.graph.job = "job";
  job.graph.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
  job.graph.stages.push_back({.name = "route", .kind = "router"});
  job.graph.stages.push_back({.name = "sink", .kind = "sink", .role = StageRole::kSink});
  job.graph.edges.push_back({.from = 0, .to = 1, .partitioning = Partitioning::kKeyed});
  job.graph.edges.push_back({.from = 1, .to = 2});
  job.stages.resize(3);
  job.stages[1].reloadable.emplace();
  return job;
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  static const BuiltJob job = MakeJob();
  runtime::ToExecutor message;
  if (!message.ParseFromArray(data, static_cast<int>(size))) return 0;
  if (!CheckMessage(message, job).ok()) return 0;
  if (message.has_deploy()) {
    const runtime::Deploy& deploy = message.deploy();
    const ExecutionPlan plan = MakeExecutionPlan(job.graph, static_cast<int>(deploy.parallelism()));
    const runtime::ExecutorPlace& own = deploy.executors().at(static_cast<int>(deploy.executor()));
    WEIR_CHECK(own.subtasks() >= 1 && own.subtasks() <= deploy.parallelism());
    WEIR_CHECK(own.first_subtask() + own.subtasks() <= deploy.parallelism());
    WEIR_CHECK(plan.tasks() == static_cast<int>(plan.groups.size() * deploy.parallelism()));
  }
  for (const runtime::StageHandles& stage : message.finish_commit().stages()) {
    WEIR_CHECK(job.graph.stages.at(stage.stage()).role == StageRole::kSink);
  }
  return 0;
}
