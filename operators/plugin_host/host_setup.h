// How a plugin comes to run in a host: it is loaded, an instance is made, and both are recorded
// (RecordKind::kSetup), so that Weir decides whether it can be used.
#pragma once

#include "operators/plugin_host/host.h"

namespace weir::plugin_host {

struct ReadyPlugin {
  void* instance = nullptr;  // null: there is none
  uint32_t states = 0;       // that it has declared
};
ReadyPlugin SetUp(const Areas& areas, const LoadedPlugin& plugin);

// Private, writable memory of the process, which is what RLIMIT_DATA limits.
uint64_t AllocatedBytes();
// Beyond this part of what it may allocate a host is old: it is replaced between two requests, and
// what fails in it is tried again in a new one.
constexpr uint64_t MemoryIsShortAt(uint64_t memory_max) { return memory_max - memory_max / 8; }

}  // namespace weir::plugin_host
