// ProgressDisplay: what `weir run` shows on stderr while a job runs. On a terminal a table that is
// redrawn in place; else a line in the log every few seconds. One thread.
#pragma once

#include <cstdio>
#include <map>
#include <string>

#include "runtime/job_status.h"
#include "runtime/log.h"

namespace weir::cli {

class ProgressDisplay {
 public:
  // `live`: redraw in place, on `out`, to which the log writes too. now_micros is a monotonic
  // clock's. The log must outlive it.
  ProgressDisplay(std::FILE* out, bool live, weir::Log& log);

  void Update(const JobStatus& status, int64_t now_micros);
  // A line of its own, above the table.
  void Log(const LogLine& line);
  // Leaves the last table standing.
  void Finish(const JobStatus& status, int64_t now_micros);

 private:
  struct Rate {
    uint64_t records = 0;
    int64_t at_micros = 0;
    double per_second = 0;
    bool measured = false;
  };
  void MeasureRates(const JobStatus& status, int64_t now_micros);
  void Draw(const JobStatus& status);
  void Erase();
  void PrintLine(const JobStatus& status);
  std::string Summary(const JobStatus& status) const;

  std::FILE* const out_;
  const bool live_;
  weir::Log& log_;
  int64_t started_micros_ = 0;
  int64_t now_micros_ = 0;
  int64_t drawn_micros_ = 0;
  int drawn_lines_ = 0;
  bool running_ = false;
  std::map<std::string, Rate> rates_;  // of records in (out, for a source), by operator
};

}  // namespace weir::cli
