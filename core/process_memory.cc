#include "core/process_memory.h"

#include <unistd.h>

#include <algorithm>
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

uint64_t ResidentBytesOf(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  uint64_t pages = 0, resident_pages = 0;
  if (!(statm >> pages >> resident_pages)) return 0;
  return resident_pages * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void RaiseOomScore(int points) {
  constexpr const char* kFile = "/proc/self/oom_score_adj";
  int score = 0;
  if (!(std::ifstream(kFile) >> score)) return;
  std::ofstream(kFile) << std::min(1000, score + points);
}

}  // namespace weir
