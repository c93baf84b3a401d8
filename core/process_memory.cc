#include "core/process_memory.h"

#include <fstream>
#include <string>

namespace weir {

uint64_t ResidentBytesMax() {
  std::ifstream status("/proc/self/status");
  for (std::string name; status >> name;) {
    uint64_t kib = 0;
    if (name == "VmHWM:" && status >> kib) return kib << 10;
  }
  return 0;
}

}  // namespace weir
