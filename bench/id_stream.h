// The ids of the dedup benchmark, the same for engine, limit and RocksDB loop: all of them new, 16
// bytes each (as a binary UUID), in the order in which they arrive, and the slice of event time
// that each belongs to.
//
// Event time advances steadily, so that slices come and go while the number of live ids stays where
// it is; an id may arrive later than others by an eighth of a slice.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "bench/bare.h"

namespace bench {

class IdStream {
 public:
  // Slices whose ids may still meet a duplicate: 8 before the floor, 8 from it to the newest.
  static constexpr uint64_t kLiveSlices = 17;

  explicit IdStream(uint64_t live_ids) : ids_per_slice_(live_ids / kLiveSlices) {}

  // The next bare::kBatchRows ids, in id() and slice().
  void NextBatch() {
    for (size_t i = 0; i < bare::kBatchRows; ++i, ++next_) slices_[i] = Make(next_, ids_[i]);
  }
  // Makes row `i` of the batch repeat the id that came n-th of all.
  void Repeat(size_t i, uint64_t n) { slices_[i] = Make(n, ids_[i]); }

  std::string_view id(size_t i) const {
    return {reinterpret_cast<const char*>(ids_[i].data()), sizeof(ids_[i])};
  }
  int64_t slice(size_t i) const { return slices_[i]; }
  const std::array<int64_t, bare::kBatchRows>& slices() const { return slices_; }
  int64_t newest_slice() const { return static_cast<int64_t>(next_ / ids_per_slice_); }
  uint64_t ids_per_slice() const { return ids_per_slice_; }
  uint64_t next() const { return next_; }  // how many there were
  void SkipTo(uint64_t next) { next_ = next; }

 private:
  using Bytes = std::array<uint64_t, 2>;

  // SplitMix64 of 2n and 2n + 1.
  static uint64_t Mix(uint64_t z) {
    z *= 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  int64_t Make(uint64_t n, Bytes& id) const {
    id = {Mix(2 * n + 1), Mix(2 * n + 2)};
    const uint64_t late = (id[0] & 0xFFFF) * (ids_per_slice_ / 8) >> 16;
    return static_cast<int64_t>((n > late ? n - late : 0) / ids_per_slice_);
  }

  const uint64_t ids_per_slice_;
  uint64_t next_ = 0;
  std::array<Bytes, bare::kBatchRows> ids_;
  std::array<int64_t, bare::kBatchRows> slices_;
};

}  // namespace bench
