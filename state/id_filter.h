// IdFilter: answers "may this id have been accepted, in which slices, and where in the log?" for
// every live id of an id store, at the price of one cache line.
//
// Eight bytes an id: it tells ids apart by 36 bits of their fingerprints (26 of which are stored)
// and keeps the slice modulo 64 and the position in the log modulo 2^32. So a new id is wrongly
// found among N live ones with probability N / 2^36 and practically never causes a read; a live id
// is never missed. Used by one thread.
#pragma once

#include <bit>
#include <cstdint>

#include "core/hash.h"
#include "state/line_table.h"

namespace weir {

class IdFilter {
 public:
  // A set of slices modulo 64.
  using Slices = uint64_t;
  static constexpr Slices Only(int64_t slice) { return Slices{1} << (slice & 63); }
  // The slices from `slice` - `distance` to `slice` + `distance`. REQUIRES: 2 * distance < 64.
  static constexpr Slices Around(int64_t slice, int distance) {
    return std::rotl((Slices{1} << (2 * distance + 1)) - 1,
                     static_cast<int>((slice - distance) & 63));
  }

  void Prefetch(const Fingerprint& id) const { table_.Prefetch(id.low); }
  // Calls fn(slices, position) for what may be the id: one slice, and the position's low bits.
  template <class Fn>
  void ForEach(const Fingerprint& id, Fn fn) const {
    table_.ForEachMatch(id.low, [&](uint64_t payload) {
      fn(Slices{1} << (payload >> 32), static_cast<uint32_t>(payload));
    });
  }
  // A rehash on the way may forget ids of slices that are not in `live`; `all_live`: there are
  // none.
  void Add(const Fingerprint& id, int64_t slice, uint64_t position, Slices live, bool all_live) {
    table_.Insert(id.low, Payload(slice, position), Alive{live | Only(slice), all_live});
  }
  // Adds the id unless one like it stands in any slice. False: one does.
  bool AddIfUnknown(const Fingerprint& id, int64_t slice, uint64_t position, Slices live,
                    bool all_live) {
    return table_.InsertIfNoMatch(id.low, Payload(slice, position),
                                  Alive{live | Only(slice), all_live});
  }
  // Forgets ids for which keep(slices, position) does not hold, as ForEach() has these two; a
  // partition or a few small ones a call. True: done with all.
  template <class Keep>
  bool SweepSome(Keep keep) {
    for (uint64_t entries = 0; entries < kSweepEntries && sweep_next_ < Table::kPartitions;) {
      entries += table_.Sweep(sweep_next_++, Kept<Keep>{keep});
    }
    if (sweep_next_ < Table::kPartitions) return false;
    sweep_next_ = 0;
    return true;
  }
  void Clear() {
    table_.Clear();
    sweep_next_ = 0;
  }

  uint64_t size() const { return table_.size(); }
  size_t bytes() const { return table_.bytes(); }

 private:
  using Table = LineTable<uint64_t, 6 + 32>;
  static constexpr uint64_t kSweepEntries = 16 << 10;

  static uint64_t Payload(int64_t slice, uint64_t position) {
    return static_cast<uint64_t>(slice & 63) << 32 | static_cast<uint32_t>(position);
  }
  template <class Keep>
  struct Kept {
    Keep keep;
    bool all() const { return false; }
    bool operator()(uint64_t payload) const {
      return keep(Slices{1} << (payload >> 32), static_cast<uint32_t>(payload));
    }
  };
  struct Alive {
    Slices live;
    bool all_live;
    bool all() const { return all_live; }
    bool operator()(uint64_t payload) const { return all_live || ((live >> (payload >> 32)) & 1); }
  };

  Table table_;
  int sweep_next_ = 0;
};

}  // namespace weir
