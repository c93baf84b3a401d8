// SubKey<K>: how the keys of a MapState become bytes that sort as the keys do, so that a scan
// visits them in order, and no encoding of one key is the beginning of another's.
//
// Keys are bool, integers, enums, float and double (-0.0 is stored as 0.0, NaN sorts last),
// std::string, and tuples of these. Numbers are 8 bytes, big-endian, with the sign bit
// turned; a string's zero bytes are escaped and it ends with two zero bytes.
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace weir {

void PutOrderedUint(uint64_t value, std::string& out);
void PutOrderedString(std::string_view value, std::string& out);
// Take what was put from the front of `in`; false if it is not that.
bool TakeOrderedUint(std::string_view& in, uint64_t& value);
bool TakeOrderedString(std::string_view& in, std::string& value);

inline constexpr uint64_t kSubKeySignBit = uint64_t{1} << 63;

template <class K>
struct SubKey;

template <class K>
requires(std::integral<K> || std::is_enum_v<K>) struct SubKey<K> {
  using Argument = K;
  static constexpr bool kSigned = std::is_enum_v<K> || std::is_signed_v<K>;
  static void Encode(K key, std::string& out) {
    if constexpr (kSigned) {
      PutOrderedUint(static_cast<uint64_t>(static_cast<int64_t>(key)) ^ kSubKeySignBit, out);
    } else {
      PutOrderedUint(static_cast<uint64_t>(key), out);
    }
  }
  static bool Take(std::string_view& in, K& key) {
    uint64_t bits;
    if (!TakeOrderedUint(in, bits)) return false;
    if constexpr (kSigned) bits ^= kSubKeySignBit;
    using Wide = std::conditional_t<kSigned, int64_t, uint64_t>;
    key = static_cast<K>(static_cast<Wide>(bits));
    return static_cast<Wide>(key) == static_cast<Wide>(bits);
  }
};

template <std::floating_point K>
struct SubKey<K> {
  using Argument = K;
  static void Encode(K key, std::string& out) {
    double number = key == 0 ? 0.0 : static_cast<double>(key);
    if (number != number) number = std::bit_cast<double>(uint64_t{0x7ff8} << 48);
    uint64_t bits = std::bit_cast<uint64_t>(number);
    PutOrderedUint(bits & kSubKeySignBit ? ~bits : bits | kSubKeySignBit, out);
  }
  static bool Take(std::string_view& in, K& key) {
    uint64_t bits;
    if (!TakeOrderedUint(in, bits)) return false;
    key = static_cast<K>(
        std::bit_cast<double>(bits & kSubKeySignBit ? bits ^ kSubKeySignBit : ~bits));
    return true;
  }
};

template <>
struct SubKey<std::string> {
  using Argument = std::string_view;
  static void Encode(std::string_view key, std::string& out) { PutOrderedString(key, out); }
  static bool Take(std::string_view& in, std::string& key) { return TakeOrderedString(in, key); }
};

template <class... Parts>
struct SubKey<std::tuple<Parts...>> {
  using Argument = const std::tuple<Parts...>&;
  static void Encode(const std::tuple<Parts...>& key, std::string& out) {
    std::apply([&](const Parts&... part) { (SubKey<Parts>::Encode(part, out), ...); }, key);
  }
  static bool Take(std::string_view& in, std::tuple<Parts...>& key) {
    return std::apply([&](Parts&... part) { return (SubKey<Parts>::Take(in, part) && ...); }, key);
  }
};

}  // namespace weir
