// The checksum of a record (protocol.h): of all of it but the checksum itself, calls included.
#pragma once

#include <cstddef>
#include <cstring>

#define XXH_INLINE_ALL  // the host links to nothing
#include <xxhash.h>

#include "operators/plugin_host/protocol.h"

namespace weir::plugin_host {

inline uint64_t ChecksumOf(const Record& record, const char* calls) {
  constexpr size_t kSkipped = sizeof(record.checksum);
  const uint64_t seed =
      XXH3_64bits(reinterpret_cast<const char*>(&record) + kSkipped, sizeof(record) - kSkipped);
  return XXH3_64bits_withSeed(calls, record.call_bytes, seed);
}

}  // namespace weir::plugin_host
