// A number that a test changes while a process runs, for libraries that are loaded in front of it
// (LD_PRELOAD): a 64-bit integer in the file that an environment variable names. Any thread.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace weir::testing {

// Ends the process where there is no such file: the test would show nothing.
inline const volatile int64_t* SharedNumber(const char* variable) {
  const char* const path = std::getenv(variable);
  const int fd = path != nullptr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) std::abort();
  void* const memory = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (memory == MAP_FAILED) std::abort();
  return static_cast<const volatile int64_t*>(memory);
}

}  // namespace weir::testing
