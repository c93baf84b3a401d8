// The command behind scripts/simulate.sh: seeds one after another, and what came of them.
#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "tests/simulation/simulation.h"

namespace {

using weir::simulation::Simulate;
using weir::simulation::SimulationOptions;
using weir::simulation::SimulationResult;

constexpr const char* kUsage =
    "usage: simulate --seeds N [--from S] [--seconds T] [--twice] [--verbose] [--plant BUG]\n"
    "  --seconds T   as many seeds as T seconds allow, from a seed of the clock unless --from is "
    "given\n"
    "  --twice       each seed twice; the traces must be equal\n"
    "  --verbose     tells what happens\n"
    "  --plant BUG   breaks the protocol: commit-before-manifest, unfenced-attempts,\n"
    "                barrier-overtakes\n";

struct Arguments {
  uint64_t seeds = 0;
  uint64_t from = 1;
  double seconds = 0;
  bool twice = false;
  SimulationOptions options;
};

bool Plant(const std::string& bug, weir::simulation::PlantedBugs& bugs) {
  if (bug == "commit-before-manifest") return bugs.commit_before_manifest = true;
  if (bug == "unfenced-attempts") return bugs.unfenced_attempts = true;
  if (bug == "barrier-overtakes") return bugs.barrier_overtakes = true;
  return false;
}

bool Parse(int argc, char** argv, Arguments& arguments) {
  bool from_given = false;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const auto number = [&](auto& value) {
      if (i + 1 == argc) return false;
      char* end;
      const char* text = argv[++i];
      value = static_cast<std::remove_reference_t<decltype(value)>>(std::strtoull(text, &end, 10));
      return end != text && *end == '\0';
    };
    bool known = true;
    if (name == "--seeds") {
      known = number(arguments.seeds);
    } else if (name == "--from") {
      known = from_given = number(arguments.from);
    } else if (name == "--seconds") {
      known = number(arguments.seconds);
    } else if (name == "--twice") {
      arguments.twice = true;
    } else if (name == "--verbose") {
      arguments.options.tell = [](const std::string& line) { std::cout << line << "\n"; };
    } else if (name == "--plant" && i + 1 < argc) {
      known = Plant(argv[++i], arguments.options.bugs);
    } else {
      known = false;
    }
    if (!known) return false;
  }
  if (arguments.seconds > 0) {
    arguments.seeds = UINT64_MAX;
    if (!from_given) {
      arguments.from = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch() /
                                             std::chrono::milliseconds(1));
    }
  }
  return arguments.seeds > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  if (!Parse(argc, argv, arguments)) {
    std::cerr << kUsage;
    return 2;
  }
  const auto began = std::chrono::steady_clock::now();
  const auto elapsed = [began] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  };
  SimulationResult sum;
  uint64_t run = 0, hard = 0, with_executors = 0, with_checkpoint = 0, failed = 0;
  double virtual_s = 0;
  for (; run < arguments.seeds && (arguments.seconds == 0 || elapsed() < arguments.seconds);
       ++run) {
    const uint64_t seed = arguments.from + run;
    SimulationResult result = Simulate(seed, arguments.options);
    if (arguments.twice) {
      const SimulationResult again = Simulate(seed, arguments.options);
      if (again.trace != result.trace && result.violation.empty()) {
        result.violation =
            fmt::format("two runs differ: traces {:016x} and {:016x}", result.trace, again.trace);
      }
    }
    if (!result.violation.empty()) {
      ++failed;
      std::cout << fmt::format("FAILED seed {}: {}\n", seed, result.violation) << std::flush;
    }
    for (size_t i = 0; i < weir::simulation::kFaults; ++i) sum.faults[i] += result.faults[i];
    sum.events += result.events;
    sum.attempts += result.attempts;
    sum.checkpoints += result.checkpoints;
    virtual_s += result.virtual_s;
    with_executors += result.executors >= 3;
    with_checkpoint += result.checkpoints > 0;
    hard += result.executors >= 3 && result.checkpoints > 0 && result.faults_after_checkpoint >= 2;
    if (arguments.seeds == 1) std::cout << fmt::format("trace {:016x}\n", result.trace);
  }
  const double seconds = elapsed();
  std::cout << fmt::format("{} seeds from {} in {:.1f} s: {:.0f} a second; {} failed\n", run,
                           arguments.from, seconds, run / seconds, failed);
  std::cout << fmt::format(
      "{} with 3 or more executors, {} with a completed checkpoint; {} with both and at least 2 "
      "faults behind the first\n",
      with_executors, with_checkpoint, hard);
  std::cout << fmt::format("{} events, {:.0f} s of virtual time, {} attempts, {} checkpoints\n",
                           sum.events, virtual_s, sum.attempts, sum.checkpoints);
  std::cout << "faults:";
  for (size_t i = 0; i < weir::simulation::kFaults; ++i) {
    std::cout << fmt::format(" {}={}", ToString(static_cast<weir::simulation::Fault>(i)),
                             sum.faults[i]);
  }
  std::cout << "\n";
  return failed == 0 ? 0 : 1;
}
