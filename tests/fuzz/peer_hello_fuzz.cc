// The Hello between executors: what is read is what would be written, and nothing else is read.
#include <string>

#include "core/check.h"
#include "runtime/net/hello.h"
#include "tests/fuzz/fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  PeerHello hello;
  if (!DecodeHello(bytes, hello)) return 0;
  const std::string written = EncodeHello(hello);
  PeerHello again;
  WEIR_CHECK(DecodeHello(written, again) && again == hello);
  for (size_t n = 0; n < written.size(); ++n) {
    PeerHello cut;
    WEIR_CHECK(!DecodeHello(std::string_view(written).substr(0, n), cut));
  }
  return 0;
}
