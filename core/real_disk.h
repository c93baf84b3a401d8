// The operating system's files as a Disk. What makes RealEnvironment(); everything else takes a
// Disk from its Environment.
#pragma once

#include <memory>

#include "core/environment.h"

namespace weir {

// Stateless; any thread may call it.
std::unique_ptr<Disk> NewRealDisk();

}  // namespace weir
