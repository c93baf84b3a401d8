// A slow disk, for a process that is loaded with this in front (LD_PRELOAD), and for its children:
// each sync takes longer by the number of microseconds in the file that SLOW_DISK names, a 64-bit
// integer that a test may change at any moment, and each write to a file by a sixteenth of it.
#include <dlfcn.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

#include "tests/system/shared_number.h"

namespace {

constexpr int64_t kWriteShare = 16;

int64_t DelayMicros() {
  static const volatile int64_t* const delay = weir::testing::SharedNumber("SLOW_DISK");
  return *delay;
}

void Wait(int64_t micros) {
  timespec left{micros / 1'000'000, micros % 1'000'000 * 1000};
  while (micros > 0 && nanosleep(&left, &left) != 0) {
  }
}

void WaitToWrite(int fd) {
  const int64_t micros = DelayMicros() / kWriteShare;
  struct stat file;
  if (micros > 0 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode)) Wait(micros);
}

template <class Function>
Function* Real(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

#define WEIR_SLOW __attribute__((visibility("default")))

extern "C" {

WEIR_SLOW int fsync(int fd) {
  static const auto real = Real<int(int)>("fsync");
  Wait(DelayMicros());
  return real(fd);
}

WEIR_SLOW int fdatasync(int fd) {
  static const auto real = Real<int(int)>("fdatasync");
  Wait(DelayMicros());
  return real(fd);
}

WEIR_SLOW int syncfs(int fd) noexcept {
  static const auto real = Real<int(int)>("syncfs");
  Wait(DelayMicros());
  return real(fd);
}

WEIR_SLOW ssize_t write(int fd, const void* bytes, size_t size) {
  static const auto real = Real<ssize_t(int, const void*, size_t)>("write");
  WaitToWrite(fd);
  return real(fd, bytes, size);
}

WEIR_SLOW ssize_t pwrite(int fd, const void* bytes, size_t size, off_t offset) {
  static const auto real = Real<ssize_t(int, const void*, size_t, off_t)>("pwrite");
  WaitToWrite(fd);
  return real(fd, bytes, size, offset);
}

WEIR_SLOW ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t offset) {
  static const auto real = Real<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
  WaitToWrite(fd);
  return real(fd, bytes, size, offset);
}

}  // extern "C"
