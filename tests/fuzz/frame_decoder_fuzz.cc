// FrameDecoder: whatever comes and however it is cut, the same frames and the same end; and what
// was encoded comes out as it went in.
#include <string>
#include <utility>
#include <vector>

#include "core/check.h"
#include "runtime/net/frame.h"
#include "tests/fuzz/fuzz_input.h"

namespace weir {
namespace {

constexpr size_t kPayloadBytesMax = 4096;

struct Outcome {
  std::vector<std::pair<uint32_t, std::string>> frames;  // channel and payload
  Status end;
  bool operator==(const Outcome&) const = default;
};

Outcome DecodeAll(std::string_view bytes, size_t piece) {
  FrameDecoder decoder(kPayloadBytesMax);
  Outcome outcome;
  while (true) {
    const StatusOr<std::optional<Frame>> frame = decoder.Next();
    if (!frame.ok()) {
      WEIR_CHECK(decoder.Next().status() == frame.status());
      outcome.end = frame.status();
      return outcome;
    }
    if (*frame) {
      WEIR_CHECK((*frame)->bytes().size() <= kPayloadBytesMax);
      outcome.frames.emplace_back((*frame)->channel, (*frame)->bytes());
    } else if (bytes.empty()) {
      outcome.end = decoder.AtEnd();
      return outcome;
    } else {
      decoder.Append(bytes.substr(0, piece));
      bytes.remove_prefix(std::min(piece, bytes.size()));
    }
  }
}

}  // namespace
}  // namespace weir

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace weir;
  testing::FuzzInput input(data, size);
  const size_t piece = 1 + input.Byte();
  const bool encode = input.Byte() % 2 == 1;
  std::string stream;
  Outcome sent;
  if (encode) {  // frames that are whole, since chance makes no checksum
    stream = EncodePreamble();
    while (!input.done()) {
      const uint32_t channel = input.Byte();
      const std::string payload(input.Piece().substr(0, kPayloadBytesMax));
      stream += EncodeFrame(FrameKind::kRows, channel, payload);
      sent.frames.emplace_back(channel, payload);
    }
  } else {
    stream = input.Rest();
  }
  const Outcome cut = DecodeAll(stream, piece);
  WEIR_CHECK(cut == DecodeAll(stream, stream.size() + 1));
  if (encode) WEIR_CHECK(cut == sent);
  return 0;
}
