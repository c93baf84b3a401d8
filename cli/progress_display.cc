#include "cli/progress_display.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace weir::cli {
namespace {

constexpr int64_t kRedrawMicros = 200'000;
constexpr int64_t kLineMicros = 2'000'000;

std::string Count(double n) {
  if (n >= 1e9) return fmt::format("{:.2f}G", n / 1e9);
  if (n >= 1e6) return fmt::format("{:.2f}M", n / 1e6);
  if (n >= 1e4) return fmt::format("{:.1f}k", n / 1e3);
  return fmt::format("{:.0f}", n);
}

std::string Bar(double share, int width) {
  const int full = static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * width));
  std::string bar;
  for (int i = 0; i < width; ++i) bar += i < full ? "█" : "░";
  return bar;
}

std::string Percent(double share) {
  return fmt::format("{:3.0f}%", std::clamp(share, 0.0, 1.0) * 100);
}

}  // namespace

ProgressDisplay::ProgressDisplay(std::FILE* out, bool live, weir::Log& log)
    : out_(out), live_(live), log_(log) {}

void ProgressDisplay::Update(const JobStatus& status, int64_t now_micros) {
  if (started_micros_ == 0) started_micros_ = now_micros;
  now_micros_ = now_micros;
  const bool running = status.state == "RUNNING";
  if (running && !running_) {
    // Rates count from here: what was done before the start appears all at once.
    for (auto& [name, rate] : rates_) rate.at_micros = 0;
    MeasureRates(status, now_micros);
  }
  running_ = running;
  if (now_micros - drawn_micros_ < (live_ ? kRedrawMicros : kLineMicros)) return;
  if (running) MeasureRates(status, now_micros);
  drawn_micros_ = now_micros;
  if (live_) {
    Erase();
    Draw(status);
  } else {
    PrintLine(status);
  }
}

void ProgressDisplay::Log(const LogLine& line) {
  if (live_) Erase();
  std::fflush(out_);
  log_.Write(line);
}

void ProgressDisplay::Finish(const JobStatus& status, int64_t now_micros) {
  now_micros_ = now_micros;
  if (!live_) return;
  Erase();
  Draw(status);
  drawn_lines_ = 0;
}

void ProgressDisplay::MeasureRates(const JobStatus& status, int64_t now_micros) {
  for (const OperatorStatus& op : status.operators) {
    Rate& rate = rates_[op.name];
    const uint64_t records = op.kind == "source" ? op.live.records_out : op.live.records_in;
    if (rate.at_micros != 0 && now_micros > rate.at_micros) {
      const double elapsed_s = (now_micros - rate.at_micros) / 1e6;
      const double moved = records > rate.records ? static_cast<double>(records - rate.records) : 0;
      // Smoothed, so that a figure can be read.
      const double share = rate.measured ? 0.5 : 1;
      rate.per_second = (1 - share) * rate.per_second + share * moved / elapsed_s;
      rate.measured = true;
    }
    rate.records = records;
    rate.at_micros = now_micros;
  }
}

std::string ProgressDisplay::Summary(const JobStatus& status) const {
  std::string text =
      fmt::format("{} {} · {:.1f} s · checkpoints {}", status.job_id, status.state,
                  (now_micros_ - started_micros_) / 1e6, status.checkpoints_completed);
  if (status.checkpoints_completed > 0) {
    text += fmt::format(" (last: {}, {:.0f} ms)", status.last_checkpoint,
                        status.last_checkpoint_micros / 1e3);
  }
  if (status.checkpoints_failed > 0) text += fmt::format(", {} failed", status.checkpoints_failed);
  if (status.restored_from) text += fmt::format(" · restored from {}", *status.restored_from);
  if (status.restarts > 0) text += fmt::format(" · restarts {}", status.restarts);
  return text;
}

void ProgressDisplay::Draw(const JobStatus& status) {
  std::string text = Summary(status) + "\n";
  int lines = 1;
  if (status.source_total_bytes > 0) {
    const double done = static_cast<double>(status.source_done_bytes) / status.source_total_bytes;
    text += fmt::format("input  {} {}\n", Bar(done, 40), Percent(done));
    ++lines;
  }
  size_t width = 16;
  for (const OperatorStatus& op : status.operators) width = std::max(width, op.name.size());
  text += fmt::format("{:<{}} {:<10} {:>10} {:>10} {:>9} {:>8} {:>8}  {:>5} {:>5} {}\n", "operator",
                      width, "kind", "in", "out", "/s", "dropped", "dead", "busy", "wait", "queue");
  ++lines;
  for (const OperatorStatus& op : status.operators) {
    auto rate = rates_.find(op.name);
    text += fmt::format("{:<{}} {:<10} {:>10} {:>10} {:>9} {:>8} {:>8}  {:>5} {:>5} {}\n", op.name,
                        width, op.kind, Count(op.live.records_in), Count(op.live.records_out),
                        Count(rate == rates_.end() ? 0 : rate->second.per_second),
                        Count(op.live.dropped), Count(op.live.dead_letters), Percent(op.busy),
                        Percent(op.backpressured), Bar(op.queue_fill, 8));
    ++lines;
  }
  fmt::print(out_, "{}", text);
  std::fflush(out_);
  drawn_lines_ = lines;
}

void ProgressDisplay::Erase() {
  // Up over what was drawn, then clear to the end of the screen.
  if (drawn_lines_ > 0) fmt::print(out_, "\x1b[{}A\x1b[J", drawn_lines_);
  drawn_lines_ = 0;
}

void ProgressDisplay::PrintLine(const JobStatus& status) {
  std::string text = Summary(status);
  for (const OperatorStatus& op : status.operators) {
    if (op.kind != "source") continue;
    text += fmt::format(" · {} {} ({}/s)", op.name, Count(op.live.records_out),
                        Count(rates_[op.name].per_second));
  }
  if (status.source_total_bytes > 0) {
    text += fmt::format(" · {}", Percent(static_cast<double>(status.source_done_bytes) /
                                         status.source_total_bytes));
  }
  LogLine line(text);
  line.job = status.job_id;
  log_.Write(line);
}

}  // namespace weir::cli
