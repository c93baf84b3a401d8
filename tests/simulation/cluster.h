// Cluster: the simulated machines: the processes there are, the network and disk that they share,
// and what is planted or injected. Owned by the Simulation of one seed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "jobs/built_job.h"
#include "tests/simulation/executor_host.h"
#include "tests/simulation/network.h"
#include "tests/simulation/peer_links.h"
#include "tests/simulation/process.h"
#include "tests/simulation/sim_disk.h"

namespace weir::simulation {

inline constexpr const char* kDataFolder = "/data";
inline constexpr const char* kOutFolder = "/out";

struct Cluster {
  explicit Cluster(uint64_t seed) : world(seed), disk(world), network(world) {}

  SimProcess& NewProcess(const std::string& kind) {
    const std::string name = kind + "-" + std::to_string(processes.size());
    processes.push_back(std::make_unique<SimProcess>(world, disk, trouble, name));
    return *processes.back();
  }
  // Some executor that is alive; null: there is none.
  SimExecutor* AnyExecutor() {
    std::erase_if(running, [](SimExecutor* e) { return !e->process().alive(); });
    return running.empty() ? nullptr : running[world.random().Below(running.size())];
  }

  World world;
  SimDisk disk;
  DiskTrouble trouble;
  SimNetwork network;
  LinksByAddress links;
  BuiltJob job;
  size_t channel_bytes = 1 << 20;
  PlantedBugs bugs;
  SimExecutor::Door door;
  // Ends the processes of an old attempt as surely as a kill on one machine does; else they find
  // out by themselves.
  bool kills_reach = true;

  // Lies in wait for the next executor that is started.
  std::function<void(SimProcess&)> ambush;

  std::vector<std::unique_ptr<SimProcess>> processes;  // also those that have died
  std::vector<std::unique_ptr<SimExecutor>> executors;
  std::vector<SimExecutor*> running;
};

}  // namespace weir::simulation
