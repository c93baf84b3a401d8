// What this process holds of the machine's memory, as the system counts it.
#pragma once

#include <cstdint>

namespace weir {

// The most that was resident at once since the process began; 0 where the system does not tell. Any
// thread.
uint64_t ResidentBytesMax();

}  // namespace weir
