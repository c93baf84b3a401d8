// ShadowReports: what a shadow has found, as report.json and report.html in its folder: in the end,
// and while it runs.
//
// While a LiveReports lives, a thread of its own reads what the comparison has committed since the
// last look, writes both files anew and says in the log how it stands.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/environment.h"
#include "core/status.h"
#include "runtime/log.h"
#include "shadow/report.h"
#include "shadow/rules.h"
#include "shadow/version.h"
#include "state/object_store.h"

namespace weir::cli {

// What a report is about, beside what was found.
struct ShadowSubject {
  shadow::JobVersion baseline;
  shadow::JobVersion candidate;
  std::string checkpoint;  // that both begin with; empty: none
  std::string command;     // that repeats the run
  std::string rules;       // the file; empty: none
  std::shared_ptr<const shadow::ShadowRules> parsed_rules;
  std::string results;  // the folder of what the comparison has found
};

// "weir shadow --baseline ...", as a shell reads it, without secrets.
std::string CommandText(const std::vector<std::string>& words);

// All that the comparison has found, once it has ended; without cost.
StatusOr<shadow::ShadowReport> FinalReport(const ShadowSubject& subject);
// Both files. The report has the time of that then.
Status WriteReports(shadow::ShadowReport& report, ObjectStore& folder);

class LiveReports {
 public:
  // All must outlive it.
  LiveReports(const ShadowSubject& subject, ObjectStore& folder, Log& log);
  ~LiveReports();

 private:
  void Run();

  const ShadowSubject& subject_;
  ObjectStore& folder_;
  Log& log_;
  std::mutex mutex_;
  std::condition_variable ends_;
  bool ending_ = false;  // guarded by mutex_
  std::thread thread_;
};

}  // namespace weir::cli
