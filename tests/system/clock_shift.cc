// A clock that jumps, for a process that is loaded with this in front (LD_PRELOAD): wall time is
// the machine's and the number of seconds in the file that CLOCK_SHIFT names, a 64-bit integer that
// a test may change at any moment. Other clocks are left alone.
#include <dlfcn.h>
#include <time.h>

#include "tests/system/shared_number.h"

extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t clock,
                                                                    timespec* time) noexcept {
  using Real = int (*)(clockid_t, timespec*);
  static const Real real = reinterpret_cast<Real>(dlsym(RTLD_NEXT, "clock_gettime"));
  static const volatile int64_t* const shift = weir::testing::SharedNumber("CLOCK_SHIFT");
  const int result = real(clock, time);
  if (result == 0 && clock == CLOCK_REALTIME) time->tv_sec += *shift;
  return result;
}
