// PeerHello: the first frame of each direction between two executors of an attempt (peer_mesh.h).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

// Views point into what it was decoded from.
struct PeerHello {
  std::string_view job_id;
  uint64_t attempt = 0;
  uint64_t index = 0;      // of who says it
  uint64_t executors = 0;  // of the attempt
  std::string_view secret;

  bool operator==(const PeerHello&) const = default;
};

std::string EncodeHello(const PeerHello& hello);
// False: the bytes are no Hello.
bool DecodeHello(std::string_view bytes, PeerHello& hello);

}  // namespace weir
