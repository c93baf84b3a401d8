// The wire format: what two processes of Weir say to each other is a sequence of frames behind a
// preamble. Pure: no socket, no thread, no clock.
//
//   preamble   "WEIR", then the protocol's version (u32)
//   frame      u32  bytes of the payload
//              u32  channel
//              u32  kind
//              u32  check of the three above (XXH3, cut)
//              u64  checksum of the payload (XXH3)
//              payload
//
// All numbers are little-endian. The header has a check of its own so that a damaged length is told
// at once, and not after the many bytes that it asks for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/limits.h"
#include "core/slab.h"
#include "core/status.h"

namespace weir {

inline constexpr uint32_t kProtocolVersion = 1;
inline constexpr size_t kPreambleBytes = 8;
inline constexpr size_t kFrameHeaderBytes = 24;

// Numbers on the wire: never reused, new ones at the end of kKnownFrameKinds (frame.cc).
enum class FrameKind : uint8_t {
  kHeartbeat = 0,  // of the connection itself; never handed out
  kHello = 1,      // who the peer is (peer_mesh.h)
  kControl = 2,    // a Protobuf message between coordinator and executor
  // Of channels between tasks (remote_exchange.h). To the receiver:
  kRows = 16,
  kWatermark = 17,
  kBarrier = 18,
  kEndOfInput = 19,
  // To the sender:
  kCredit = 20,
  kWatermarkLimit = 21,
};

// A frame that was received. The payload is never null.
struct Frame {
  FrameKind kind = FrameKind::kHeartbeat;
  uint32_t channel = 0;
  SlabPtr payload;

  std::string_view bytes() const { return payload->view(); }
};

std::string EncodePreamble();

using FrameHeader = std::array<char, kFrameHeaderBytes>;
// REQUIRES: payload.size() <= limits::kFrameBytesMax.
FrameHeader EncodeFrameHeader(FrameKind kind, uint32_t channel, std::string_view payload);
// Header and payload, for tests and simulations.
std::string EncodeFrame(FrameKind kind, uint32_t channel, std::string_view payload);

// Bytes in, frames out. Any cut of the bytes gives the same frames. Memory is taken as bytes come,
// not as a length asks for it. After an error every call returns it again.
//
// Errors: DataLoss for what is no frame (it names what was wrong and at which byte of the stream),
// FailedPrecondition for another version of the protocol.
class FrameDecoder {
 public:
  explicit FrameDecoder(size_t payload_bytes_max = limits::kFrameBytesMax);

  // Room for at least one byte, to be filled from its front; then Written(). The room is gone after
  // any other call.
  std::span<char> Room();
  void Written(size_t bytes);
  // The same with a copy.
  void Append(std::string_view bytes);

  // The next whole frame, also a heartbeat; nullopt: more bytes are needed.
  StatusOr<std::optional<Frame>> Next();
  // To be asked when the stream has ended: DataLoss inside a frame or before the preamble.
  Status AtEnd() const;

  // From the next frame on whose header has not been read.
  void set_payload_bytes_max(size_t bytes) { payload_bytes_max_ = bytes; }

 private:
  struct Header {
    uint32_t bytes;
    uint32_t channel;
    FrameKind kind;
    uint64_t checksum;
  };
  size_t unread() const { return end_ - begin_; }
  StatusOr<Header> ReadHeader() const;
  Status ReadPreamble();
  Status Fail(Status status);
  void Consume(size_t bytes);

  size_t payload_bytes_max_;
  Status status_;
  bool greeted_ = false;  // the preamble has been read
  std::optional<Header> header_;
  std::string buffer_;  // of which [begin_, end_) is to be read
  size_t begin_ = 0;
  size_t end_ = 0;
  uint64_t offset_ = 0;  // of begin_ in the stream
};

}  // namespace weir
