// KeyedLog: the newest values of a keyed store, in memory: a log of records with a hash table over
// it. It is both the write-back buffer and the cache.
//
// A record is a composed key (state_table.h) and the bytes stored for it, or the news that there
// are none. The table knows the newest record of each key that the log holds. A key that changes
// again before the next cut is changed in place; else a new record at the log's end takes its
// place. What was cut never changes, so a generation (a stretch of the log) is written on the I/O
// pool while the task goes on. What was written may be evicted, oldest first, once the log holds
// more than it may; a record that was used since the last time is given a second chance.
//
// Used by one task, but for what Cut() returns. Internal to state/.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "state/line_table.h"
#include "state/memory_chunk.h"

namespace weir {

// Lies in the log, followed by the key and by the value (or by a pointer to a large one).
class KeyedRecord {
 public:
  std::string_view key() const { return {bytes(), key_bytes_}; }
  bool deleted() const { return kind_ == kDeleted; }
  // REQUIRES: !deleted().
  std::string_view value() const {
    const char* at = bytes() + key_bytes_;
    if (kind_ == kLarge) std::memcpy(&at, bytes() + key_bytes_, sizeof at);
    return {at, value_bytes_};
  }
  // Of the whole record in the log, in bytes.
  size_t size() const { return (sizeof(KeyedRecord) + key_bytes_ + capacity_ + 7) & ~size_t{7}; }
  // Came from the files, so they need not be told.
  bool clean() const { return clean_; }
  // A later record of the same generation holds the key's value.
  bool dead() const { return dead_; }

 private:
  friend class KeyedLog;
  enum Kind : uint8_t { kDeleted, kInline, kLarge };

  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }
  char* bytes() { return reinterpret_cast<char*>(this + 1); }

  uint32_t key_bytes_;
  uint32_t value_bytes_;
  uint32_t capacity_;  // room for an inline value
  Kind kind_;
  bool clean_;
  bool dead_;
  // The task's own, also while the record is being written elsewhere.
  bool used_ : 1;        // since it was last considered for eviction
  bool superseded_ : 1;  // a later record holds the key's value
};
static_assert(sizeof(KeyedRecord) == 16);

// The records at positions [begin, end) of the log. Immutable; any thread.
struct KeyedGeneration {
  uint64_t number = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  struct Stretch {
    std::shared_ptr<const MemoryChunk> chunk;
    uint32_t begin = 0;
    uint32_t end = 0;
  };
  std::vector<Stretch> stretches;
  std::vector<std::shared_ptr<const std::string>> large_values;  // that the records point to

  // Calls fn(const KeyedRecord&) for what is to be written, in the order of the log.
  template <class Fn>
  void ForEach(Fn fn) const;
};

class KeyedLog {
 public:
  // `bytes_max`: what it may hold, table included, before it evicts.
  explicit KeyedLog(size_t bytes_max);
  ~KeyedLog();
  KeyedLog(const KeyedLog&) = delete;
  KeyedLog& operator=(const KeyedLog&) = delete;

  // `hash` is HashOf() the key. Pointers are valid until the next Put, Delete or AddClean, whose
  // arguments must not point into the log.
  void PrefetchTable(uint64_t hash) const { table_.Prefetch(hash); }
  // Where the record is if the table knows the key, to be prefetched by the caller: GCC 12 takes a
  // function that only prefetches for one without effect, and leaves its call out.
  const void* AddressOfRecord(uint64_t hash) const {
    const void* address = nullptr;
    table_.ForEachMatch(hash, [&](uint64_t payload) {
      if (Holds(payload)) address = &At(payload);
    });
    return address;
  }
  const KeyedRecord* Find(uint64_t hash, std::string_view key) {
    if (KeyedRecord* last = Last(hash, key)) return last;
    KeyedRecord* found = nullptr;
    table_.ForEachMatch(hash, [&](uint64_t payload) {
      if (!Holds(payload) || At(payload).key() != key) return;
      found = &At(payload);
      last_ = {hash, payload};
    });
    if (found != nullptr) found->used_ = true;
    return found;
  }
  // Where Find() found its last record, and that Find() should look there first.
  struct Place {
    uint64_t hash = 0;
    uint64_t payload = 0;
  };
  Place last() const { return last_; }
  void Expect(const Place& place) { last_ = place; }

  // The key's newest record, which is new or was changed in place.
  const KeyedRecord& Put(uint64_t hash, std::string_view key, std::string_view value) {
    return Set(hash, key, &value);
  }
  const KeyedRecord& Delete(uint64_t hash, std::string_view key) { return Set(hash, key, nullptr); }
  // What the files say of a key that the log does not hold; null: nothing.
  const KeyedRecord& AddClean(uint64_t hash, std::string_view key, const std::string_view* value);

  // The records since the last cut, as the next generation. Copies no record.
  KeyedGeneration Cut();
  // What lies before the position is in the files.
  void SetWritten(uint64_t position);
  uint64_t written() const { return written_; }
  size_t unwritten_bytes() const { return end_ - written_ + large_unwritten_bytes_; }
  // What the owner of the log holds beside it, and is to be made room for.
  void SetBytesBeside(size_t bytes) { bytes_beside_ = bytes; }
  // Calls fn(const KeyedRecord&) for the newest record of each key that is not in the files yet.
  template <class Fn>
  void ForEachUnwritten(Fn fn) const;

  size_t bytes() const {
    return chunks_.size() * MemoryChunk::kBytes + large_bytes_ + table_.bytes();
  }

  // The hash of a composed key, given that of the user's key in it.
  static uint64_t HashOf(int state, uint64_t key_hash, std::string_view sub_key);

 private:
  static constexpr int kPositionBits = 38;  // in units of 8 bytes
  static constexpr uint64_t kPositionMask = (uint64_t{1} << kPositionBits) - 1;
  static constexpr size_t kFreeChunksKept = 8;
  static constexpr int kEvictedPerChange = 4;  // records

  struct Alive {
    uint64_t begin, length;
    bool all() const { return false; }
    bool operator()(uint64_t payload) const { return ((payload - begin) & kPositionMask) < length; }
  };
  struct Chunk {
    std::shared_ptr<MemoryChunk> memory;
    uint32_t used = 0;
    size_t large_bytes = 0;  // of its records' large values
  };

  uint64_t begin() const { return first_chunk_ * MemoryChunk::kBytes; }
  Alive alive() const { return {begin() / 8, (end_ - begin()) / 8}; }
  bool Holds(uint64_t payload) const { return alive()(payload); }
  // REQUIRES: Holds(payload).
  uint64_t PositionOf(uint64_t payload) const {
    return begin() + ((payload - begin() / 8) & kPositionMask) * 8;
  }
  KeyedRecord& At(uint64_t payload) const { return RecordAt(PositionOf(payload)); }
  KeyedRecord& RecordAt(uint64_t position) const {
    const Chunk& chunk = chunks_[position / MemoryChunk::kBytes - first_chunk_];
    return *reinterpret_cast<KeyedRecord*>(chunk.memory->data + position % MemoryChunk::kBytes);
  }
  // The key's newest record, if it is where the last one was found.
  KeyedRecord* Last(uint64_t hash, std::string_view key) const {
    if (last_.hash != hash || !Holds(last_.payload)) return nullptr;
    KeyedRecord& record = At(last_.payload);
    return record.superseded_ || record.key() != key ? nullptr : &record;
  }
  const KeyedRecord& Set(uint64_t hash, std::string_view key, const std::string_view* value);
  // Appends a record and points the table to it, instead of to `old` if there is one.
  KeyedRecord& Append(uint64_t hash, std::string_view key, const std::string_view* value,
                      KeyedRecord* old);
  void FillValue(KeyedRecord& record, uint64_t position, const std::string_view* value);
  void EvictSome(int records);
  void DropFirstChunk();

  const size_t bytes_max_;
  const std::shared_ptr<MemoryChunkPool> pool_;
  LineTable<uint64_t, kPositionBits> table_;
  std::deque<Chunk> chunks_;
  uint64_t first_chunk_ = 0;
  uint64_t end_ = 0;
  uint64_t cut_ = 0;
  uint64_t written_ = 0;
  uint64_t evict_next_ = 0;  // position; records before it had their chance
  uint64_t generation_ = 0;
  int sweep_next_ = 0;  // partition of the table
  Place last_;

  // Large values, by their records' positions.
  std::map<uint64_t, std::shared_ptr<const std::string>> large_;
  size_t large_bytes_ = 0;
  size_t large_unwritten_bytes_ = 0;
  size_t bytes_beside_ = 0;
};

template <class Fn>
void KeyedGeneration::ForEach(Fn fn) const {
  for (const Stretch& stretch : stretches) {
    const char* const end = stretch.chunk->data + stretch.end;
    for (const char* at = stretch.chunk->data + stretch.begin; at < end;) {
      const auto& record = *reinterpret_cast<const KeyedRecord*>(at);
      if (!record.clean() && !record.dead()) fn(record);
      at += record.size();
    }
  }
}

template <class Fn>
void KeyedLog::ForEachUnwritten(Fn fn) const {
  uint64_t position = std::max(written_, begin());
  while (position < end_) {
    const uint64_t chunk = position / MemoryChunk::kBytes;
    const uint64_t used = chunk * MemoryChunk::kBytes + chunks_[chunk - first_chunk_].used;
    while (position < used) {
      const KeyedRecord& record = RecordAt(position);
      if (!record.clean_ && !record.superseded_) fn(record);
      position += record.size();
    }
    position = (chunk + 1) * MemoryChunk::kBytes;
  }
}

}  // namespace weir
