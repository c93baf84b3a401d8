// The folder of a shadow, DIR of --report: which files are in it, and which run it holds.
//
//   DIR/report.json, report.html    what there is to read
//   DIR/work/                       both versions, packed; the woven job's data and its results
//
// A run that was killed goes on with the next command that asks for the same; any other command
// makes room for its own. For one process at a time (LockDataFolder()).
#pragma once

#include <string>
#include <string_view>

#include "core/environment.h"
#include "core/status.h"
#include "core/time.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"

namespace weir::cli::shadow_folder {

// Names in it.
inline constexpr const char* kWork = "work/";
inline constexpr const char* kBaseline = "work/baseline.version";
inline constexpr const char* kCandidate = "work/candidate.version";
inline constexpr const char* kFrom = "work/from";
inline constexpr const char* kRules = "work/rules.yaml";
inline constexpr const char* kWhere = "work/where";
inline constexpr const char* kJob = "work/job";  // its id in that cluster
inline constexpr const char* kResults = "work/results";
inline constexpr const char* kPatience = "work/patience";
inline constexpr const char* kDay = "work/day";
inline constexpr const char* kData = "work/data";
inline constexpr const char* kCost = "work/cost/";
inline constexpr const char* kEnded = "work/done";  // there once the run has ended

// What a run is of. As it is, byte for byte, so is the run.
struct Contents {
  std::string_view baseline;  // packed
  std::string_view candidate;
  std::string_view from;   // the checkpoint that both begin with; empty: none
  std::string_view rules;  // the file
  std::string_view where;  // a coordinator's address; empty: this machine
  std::string_view patience;
};

// Makes it the folder of such a run: one that has not ended goes on, any other is removed, with its
// reports. Known differences expire by the day on which the run began, which comes back.
// FailedPrecondition: it holds files of something else.
StatusOr<std::string> Prepare(Environment& env, ObjectStore& folder, const Contents& contents);

// The number of the checkpoint of the job with which a run that has not ended began; 0: none.
CheckpointId BegunWith(ObjectStore& folder, const std::string& job);

// "2026-11-30", as the rules' dates are written.
std::string DayOf(Timestamp time);

}  // namespace weir::cli::shadow_folder
