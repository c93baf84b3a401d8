// What this process holds of the machine's memory, as the system counts it. Any thread.
#pragma once

#include <cstdint>

namespace weir {

struct ProcessMemory {
  uint64_t resident_bytes = 0;
  uint64_t resident_bytes_max = 0;  // since the process began
};

// Zeros where the system does not tell.
ProcessMemory ReadProcessMemory();

}  // namespace weir
