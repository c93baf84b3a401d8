#include "runtime/net/hello.h"

#include "core/codec.h"

namespace weir {

std::string EncodeHello(const PeerHello& hello) {
  std::string out;
  PutBytes(hello.job_id, out);
  PutVarint(hello.attempt, out);
  PutVarint(hello.index, out);
  PutVarint(hello.executors, out);
  PutBytes(hello.secret, out);
  return out;
}

bool DecodeHello(std::string_view bytes, PeerHello& hello) {
  ByteReader in(bytes);
  return in.Bytes(hello.job_id) && in.Varint(hello.attempt) && in.Varint(hello.index) &&
         in.Varint(hello.executors) && in.Bytes(hello.secret) && in.done();
}

}  // namespace weir
