// A clock that jumps, for a process that is loaded with this in front (LD_PRELOAD): wall time is
// the machine's and the number of seconds in the file that CLOCK_SHIFT names, a 64-bit integer that
// a test may change at any moment. Other clocks are left alone.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

namespace {

const volatile int64_t* Shift() {
  static const volatile int64_t* const shift = [] {
    const char* const path = std::getenv("CLOCK_SHIFT");
    const int fd = path != nullptr ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) std::abort();
    void* const memory = mmap(nullptr, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (memory == MAP_FAILED) std::abort();
    return static_cast<const volatile int64_t*>(memory);
  }();
  return shift;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t clock,
                                                                    timespec* time) noexcept {
  using Real = int (*)(clockid_t, timespec*);
  static const Real real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += *Shift();
  return result;
}
