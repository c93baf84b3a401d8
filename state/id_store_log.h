// IdLog: the ids that an id store accepted most recently, in the order in which it accepted them.
//
// The task appends; what has been appended never changes, so a generation (a stretch of the log)
// can be read on the I/O pool while the task goes on. The log also is where the newest ids are
// confirmed: the filter keeps their positions. Only the task uses the log itself.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "core/hash.h"
#include "state/memory_chunk.h"

namespace weir {

struct StoredId {
  Fingerprint id;
  int64_t slice = 0;
};

inline constexpr size_t kIdsPerChunk = MemoryChunk::kBytes / sizeof(StoredId);
inline StoredId* IdsOf(const MemoryChunk& chunk) { return reinterpret_cast<StoredId*>(chunk.data); }

// The ids at positions [begin, end) of the log, which were accepted under a floor up to `floor`.
struct IdGeneration {
  uint64_t number = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  int64_t floor = 0;
  std::vector<std::shared_ptr<const MemoryChunk>> chunks;  // the first holds position `begin`

  template <class Fn>
  void ForEach(Fn fn) const {
    for (uint64_t at = begin; at < end; ++at) {
      fn(IdsOf(*chunks[at / kIdsPerChunk - begin / kIdsPerChunk])[at % kIdsPerChunk]);
    }
  }
};

class IdLog {
 public:
  // The position of the new id.
  uint64_t Append(const StoredId& id) {
    if (free_ == free_end_) {
      chunks_.push_back(pool_->Get());
      free_ = IdsOf(*chunks_.back());
      free_end_ = free_ + kIdsPerChunk;
    }
    *free_++ = id;
    return end_++;
  }
  const StoredId& at(uint64_t position) const {
    return IdsOf(*chunks_[position / kIdsPerChunk - first_chunk_])[position % kIdsPerChunk];
  }
  // The ids since the last cut, as the next generation. Copies no id.
  IdGeneration Cut(int64_t floor) {
    IdGeneration generation{++generation_, cut_, end_, floor, {}};
    for (uint64_t at = cut_ / kIdsPerChunk; at * kIdsPerChunk < end_; ++at) {
      generation.chunks.push_back(chunks_[at - first_chunk_]);
    }
    cut_ = end_;
    return generation;
  }
  // Gives away the oldest chunks while more than `kept` ids are held. Nothing from `position` on
  // goes.
  void Evict(uint64_t position, uint64_t kept) {
    while (!chunks_.empty() && (first_chunk_ + 1) * kIdsPerChunk <= position &&
           end_ - begin() > kept) {
      chunks_.pop_front();
      ++first_chunk_;
    }
  }

  // The id at the position with these low bits, as long as the log holds it, which must be less
  // than 2^32 ids; else null.
  const StoredId* Find(uint32_t low_bits) const {
    const uint64_t position =
        begin() + static_cast<uint32_t>(low_bits - static_cast<uint32_t>(begin()));
    return position < end_ ? &at(position) : nullptr;
  }

  uint64_t begin() const { return first_chunk_ * kIdsPerChunk; }
  uint64_t end() const { return end_; }
  uint64_t cut() const { return cut_; }
  size_t bytes() const { return chunks_.size() * kIdsPerChunk * sizeof(StoredId); }

 private:
  static constexpr size_t kFreeChunksKept = 16;

  const std::shared_ptr<MemoryChunkPool> pool_ = std::make_shared<MemoryChunkPool>(kFreeChunksKept);
  std::deque<std::shared_ptr<MemoryChunk>> chunks_;
  StoredId* free_ = nullptr;  // the rest of the last chunk
  StoredId* free_end_ = nullptr;
  uint64_t first_chunk_ = 0;
  uint64_t end_ = 0;
  uint64_t cut_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace weir
