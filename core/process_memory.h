// What this process holds of the machine's memory, as the system counts it.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace weir {

// The most that was resident at once since the process began; 0 where the system does not tell. Any
// thread.
uint64_t ResidentBytesMax();

// What is resident now of another process; 0 if there is none, or the system does not tell.
uint64_t ResidentBytesOf(pid_t pid);

// Where the machine has no memory left, the system ends this process, and those that it starts,
// rather than others: by so many of its points, of which there are 1,000. Where that cannot be
// said, nothing changes.
void RaiseOomScore(int points);

}  // namespace weir
