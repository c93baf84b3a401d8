#include "runtime/coordinator/task_report.h"

namespace weir {

void TaskReport::Add(const runtime::TaskProgress& progress, uint32_t of_attempt,
                     int64_t now_micros) {
  if (attempt == of_attempt && now_micros > at_micros) {
    const double elapsed = static_cast<double>(now_micros - at_micros);
    backpressured = (progress.backpressured_micros() - last.backpressured_micros()) / elapsed;
    std::map<int, const runtime::StageProgress*> before;
    for (const auto& stage : last.stages()) before[stage.stage()] = &stage;
    const auto& none = runtime::StageProgress::default_instance();
    for (const auto& stage : progress.stages()) {
      const auto found = before.find(stage.stage());
      const runtime::StageProgress& was = found == before.end() ? none : *found->second;
      busy[stage.stage()] = (stage.busy_micros() - was.busy_micros()) / elapsed;
      const double per_second = 1e6 / elapsed;
      rates[stage.stage()] = {
          (stage.counters().records_in() - was.counters().records_in()) * per_second,
          (stage.counters().records_out() - was.counters().records_out()) * per_second};
    }
  }
  attempt = of_attempt;
  last = progress;
  at_micros = now_micros;
}

}  // namespace weir
