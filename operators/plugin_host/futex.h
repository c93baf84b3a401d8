// A futex in shared memory: a word that is waited on until it changes.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace weir::plugin_host {

// Returns when the word is no longer `seen`, when it was woken, after `micros` (-1: never), or for
// no reason.
inline void FutexWait(const std::atomic<uint32_t>& word, uint32_t seen, int64_t micros) {
  timespec timeout{micros / 1'000'000, micros % 1'000'000 * 1000};
  syscall(SYS_futex, &word, FUTEX_WAIT, seen, micros < 0 ? nullptr : &timeout, nullptr, 0);
}
inline void FutexWake(const std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace weir::plugin_host
