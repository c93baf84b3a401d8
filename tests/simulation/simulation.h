// One seed: a cluster, a job, what goes wrong, and whether the result is right all the same.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "tests/simulation/peer_links.h"

namespace weir::simulation {

enum class Fault {
  kKill,             // of an executor
  kKillAtAccess,     // of an executor, in the midst of its work on the disk
  kKillSeveral,      // executors
  kKillCoordinator,  // at any time, or in the midst of its work on the disk
  kCut,              // of a connection
  kStop,             // an executor stands still, and goes on later
  kStopAtAccess,     // likewise, in the midst of its work on the disk
  kSlow,             // an executor is slow from now on
  kDiskError,        // some accesses to the disk fail
  kDiskFull,         // for a while
  kDiskSlow,         // for a while
  kPower,            // all processes die, and what was not synced is lost or torn
  kClockJump,        // of the wall clock of a process
  kStopJob,          // with a checkpoint; it goes on later, at another parallelism
  kRescale,          // likewise, at once
  kSavepoint,        // one more checkpoint, behind which no file stays open
};
inline constexpr size_t kFaults = 16;
std::string_view ToString(Fault fault);

struct SimulationOptions {
  PlantedBugs bugs;
  // What happens, for people; empty: nothing is told.
  std::function<void(const std::string& line)> tell;
};

struct SimulationResult {
  uint64_t seed = 0;
  std::string violation;  // what is wrong; "": nothing
  uint64_t trace = 0;     // a hash of everything that happened
  uint64_t events = 0;
  double virtual_s = 0;
  int executors = 0;  // at first
  uint64_t attempts = 0;
  uint64_t checkpoints = 0;                   // that were completed
  uint64_t faults_after_checkpoint = 0;       // the first one
  std::array<uint64_t, kFaults> faults = {};  // by kind
};

SimulationResult Simulate(uint64_t seed, const SimulationOptions& options = {});

}  // namespace weir::simulation
