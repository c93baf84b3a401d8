// Seeds of the simulated cluster: a few hundred fixed ones, those that ever failed, and a hundred
// twice. scripts/simulate.sh runs any other, and replays one.
#include "tests/simulation/simulation.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace weir::simulation {
namespace {

std::string Replay(uint64_t seed) {
  return fmt::format("scripts/simulate.sh --seeds 1 --from {} --verbose", seed);
}

TEST(Simulation, SomeHundredSeedsLoseNothingAndDoubleNothing) {
  constexpr uint64_t kSeeds = 300;
  uint64_t hard = 0;
  std::array<uint64_t, kFaults> faults = {};
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationResult result = Simulate(seed);
    EXPECT_EQ(result.violation, "") << Replay(seed);
    hard += result.executors >= 3 && result.checkpoints > 0 && result.faults_after_checkpoint >= 2;
    for (size_t i = 0; i < kFaults; ++i) faults[i] += result.faults[i];
  }
  EXPECT_GT(hard, kSeeds / 2) << "most have something to lose when they are struck";
  for (size_t i = 0; i < kFaults; ++i) {
    EXPECT_GT(faults[i], kSeeds / 20) << ToString(static_cast<Fault>(i));
  }
}

TEST(Simulation, SeedsThatEverFailedPass) {
  std::ifstream file(WEIR_FAILED_SEEDS);
  ASSERT_TRUE(file.good()) << WEIR_FAILED_SEEDS;
  int seeds = 0;
  for (std::string line; std::getline(file, line);) {
    uint64_t seed;
    if (line.starts_with('#') || !(std::istringstream(line) >> seed)) continue;
    ++seeds;
    EXPECT_EQ(Simulate(seed).violation, "") << Replay(seed);
  }
  EXPECT_GT(seeds, 0);
}

TEST(Simulation, ASeedIsOneHistory) {
  std::set<uint64_t> traces;
  for (uint64_t seed = 1001; seed <= 1100; ++seed) {
    const SimulationResult first = Simulate(seed);
    const SimulationResult second = Simulate(seed);
    EXPECT_EQ(first.trace, second.trace) << Replay(seed);
    EXPECT_EQ(first.events, second.events);
    traces.insert(first.trace);
  }
  EXPECT_EQ(traces.size(), 100u) << "and no two seeds are the same";
}

// A simulation that finds nothing may be a blind one.
struct PlantedBug {
  const char* name;
  PlantedBugs bugs;
};
class PlantedBugTest : public ::testing::TestWithParam<PlantedBug> {};

TEST_P(PlantedBugTest, IsFound) {
  constexpr uint64_t kSeeds = 500;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SimulationResult result = Simulate(seed, {.bugs = GetParam().bugs});
    if (result.violation.empty()) continue;
    RecordProperty("seeds", static_cast<int>(seed));
    return;
  }
  FAIL() << "not by " << kSeeds << " seeds";
}

INSTANTIATE_TEST_SUITE_P(
    Bugs, PlantedBugTest,
    ::testing::Values(PlantedBug{"CommitBeforeManifest", {.commit_before_manifest = true}},
                      PlantedBug{"UnfencedAttempts", {.unfenced_attempts = true}},
                      PlantedBug{"BarrierOvertakes", {.barrier_overtakes = true}}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace weir::simulation
