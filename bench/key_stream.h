// The keys of the keyed benchmark, the same for engine and limit: numbers, each as likely as any
// other, and their text.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>

namespace bench {

class KeyStream {
 public:
  explicit KeyStream(uint64_t keys) : keys_(keys) {}
  uint64_t Next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = (state_ ^ (state_ >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(z) * keys_) >> 64);
  }

 private:
  const uint64_t keys_;
  uint64_t state_ = 1;
};

using KeyBytes = std::array<char, 16>;

// "u1234567", zeros behind it. REQUIRES: key < 10^14.
inline std::string_view KeyText(uint64_t key, KeyBytes& bytes) {
  constexpr uint64_t kFirst = 1'000'000;
  bytes = {'u'};
  const char* end = std::to_chars(bytes.begin() + 1, bytes.end(), kFirst + key).ptr;
  return {bytes.data(), static_cast<size_t>(end - bytes.data())};
}

}  // namespace bench
