#include "core/row_codec.h"

namespace weir::internal {

// rows, whether key hashes follow, the times (each as the difference to the one before: most rows
// are close together), the key hashes.
void EncodeColumns(std::span<const Timestamp> times, std::span<const uint64_t> key_hashes,
                   std::string& out) {
  PutVarint(times.size(), out);
  out.push_back(key_hashes.empty() ? 0 : 1);
  uint64_t before = 0;
  for (Timestamp time : times) {
    const uint64_t bits = static_cast<uint64_t>(time);
    PutSigned(static_cast<int64_t>(bits - before), out);
    before = bits;
  }
  for (uint64_t hash : key_hashes) PutFixed64(hash, out);
}

bool DecodeColumns(ByteReader& in, Columns& columns) {
  uint64_t rows;
  bool keyed;
  // Every row's time takes at least a byte, so a longer claim is a lie.
  if (!in.Varint(rows) || rows > in.remaining()) return false;
  if (!Codec<bool>::Decode(in, keyed)) return false;
  if (keyed && rows > in.remaining() / 9) return false;
  columns.times.reserve(rows);
  uint64_t before = 0;
  for (uint64_t i = 0; i < rows; ++i) {
    int64_t difference;
    if (!in.Signed(difference)) return false;
    before += static_cast<uint64_t>(difference);
    columns.times.push_back(static_cast<Timestamp>(before));
  }
  if (!keyed) return true;
  columns.key_hashes.reserve(rows);
  for (uint64_t i = 0; i < rows; ++i) {
    uint64_t hash;
    if (!in.Fixed64(hash)) return false;
    columns.key_hashes.push_back(hash);
  }
  return true;
}

}  // namespace weir::internal
