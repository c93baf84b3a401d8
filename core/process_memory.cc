#include "core/process_memory.h"

#include <fstream>
#include <string>

namespace weir {

ProcessMemory ReadProcessMemory() {
  ProcessMemory memory;
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    uint64_t kib = 0;
    if (name == "VmHWM:" && status >> kib) memory.resident_bytes_max = kib << 10;
    if (name == "VmRSS:" && status >> kib) memory.resident_bytes = kib << 10;
  }
  return memory;
}

}  // namespace weir
