// LineTable: an open-addressing hash table of small entries, made to be probed a batch at a time.
//
// An entry is a tag (bits of the key's hash) and a payload; the key itself is not stored, so a
// match says "perhaps" and the caller confirms it. An entry lives in the cache line that its tag
// names, or in one of the next where that is full: nearly every probe costs one line, which
// Prefetch() asks for ahead of time. Lines fill from the front and nothing is removed by itself:
// entries that the caller calls dead disappear when their partition is rehashed. The table is cut
// into 1,024 partitions that grow and shrink each for itself, so that no insert ever waits for a
// rehash of the whole table.
//
// Used by one thread. Memory lies in huge pages once there is enough of it.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <vector>

#include "core/check.h"

namespace weir {

// Blocks of cache lines in a fixed series of sizes, out of larger regions that are given back to
// the system when all their blocks are free. Not thread-safe.
class LineArena {
 public:
  static constexpr size_t kLineBytes = 64;

  LineArena() = default;
  ~LineArena();
  LineArena(const LineArena&) = delete;
  LineArena& operator=(const LineArena&) = delete;

  // 1, 2, 3, 4, 6, 8, 12, 16, ...: the smallest of the series that is not below `lines`.
  static uint32_t RoundUp(uint32_t lines);
  // Zeroed. REQUIRES: lines == RoundUp(lines).
  void* Allocate(uint32_t lines);
  void Free(void* block, uint32_t lines);
  size_t bytes() const { return bytes_; }

 private:
  struct Region {
    char* base = nullptr;
    size_t bytes = 0;
    uint32_t blocks = 0;
    std::vector<uint32_t> free;
  };
  void Release(const Region& region);

  std::map<char*, Region> regions_;                    // by base
  std::map<uint32_t, std::vector<char*>> with_space_;  // size in lines -> bases of regions
  size_t bytes_ = 0;
};

template <class Entry, int kPayloadBits>
class LineTable {
 public:
  static constexpr int kPartitionBits = 10;
  static constexpr int kPartitions = 1 << kPartitionBits;

  LineTable() : partitions_(kPartitions) {}
  ~LineTable() { Clear(); }

  void Prefetch(uint64_t hash) const { __builtin_prefetch(&HomeLine(hash), 1); }

  // Calls fn(payload) for every entry with the hash's tag.
  template <class Fn>
  void ForEachMatch(uint64_t hash, Fn fn) const {
    const Partition& partition = partitions_[PartitionOf(hash)];
    const Entry want = TagOf(hash) << kPayloadBits;
    for (uint32_t i = LineOf(partition, TagOf(hash));;) {
      const Line& line = partition.lines[i];
      if (__builtin_expect(AnyMatch(line, want), 0)) {
        for (Entry entry : line.entries) {
          if ((entry & ~kPayloadMask) == want) fn(static_cast<Entry>(entry & kPayloadMask));
        }
      }
      if (__builtin_expect(HasSpace(line), 1)) return;
      if (++i == partition.line_count) i = 0;
    }
  }

  // alive(payload) tells which entries a rehash keeps; alive.all() that it keeps them all.
  template <class Alive>
  void Insert(uint64_t hash, Entry payload, Alive alive) {
    Partition& partition = WithSpace(hash, alive);
    Place(partition, (TagOf(hash) << kPayloadBits) | payload);
    ++size_;
  }
  // Inserts unless there is an entry with the hash's tag. False: there is one.
  template <class Alive>
  bool InsertIfNoMatch(uint64_t hash, Entry payload, Alive alive) {
    Partition& partition = WithSpace(hash, alive);
    const Entry want = TagOf(hash) << kPayloadBits;
    for (uint32_t i = LineOf(partition, TagOf(hash));;) {
      Line& line = partition.lines[i];
      if (__builtin_expect(AnyMatch(line, want), 0)) return false;
      if (__builtin_expect(HasSpace(line), 1)) {
        line.entries[Used(line)] = want | payload;
        ++partition.size;
        ++size_;
        return true;
      }
      if (++i == partition.line_count) i = 0;
    }
  }

  // Gives the entry with the hash's tag whose payload accept() takes another payload. False: there
  // is none.
  template <class Accept>
  bool Replace(uint64_t hash, Accept accept, Entry payload) {
    Partition& partition = partitions_[PartitionOf(hash)];
    if (partition.line_count == 0) return false;
    const Entry want = TagOf(hash) << kPayloadBits;
    for (uint32_t i = LineOf(partition, TagOf(hash));;) {
      Line& line = partition.lines[i];
      for (Entry& entry : line.entries) {
        if (entry == 0) return false;
        if ((entry & ~kPayloadMask) != want || !accept(entry & kPayloadMask)) continue;
        entry = want | payload;
        return true;
      }
      if (++i == partition.line_count) i = 0;
    }
  }

  // Forgets the dead entries of one partition and gives back memory it no longer needs. Returns how
  // many entries it had.
  template <class Alive>
  uint32_t Sweep(int partition, Alive alive) {
    const uint32_t entries = partitions_[partition].size;
    if (entries != 0) Rehash(partitions_[partition], alive);
    return entries;
  }

  void Clear() {
    for (Partition& partition : partitions_) {
      if (partition.line_count != 0) arena_.Free(partition.lines, partition.line_count);
      partition = Partition();
    }
    size_ = 0;
  }

  uint64_t size() const { return size_; }  // dead entries that were not swept yet included
  size_t bytes() const { return arena_.bytes() + partitions_.size() * sizeof(Partition); }

 private:
  static constexpr int kSlots = LineArena::kLineBytes / sizeof(Entry);
  static constexpr int kTagBits = 8 * sizeof(Entry) - kPayloadBits;
  static constexpr Entry kPayloadMask = (Entry{1} << kPayloadBits) - 1;
  // Of 16 slots, how many may be taken before a rehash, and how many at most after it.
  static constexpr uint32_t kFillMax = 12;
  static constexpr uint32_t kFillAfter = 9;

  struct alignas(LineArena::kLineBytes) Line {
    Entry entries[kSlots];  // 0: free
  };
  static constexpr Line kNoLine{};
  struct Partition {
    Line* lines = const_cast<Line*>(&kNoLine);
    uint32_t line_count = 0;  // 0: lines is kNoLine, which is read as one line and never written
    uint32_t size = 0;
  };

  static int PartitionOf(uint64_t hash) { return static_cast<int>(hash >> (64 - kPartitionBits)); }
  static Entry TagOf(uint64_t hash) {  // never 0, so that no entry is 0
    auto tag = static_cast<Entry>((hash << kPartitionBits) >> (64 - kTagBits));
    return tag == 0 ? 1 : tag;
  }
  static uint32_t LineOf(const Partition& partition, Entry tag) {
    return static_cast<uint32_t>((uint64_t{tag} * partition.line_count) >> kTagBits);
  }
  const Line& HomeLine(uint64_t hash) const {
    const Partition& partition = partitions_[PartitionOf(hash)];
    return partition.lines[LineOf(partition, TagOf(hash))];
  }
  template <class Alive>
  Partition& WithSpace(uint64_t hash, Alive alive) {
    Partition& partition = partitions_[PartitionOf(hash)];
    if (__builtin_expect(partition.size >= partition.line_count * kSlots * kFillMax / 16, 0)) {
      Rehash(partition, alive);
    }
    return partition;
  }

  // The next three look at all slots at once, without a branch; the compiler makes SIMD of them.
  static bool AnyMatch(const Line& line, Entry want) {
    Entry any = 0;
    for (int i = 0; i < kSlots; ++i) {
      any |= static_cast<Entry>(-static_cast<Entry>((line.entries[i] & ~kPayloadMask) == want));
    }
    return any != 0;
  }
  static int Used(const Line& line) {
    int used = 0;
    for (int slot = 0; slot < kSlots; ++slot) used += line.entries[slot] != 0;
    return used;
  }
  static bool HasSpace(const Line& line) { return line.entries[kSlots - 1] == 0; }

  static void Place(Partition& partition, Entry entry) {
    for (uint32_t i = LineOf(partition, entry >> kPayloadBits);;) {
      Line& line = partition.lines[i];
      if (__builtin_expect(HasSpace(line), 1)) {
        line.entries[Used(line)] = entry;
        ++partition.size;
        return;
      }
      if (++i == partition.line_count) i = 0;
    }
  }

  template <class Alive>
  __attribute__((noinline)) void Rehash(Partition& partition, Alive alive) {
    uint32_t survivors = partition.size;
    if (!alive.all()) {
      survivors = 0;
      for (uint32_t i = 0; i < partition.line_count; ++i) {
        for (Entry entry : partition.lines[i].entries) {
          survivors += entry != 0 && alive(static_cast<Entry>(entry & kPayloadMask));
        }
      }
    }
    Partition old = partition;
    partition = Partition();
    partition.line_count = LineArena::RoundUp(survivors * 16 / (kSlots * kFillAfter) + 1);
    partition.lines = static_cast<Line*>(arena_.Allocate(partition.line_count));
    for (uint32_t i = 0; i < old.line_count; ++i) {
      const Line& line = old.lines[i];
      for (int slot = 0; slot < kSlots && line.entries[slot] != 0; ++slot) {
        const Entry entry = line.entries[slot];
        if (alive(static_cast<Entry>(entry & kPayloadMask))) Place(partition, entry);
      }
    }
    size_ -= old.size - partition.size;
    if (old.line_count != 0) arena_.Free(old.lines, old.line_count);
  }

  LineArena arena_;
  std::vector<Partition> partitions_;
  uint64_t size_ = 0;
};

}  // namespace weir
