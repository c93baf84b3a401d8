// What the limits of the benchmarks are made of: an exact table of ids, a sort, a sorted file of
// RocksDB, clocks of CPU time. Bare libraries and plain loops, nothing of Weir; single-threaded,
// errors end the program.
#pragma once

#include <fmt/format.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <compare>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bare {

inline constexpr size_t kBatchRows = 1024;

[[noreturn]] inline void Fail(std::string_view what) {
  fmt::print(stderr, "{}\n", what);
  std::exit(1);
}

inline void Require(bool ok, std::string_view what) {
  if (!ok) Fail(errno == 0 ? std::string(what) : fmt::format("{}: {}", what, strerror(errno)));
}

inline void Require(const rocksdb::Status& status) {
  if (!status.ok()) Fail(status.ToString());
}

// CPU time of this thread, in nanoseconds.
inline int64_t ThreadCpuNs() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

// CPU time of all threads there are and were, user and system, in nanoseconds.
inline int64_t ProcessCpuNs() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000'000 +
         (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1'000;
}

struct Id {
  uint64_t high = 0;
  uint64_t low = 0;
  auto operator<=>(const Id&) const = default;
};

// Zeroed memory in huge pages, never given back.
template <class T>
T* HugeArray(size_t n) {
  constexpr size_t kHugePage = 2 << 20;
  const size_t bytes = n * sizeof(T) + kHugePage;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  Require(memory != MAP_FAILED, "no memory for a table");
  madvise(memory, bytes, MADV_HUGEPAGE);
  const auto address = reinterpret_cast<uintptr_t>(memory);
  return reinterpret_cast<T*>((address + kHugePage - 1) & ~(kHugePage - 1));
}

// Every id there is, exactly, in open addressing; sized beforehand and at most half full. {0, 0}
// marks an empty place.
class IdTable {
 public:
  explicit IdTable(size_t ids)
      : mask_(std::bit_ceil(2 * std::max<size_t>(ids, 1024)) - 1),
        places_(HugeArray<Id>(mask_ + 1)) {}

  // is_new[i]: ids[i] was not there yet. A batch at a time: the places are asked for before they
  // are looked at.
  void Insert(std::span<const Id> ids, std::span<uint8_t> is_new) {
    for (const Id& id : ids) __builtin_prefetch(&places_[id.low & mask_], 1);
    for (size_t i = 0; i < ids.size(); ++i) is_new[i] = InsertOne(ids[i]);
  }

 private:
  bool InsertOne(const Id& id) {
    if (id == Id{}) return !std::exchange(has_zero_, true);
    for (size_t i = id.low & mask_;; i = (i + 1) & mask_) {
      if (places_[i] == id) return false;
      if (places_[i] == Id{}) {
        places_[i] = id;
        return true;
      }
    }
  }

  const size_t mask_;
  Id* const places_;
  bool has_zero_ = false;
};

// Ascending. Two passes over the leading bits, which hashes have spread evenly, leave buckets of a
// few ids each.
inline void SortIds(std::vector<Id>& ids) {
  constexpr int kFirstBits = 11;
  constexpr size_t kBuckets = size_t{1} << kFirstBits;
  static std::vector<Id> scratch;
  if (scratch.size() < ids.size()) scratch.resize(ids.size());

  // Deals [from, from + n) out to `to` by `bits` bits of `high` that have `skip` bits above them.
  const auto deal = [](const Id* from, size_t n, Id* to, int skip, int bits, uint32_t* ends) {
    const int shift = 64 - bits;
    std::fill_n(ends, (size_t{1} << bits) + 1, 0);
    for (size_t i = 0; i < n; ++i) ++ends[((from[i].high << skip) >> shift) + 1];
    for (size_t b = 1; b <= size_t{1} << bits; ++b) ends[b] += ends[b - 1];
    for (size_t i = 0; i < n; ++i) to[ends[(from[i].high << skip) >> shift]++] = from[i];
  };
  std::array<uint32_t, kBuckets + 1> ends;
  std::array<uint32_t, kBuckets + 1> inner_ends;
  deal(ids.data(), ids.size(), scratch.data(), 0, kFirstBits, ends.data());
  for (size_t b = 0, begin = 0; b < kBuckets; begin = ends[b++]) {
    const size_t n = ends[b] - begin;
    if (n == 0) continue;
    const int bits = std::clamp(static_cast<int>(std::bit_width(n)) - 2, 1, kFirstBits);
    Id* const sorted = ids.data() + begin;
    deal(scratch.data() + begin, n, sorted, kFirstBits, bits, inner_ends.data());
    for (size_t i = 1; i < n; ++i) {
      const Id id = sorted[i];
      size_t at = i;
      for (; at > 0 && id < sorted[at - 1]; --at) sorted[at] = sorted[at - 1];
      sorted[at] = id;
    }
  }
}

// Options of a database of ids: keys that are hashes have no prefixes to share, nor anything to
// compress.
inline rocksdb::Options IdOptions() {
  rocksdb::Options options;
  options.compression = rocksdb::kNoCompression;
  rocksdb::BlockBasedTableOptions table;
  table.format_version = 5;
  table.checksum = rocksdb::kXXH3;
  table.use_delta_encoding = false;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

// Ids as keys, big-endian, so that they are ordered as the ids are.
class Key {
 public:
  explicit Key(const Id& id) : words_{__builtin_bswap64(id.high), __builtin_bswap64(id.low)} {}
  rocksdb::Slice slice() const { return {reinterpret_cast<const char*>(words_), sizeof(words_)}; }

 private:
  uint64_t words_[2];
};

// REQUIRES: the ids ascend, each once.
inline void WriteSortedFile(const std::string& path, std::span<const Id> ids,
                            const rocksdb::Options& options) {
  rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), options, /*column_family=*/nullptr,
                                /*invalidate_page_cache=*/false);
  Require(writer.Open(path));
  for (const Id& id : ids) Require(writer.Put(Key(id).slice(), {}));
  Require(writer.Finish());  // syncs
}

}  // namespace bare
