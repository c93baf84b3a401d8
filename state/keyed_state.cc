#include "state/keyed_state.h"

#include <fmt/format.h>

#include "core/hash.h"

namespace weir {

StateKey MakeStateKey(std::string_view bytes) { return {Hash64(bytes), bytes}; }

Status CheckStateSizes(std::string_view state, const StateKey& key, std::string_view sub_key,
                       std::string_view value) {
  auto too_long = [&](std::string_view what, size_t bytes, size_t bytes_max) {
    return absl::InvalidArgumentError(fmt::format("state '{}': {} has {}, at most {} are allowed",
                                                  state, what, FormatSize(bytes),
                                                  FormatSize(bytes_max)));
  };
  if (key.bytes.size() > limits::kStateKeyBytesMax) {
    return too_long("its key", key.bytes.size(), limits::kStateKeyBytesMax);
  }
  if (sub_key.size() > limits::kStateKeyBytesMax) {
    return too_long("a map's key", sub_key.size(), limits::kStateKeyBytesMax);
  }
  if (value.size() > limits::kStateValueBytesMax) {
    return too_long("a value", value.size(), limits::kStateValueBytesMax);
  }
  return absl::OkStatus();
}

Status UndecodableState(std::string_view state, std::string_view what) {
  return absl::DataLossError(
      fmt::format("state '{}': {}: its bytes are not of the registered type", state, what));
}

void PutOrderedUint(uint64_t value, std::string& out) {
  char bytes[8];
  for (int i = 7; i >= 0; --i, value >>= 8) bytes[i] = static_cast<char>(value);
  out.append(bytes, sizeof bytes);
}

bool TakeOrderedUint(std::string_view& in, uint64_t& value) {
  if (in.size() < 8) return false;
  value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | static_cast<uint8_t>(in[i]);
  in.remove_prefix(8);
  return true;
}

// A zero byte becomes 00 ff; the end is 00 00, which sorts before any continuation.
void PutOrderedString(std::string_view value, std::string& out) {
  for (;;) {
    size_t zero = value.find('\0');
    out.append(value.substr(0, zero));
    if (zero == std::string_view::npos) break;
    out.append("\0\xff", 2);
    value.remove_prefix(zero + 1);
  }
  out.append("\0\0", 2);
}

bool TakeOrderedString(std::string_view& in, std::string& value) {
  value.clear();
  for (;;) {
    size_t zero = in.find('\0');
    if (zero == std::string_view::npos || zero + 1 >= in.size()) return false;
    value.append(in.substr(0, zero));
    char next = in[zero + 1];
    in.remove_prefix(zero + 2);
    if (next == '\0') return true;
    if (next != '\xff') return false;
    value.push_back('\0');
  }
}

}  // namespace weir
