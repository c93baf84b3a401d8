// The hashes of Weir: XXH3 with a fixed seed, so that every process and every restart agrees. Key
// groups take the high bits of a key's hash, hash tables the low ones.
#pragma once

#include <compare>
#include <cstdint>
#include <string_view>

namespace weir {

uint64_t Hash64(std::string_view bytes);
// Another hash for each salt; that of salt 0 is Hash64.
uint64_t SaltedHash64(std::string_view bytes, uint64_t salt);

// 128 bits identify an id in the dedup state. `high` equals no Hash64; its top bits give the key
// group.
struct Fingerprint {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Fingerprint&) const = default;
};
Fingerprint Hash128(std::string_view bytes);

}  // namespace weir
