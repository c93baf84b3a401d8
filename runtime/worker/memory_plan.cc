#include "runtime/worker/memory_plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/time.h"
#include "runtime/limits.h"

namespace weir {
namespace {

constexpr size_t kEighths = 8;
static_assert(limits::kExecutorMemoryBytesMin == kEighths * limits::kProcessBytes);

bool HoldsState(const StageSpec& stage) {
  return stage.role == StageRole::kOperator && (stage.keyed_state || stage.id_state);
}

}  // namespace

StatusOr<MemoryPlan> PlanMemory(const JobGraph& graph, int parallelism, size_t budget_bytes,
                                std::string_view part) {
  const size_t eighth = budget_bytes / kEighths;
  const auto instances_of = [&](auto wanted) {
    return static_cast<size_t>(parallelism) *
           static_cast<size_t>(std::count_if(
               graph.stages.begin(), graph.stages.end(),
               [&](const StageSpec& stage) { return stage.part == part && wanted(stage); }));
  };
  const size_t sinks =
      instances_of([](const StageSpec& stage) { return stage.role == StageRole::kSink; });
  const size_t holders = instances_of(HoldsState);
  const size_t sink_bytes = eighth / std::max<size_t>(1, sinks);
  const size_t state_bytes = (budget_bytes - 4 * eighth) / std::max<size_t>(1, holders);
  if (eighth < limits::kProcessBytes || sink_bytes < limits::kSinkMemoryBytesMin ||
      (holders > 0 && state_bytes < limits::kStateMemoryBytesMin)) {
    const size_t least =
        std::max({limits::kExecutorMemoryBytesMin, limits::kSinkMemoryBytesMin * sinks * kEighths,
                  limits::kStateMemoryBytesMin * holders * kEighths / (kEighths - 4)});
    return absl::InvalidArgumentError(
        fmt::format("a memory budget of {} is too small for this job at parallelism {}: it needs "
                    "at least {} (--memory)",
                    FormatSize(budget_bytes), parallelism, FormatSize(least)));
  }
  MemoryPlan plan;
  plan.exchange_bytes = std::min(eighth, limits::kExchangeBudgetBytes);
  plan.block_cache_bytes = eighth;
  for (const StageSpec& stage : graph.stages) {
    plan.instance_bytes.push_back(stage.role == StageRole::kSink ? sink_bytes
                                  : HoldsState(stage)            ? state_bytes
                                                                 : 0);
  }
  return plan;
}

}  // namespace weir
