#include "state/id_store_sort.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <span>

namespace weir {
namespace {

constexpr size_t kBucketsMax = 2048;  // so many lines can be written side by side without thrashing
constexpr size_t kInsertionSortMax = 32;

void InsertionSort(std::span<Fingerprint> ids) {
  for (size_t i = 1; i < ids.size(); ++i) {
    Fingerprint id = ids[i];
    size_t at = i;
    for (; at > 0 && id < ids[at - 1]; --at) ids[at] = ids[at - 1];
    ids[at] = id;
  }
}

// Sorts `ids`, using `scratch` of the same size.
void Sort(std::span<Fingerprint> ids, std::span<Fingerprint> scratch, int depth) {
  if (ids.size() <= kInsertionSortMax) return InsertionSort(ids);
  uint64_t lowest = ids[0].high;
  uint64_t highest = ids[0].high;
  for (const Fingerprint& id : ids) {
    lowest = std::min(lowest, id.high);
    highest = std::max(highest, id.high);
  }
  if (depth == 0 || lowest == highest) return std::sort(ids.begin(), ids.end());

  // Buckets of some 4 ids by the bits below those that all have in common.
  const int wanted_bits = std::bit_width(std::min(kBucketsMax, ids.size() / 4)) - 1;
  const int shift = std::max<int>(0, std::bit_width(highest - lowest) - wanted_bits);
  std::array<uint32_t, kBucketsMax + 1> ends;
  std::fill_n(ends.begin(), (size_t{1} << wanted_bits) + 1, 0);
  auto bucket = [&](const Fingerprint& id) { return (id.high - lowest) >> shift; };
  for (const Fingerprint& id : ids) ++ends[bucket(id) + 1];
  const size_t buckets = bucket({highest, 0}) + 1;
  for (size_t i = 1; i <= buckets; ++i) ends[i] += ends[i - 1];
  for (const Fingerprint& id : ids) scratch[ends[bucket(id)]++] = id;
  std::copy(scratch.begin(), scratch.end(), ids.begin());
  for (size_t i = 0, begin = 0; i < buckets; begin = ends[i++]) {
    size_t count = ends[i] - begin;
    if (count > 1) Sort(ids.subspan(begin, count), scratch.subspan(begin, count), depth - 1);
  }
}

}  // namespace

void SortFingerprints(std::vector<Fingerprint>& ids, std::vector<Fingerprint>& scratch) {
  if (scratch.size() < ids.size()) scratch.resize(ids.size());
  constexpr int kDepth = 4;
  Sort(ids, std::span(scratch).first(ids.size()), kDepth);
}

}  // namespace weir
