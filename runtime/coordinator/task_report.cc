#include "runtime/coordinator/task_report.h"

namespace weir {

void TaskReport::Add(const runtime::TaskProgress& progress, uint32_t of_attempt,
                     int64_t now_micros) {
  if (attempt == of_attempt && now_micros > at_micros) {
    const double elapsed = static_cast<double>(now_micros - at_micros);
    backpressured = (progress.backpressured_micros() - last.backpressured_micros()) / elapsed;
    std::map<int, uint64_t> before;
    for (const auto& stage : last.stages()) before[stage.stage()] = stage.busy_micros();
    for (const auto& stage : progress.stages()) {
      busy[stage.stage()] = (stage.busy_micros() - before[stage.stage()]) / elapsed;
    }
  }
  attempt = of_attempt;
  last = progress;
  at_micros = now_micros;
}

}  // namespace weir
