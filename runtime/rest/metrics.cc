#include "runtime/rest/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "core/limits.h"

namespace weir {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

class Families {
 public:
  void Counter(const char* name, const char* help, const Labels& labels, double value) {
    Sample(name, help, MetricType::Counter, labels).counter.value = value;
  }
  void Gauge(const char* name, const char* help, const Labels& labels, double value) {
    Sample(name, help, MetricType::Gauge, labels).gauge.value = value;
  }
  std::string Text() const {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, families_);
    return text.str();
  }

 private:
  ClientMetric& Sample(const char* name, const char* help, MetricType type, const Labels& labels) {
    auto family = std::find_if(families_.begin(), families_.end(),
                               [&](const MetricFamily& f) { return f.name == name; });
    if (family == families_.end()) {
      family = families_.insert(family, MetricFamily{name, help, type, {}});
    }
    family->metric.emplace_back().label = labels;
    return family->metric.back();
  }

  std::vector<MetricFamily> families_;
};

double Age(double since_micros, Timestamp now) {
  return std::max(0.0, (static_cast<double>(now) - since_micros) / 1e6);
}

// Whether `other` is why an ended job is left out: it lives, or it is newer. One that has failed is
// left out only for a job that was submitted since, in its place: what ran beside it hides nothing.
bool Hides(const rest::Job& other, const rest::Job& ended) {
  if (other.name() != ended.name() || other.id() == ended.id()) return false;
  if (ended.state() == "FAILED") return other.created_at() > ended.updated_at();
  if (!other.ended()) return true;
  return std::pair(other.updated_at(), other.id()) > std::pair(ended.updated_at(), ended.id());
}

std::vector<const rest::Job*> ShownJobs(const rest::Snapshot& snapshot, Timestamp now) {
  std::vector<const rest::Job*> shown;
  for (const rest::Job& job : snapshot.jobs()) {
    if (job.ended() &&
        (Age(job.updated_at(), now) * 1e6 > static_cast<double>(limits::kMetricsEndedJobAge) ||
         std::any_of(snapshot.jobs().begin(), snapshot.jobs().end(),
                     [&](const rest::Job& other) { return Hides(other, job); }))) {
      continue;
    }
    shown.push_back(&job);
  }
  return shown;
}

// What operators and subtasks have alike.
template <class Part>
void AddFlow(const Part& part, const Labels& labels, Families& families) {
  families.Counter("weir_records_in_total", "Rows that an operator has taken", labels,
                   part.records_in());
  families.Counter("weir_records_out_total", "Rows that an operator has passed on", labels,
                   part.records_out());
  families.Counter("weir_records_dropped_total", "Rows that an operator left out on purpose",
                   labels, part.records_dropped());
  families.Counter("weir_dead_letters_total", "Rows that an operator rejected", labels,
                   part.dead_letters());
  families.Counter("weir_busy_seconds_total", "Time that an operator was at work", labels,
                   part.busy_seconds());
  families.Counter("weir_backpressured_seconds_total",
                   "Time that an operator's task waited for room downstream", labels,
                   part.backpressured_seconds());
  families.Counter("weir_stalls_total", "Calls of an operator that held their slot too long",
                   labels, part.stalls());
  families.Gauge("weir_stalled_seconds",
                 "How long a call of an operator holds its slot; 0: not too long", labels,
                 part.stalled_seconds());
  if (part.watermark_lag_seconds() >= 0) {
    families.Gauge("weir_watermark_lag_seconds", "How far event time is behind the wall clock",
                   labels, part.watermark_lag_seconds());
  }
  families.Gauge("weir_queue_bytes", "What waits in front of an operator's task", labels,
                 part.queue_bytes());
  families.Gauge("weir_state_bytes", "State that an operator holds", labels, part.state_bytes());
}

void AddJob(const rest::Job& job, const Labels& labels, Timestamp now, Families& families) {
  families.Gauge("weir_job_running", "1 while a job runs; 0 while it waits, starts, or has ended",
                 labels, job.state() == "RUNNING" ? 1 : 0);
  families.Gauge("weir_job_failed", "1 once a job has failed", labels,
                 job.state() == "FAILED" ? 1 : 0);
  families.Counter("weir_restarts_total", "Attempts that were started again after a failure",
                   labels, job.restarts());
  families.Gauge("weir_memory_bytes", "Resident memory of a job's executors", labels,
                 job.memory_bytes());
  const rest::Checkpoints& checkpoints = job.checkpoints();
  families.Counter("weir_checkpoints_completed_total", "Checkpoints that were completed", labels,
                   checkpoints.completed());
  families.Counter("weir_checkpoints_failed_total", "Checkpoints that failed", labels,
                   checkpoints.failed());
  families.Gauge("weir_checkpoint_duration_seconds", "How long the last checkpoint took", labels,
                 checkpoints.last_duration_ms() / 1e3);
  if (!job.ended()) {
    const bool none = checkpoints.last_completed_at() <= 0;
    families.Gauge("weir_checkpoint_age_seconds",
                   "Since the last completed checkpoint; without one, since the job was submitted",
                   labels, Age(none ? job.created_at() : checkpoints.last_completed_at(), now));
  }
  for (const rest::Operator& op : job.operators()) {
    Labels with_operator = labels;
    with_operator.push_back({"operator", op.name()});
    for (const rest::Subtask& subtask : op.subtasks()) {
      Labels with_subtask = with_operator;
      with_subtask.push_back({"subtask", std::to_string(subtask.index())});
      AddFlow(subtask, with_subtask, families);
    }
    // No attempt runs: what is known are the job's totals.
    if (op.subtasks().empty()) AddFlow(op, with_operator, families);
  }
}

}  // namespace

std::string WriteMetrics(const rest::Snapshot& snapshot, Timestamp now) {
  Families families;
  const std::vector<const rest::Job*> jobs = ShownJobs(snapshot, now);
  std::multiset<std::string> names;
  for (const rest::Job* job : jobs) names.insert(job->name());
  for (const rest::Job* job : jobs) {
    Labels labels{{"job_name", job->name()}};
    if (names.count(job->name()) > 1) labels.push_back({"job_id", job->id()});
    AddJob(*job, labels, now, families);
  }
  std::map<std::string, double> workers{{"ACTIVE", 0}, {"LEAVING", 0}, {"LOST", 0}};
  double slots = 0, slots_free = 0;
  for (const rest::Worker& worker : snapshot.workers()) {
    ++workers[worker.state()];
    if (worker.state() == "LOST") continue;
    slots += worker.slots();
    slots_free += worker.slots_free();
  }
  for (const auto& [state, count] : workers) {
    families.Gauge("weir_workers", "Workers by their state", {{"state", state}}, count);
  }
  families.Gauge("weir_slots", "Slots of all workers", {}, slots);
  families.Gauge("weir_slots_free", "Slots that no job runs on", {}, slots_free);
  return families.Text();
}

}  // namespace weir
