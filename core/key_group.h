// Key groups: the unit in which keyed state and splits are dealt out. A key belongs to one of 1,024
// groups for ever; a subtask owns a contiguous range of them, which follows from the parallelism
// alone.
#pragma once

#include <cstdint>

namespace weir {

inline constexpr int kKeyGroups = 1024;
inline constexpr int kKeyGroupBits = 10;

constexpr int KeyGroupOf(uint64_t hash) { return static_cast<int>(hash >> (64 - kKeyGroupBits)); }
constexpr int SubtaskOf(int key_group, int parallelism) {
  return key_group * parallelism / kKeyGroups;
}

// The groups [first, last).
struct KeyGroupRange {
  int first = 0;
  int last = kKeyGroups;
  constexpr bool Contains(int group) const { return group >= first && group < last; }
  constexpr bool Contains(const KeyGroupRange& o) const {
    return o.first >= first && o.last <= last;
  }
  constexpr bool Overlaps(const KeyGroupRange& o) const { return o.first < last && first < o.last; }
  bool operator==(const KeyGroupRange&) const = default;
};

// Every group g in the range has SubtaskOf(g, parallelism) == subtask.
constexpr KeyGroupRange KeyGroupsOf(int subtask, int parallelism) {
  auto first = [&](int s) { return (s * kKeyGroups + parallelism - 1) / parallelism; };
  return {first(subtask), first(subtask + 1)};
}

}  // namespace weir
