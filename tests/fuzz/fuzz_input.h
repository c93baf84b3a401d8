// FuzzInput: what a fuzzer was given, cut into the numbers and bytes that a target asks for. Never
// fails: behind its end there are zeros and empty bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

// What each target defines. In a normal build the targets are all in one program, each under a name
// of its own (CMakeLists.txt), which replays the corpus.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace weir::testing {

class FuzzInput {
 public:
  FuzzInput(const uint8_t* data, size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  bool done() const { return rest_.empty(); }
  uint8_t Byte() {
    const std::string_view taken = Bytes(1);
    return taken.empty() ? 0 : static_cast<uint8_t>(taken[0]);
  }
  // Two bytes of length, then so many bytes, or what is left.
  std::string_view Piece() {
    const size_t low = Byte();
    return Bytes(low | static_cast<size_t>(Byte()) << 8);
  }
  std::string_view Bytes(size_t n) {
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view Rest() { return Bytes(rest_.size()); }

 private:
  std::string_view rest_;
};

}  // namespace weir::testing
