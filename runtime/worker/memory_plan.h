// MemoryPlan: how the memory budget of an executor is divided among what it runs.
//
// An eighth each goes to what the process needs to be there at all, to the channels between tasks,
// to the blocks that RocksDB caches and to the sinks' buffers; what is left is shared evenly by the
// instances that hold state. The budget covers what Weir allocates; what user code allocates comes
// on top.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "jobs/graph.h"

namespace weir {

struct MemoryPlan {
  size_t exchange_bytes = 0;           // of all channels
  size_t block_cache_bytes = 0;        // of all RocksDBs
  std::vector<size_t> instance_bytes;  // of one instance, by stage
};

// For an executor with so many subtasks of one part of the job. InvalidArgument, with the least
// that is enough, for a budget that is too small.
StatusOr<MemoryPlan> PlanMemory(const JobGraph& graph, int parallelism, size_t budget_bytes,
                                std::string_view part = {});

}  // namespace weir
