#include "cli/cluster_report.h"

#include <fmt/format.h>

#include <sstream>

#include "core/text_table.h"
#include "core/time.h"
#include "core/utf8.h"

namespace weir::cli {
namespace {

std::string Time(double micros) {
  if (micros <= 0) return "-";
  // To the second: "2026-11-22T21:46:40Z".
  return FormatTimestamp(static_cast<Timestamp>(micros)).substr(0, 19) + "Z";
}

std::string Count(double number) { return fmt::format("{:.0f}", number); }

std::string Bytes(double bytes) { return FormatSize(static_cast<uint64_t>(bytes)); }

std::string Percent(double share) { return fmt::format("{:.0f}%", share * 100); }

std::string CheckpointNumber(double id) { return id > 0 ? Count(id) : "-"; }

// Of old events the lag is years.
std::string Lag(double seconds) {
  if (seconds < 0) return "-";
  if (seconds < 600) return fmt::format("{:.1f}s", seconds);
  if (seconds < 48 * 3600) return fmt::format("{:.0f}m", seconds / 60);
  return fmt::format("{:.0f}d", seconds / 86400);
}

template <class Texts>
std::string Joined(const Texts& texts) {
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::string OperatorsText(const rest::Job& job) {
  TextTable table({"OPERATOR", "KIND", ">IN", ">OUT", ">IN/S", ">OUT/S", ">DEAD", ">BUSY", ">IDLE",
                   ">BACKPRESSURED", ">LAG", ">QUEUE", ">STATE"});
  // Of a job that has ended nothing happens any more.
  const auto now = [&](std::string value) { return job.ended() ? "-" : std::move(value); };
  for (const rest::Operator& op : job.operators()) {
    table.Add({op.name(), op.kind(), Count(op.live_records_in()), Count(op.live_records_out()),
               now(Count(op.records_in_per_second())), now(Count(op.records_out_per_second())),
               Count(op.dead_letters()), now(Percent(op.busy())), now(Percent(op.idle())),
               now(Percent(op.backpressured())), now(Lag(op.watermark_lag_seconds())),
               now(Percent(op.queue_fill())), Bytes(op.state_bytes())});
  }
  return table.ToString();
}

}  // namespace

std::string StateText(const rest::Job& job) {
  return Printable(job.failure().empty() ? job.state() : job.state() + ": " + job.failure());
}

std::string JobListText(const rest::JobList& list) {
  TextTable table(
      {"JOB", "STATE", ">PARALLELISM", ">ATTEMPT", ">RESTARTS", ">CHECKPOINT", "CREATED"});
  for (const rest::Job& job : list.jobs()) {
    table.Add({job.id(), job.state(), std::to_string(job.parallelism()),
               std::to_string(job.attempt()), std::to_string(job.restarts()),
               CheckpointNumber(job.checkpoints().last_id()), Time(job.created_at())});
  }
  return table.ToString();
}

std::string JobText(const rest::Job& job) {
  std::string text;
  const auto line = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) text += fmt::format("{:<13}{}\n", name, Printable(value));
  };
  line("job", job.id());
  line("name", job.name());
  line("state", job.state());
  line("failure", job.failure());
  line("created", Time(job.created_at()));
  line("parallelism", std::to_string(job.parallelism()));
  line("attempt", fmt::format("{}, {} restarts", job.attempt(), job.restarts()));
  line("workers", Joined(job.workers()));
  line("memory", Bytes(job.memory_bytes()));
  if (job.source_total_bytes() > 0) {
    line("read",
         fmt::format("{} of {}", Bytes(job.source_done_bytes()), Bytes(job.source_total_bytes())));
  }
  const rest::Checkpoints& checkpoints = job.checkpoints();
  line("checkpoints",
       fmt::format("{:.0f} completed, {:.0f} failed, last {} ({:.0f} ms, {}), restored from {}",
                   checkpoints.completed(), checkpoints.failed(),
                   CheckpointNumber(checkpoints.last_id()), checkpoints.last_duration_ms(),
                   Time(checkpoints.last_completed_at()),
                   CheckpointNumber(checkpoints.restored_from())));
  line("savepoint", job.savepoint());
  for (const rest::Operator& op : job.operators()) {
    for (const rest::Subtask& subtask : op.subtasks()) {
      if (subtask.stalled_seconds() <= 0) continue;
      line("stalled", fmt::format("{} (subtask {}) has held its slot for {:.1f}s in one call",
                                  op.name(), subtask.index(), subtask.stalled_seconds()));
    }
  }
  if (!job.operators().empty()) text += "\n" + OperatorsText(job);
  return text;
}

std::string CheckpointListText(const rest::CheckpointList& list) {
  TextTable table({">ID", "KIND", "COMPLETED", ">STATE", ">PARALLELISM", "PATH"});
  for (const rest::Checkpoint& checkpoint : list.checkpoints()) {
    table.Add({Count(checkpoint.id()), checkpoint.kind(), Time(checkpoint.completed_at()),
               Bytes(checkpoint.state_bytes()), std::to_string(checkpoint.parallelism()),
               checkpoint.path()});
  }
  return table.ToString();
}

std::string ExceptionListText(const rest::ExceptionList& list) {
  std::string text;
  for (const rest::JobException& exception : list.exceptions()) {
    if (!text.empty()) text += "\n";
    text += fmt::format("{}  attempt {}{}\n", Time(exception.at()), exception.attempt(),
                        exception.worker().empty() ? "" : "  on " + Printable(exception.worker()));
    // Lines stay lines; what is in them may be anything.
    for (const std::string* part : {&exception.message(), &exception.log_tail()}) {
      std::istringstream lines(*part);
      for (std::string line; std::getline(lines, line);) {
        text += fmt::format("  {}{}\n", part == &exception.log_tail() ? "| " : "", Printable(line));
      }
    }
  }
  return text;
}

std::string WorkerListText(const rest::WorkerList& list) {
  TextTable table(
      {"WORKER", "ADDRESS", "HTTP", "STATE", ">SLOTS", ">FREE", ">MEMORY", ">HEARD", "JOBS"});
  for (const rest::Worker& worker : list.workers()) {
    table.Add({worker.id(), worker.address(), worker.http(), worker.state(),
               std::to_string(worker.slots()), std::to_string(worker.slots_free()),
               Bytes(worker.memory_bytes()), fmt::format("{:.1f}s", worker.last_heard_seconds()),
               Joined(worker.jobs())});
  }
  return table.ToString();
}

}  // namespace weir::cli
