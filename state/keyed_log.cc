#include "state/keyed_log.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "core/hash.h"
#include "core/limits.h"
#include "state/state_table.h"

namespace weir {
namespace {

// Values beyond this lie outside the log. With the longest keys a record still fits into a chunk.
constexpr size_t kInlineValueMax = 64 << 10;
static_assert(kInlineValueMax + 2 * limits::kStateKeyBytesMax + 64 < MemoryChunk::kBytes);

}  // namespace

KeyedLog::KeyedLog(size_t bytes_max)
    : bytes_max_(bytes_max), pool_(std::make_shared<MemoryChunkPool>(kFreeChunksKept)) {}

KeyedLog::~KeyedLog() = default;

uint64_t KeyedLog::HashOf(int state, uint64_t key_hash, std::string_view sub_key) {
  uint64_t hash = key_hash + static_cast<uint64_t>(state) * 0x9e3779b97f4a7c15;
  if (!sub_key.empty()) hash ^= std::rotl(Hash64(sub_key), 31);
  // The key's own high bits are its key group, of which an instance has few; the table goes by the
  // high bits.
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93;
  return hash ^ (hash >> 32);
}

const KeyedRecord& KeyedLog::Set(uint64_t hash, std::string_view key,
                                 const std::string_view* value) {
  EvictSome(kEvictedPerChange);
  auto* old = const_cast<KeyedRecord*>(Find(hash, key));
  const uint64_t position = old == nullptr ? 0 : PositionOf(last_.payload);
  const bool mutable_now = old != nullptr && position >= cut_ && !old->clean_;
  if (mutable_now && old->kind_ != KeyedRecord::kLarge &&
      (value == nullptr || value->size() <= std::min<size_t>(old->capacity_, kInlineValueMax))) {
    FillValue(*old, position, value);
    return *old;
  }
  if (mutable_now) {
    old->dead_ = true;
    if (auto large = large_.find(position); large != large_.end()) {
      large_bytes_ -= large->second->size();
      large_unwritten_bytes_ -= large->second->size();
      large_.erase(large);
    }
  }
  return Append(hash, key, value, old);
}

const KeyedRecord& KeyedLog::AddClean(uint64_t hash, std::string_view key,
                                      const std::string_view* value) {
  EvictSome(kEvictedPerChange);
  KeyedRecord& record = Append(hash, key, value, nullptr);
  record.clean_ = true;
  return record;
}

KeyedRecord& KeyedLog::Append(uint64_t hash, std::string_view key, const std::string_view* value,
                              KeyedRecord* old) {
  WEIR_CHECK(key.size() <= 2 * limits::kStateKeyBytesMax + 64);
  // Also where there is no value yet, so that a small one fits in later.
  size_t room = 8;
  if (value != nullptr) room = value->size() <= kInlineValueMax ? value->size() : sizeof(char*);
  const size_t before = sizeof(KeyedRecord) + key.size();
  const size_t size = (before + std::max(room, sizeof(char*)) + 7) & ~size_t{7};
  // A chunk is evicted as a whole, so that it must not hold many large values.
  if (chunks_.empty() || chunks_.back().used + size > MemoryChunk::kBytes ||
      chunks_.back().large_bytes > MemoryChunk::kBytes) {
    chunks_.push_back({pool_->Get()});
    end_ = (first_chunk_ + chunks_.size() - 1) * MemoryChunk::kBytes;
  }
  Chunk& chunk = chunks_.back();
  const uint64_t position = end_;
  auto& record = *reinterpret_cast<KeyedRecord*>(chunk.memory->data + chunk.used);
  record.key_bytes_ = static_cast<uint32_t>(key.size());
  record.capacity_ = static_cast<uint32_t>(size - before);
  record.clean_ = false;
  record.dead_ = false;
  record.used_ = false;
  record.superseded_ = false;
  std::memcpy(record.bytes(), key.data(), key.size());
  FillValue(record, position, value);
  chunk.used += static_cast<uint32_t>(size);
  end_ += size;

  const uint64_t payload = position / 8 & kPositionMask;
  if (old != nullptr) {
    old->superseded_ = true;
    const bool replaced = table_.Replace(
        hash, [&](uint64_t entry) { return Holds(entry) && &At(entry) == old; }, payload);
    WEIR_CHECK(replaced);
  } else {
    table_.Insert(hash, payload, alive());
  }
  last_ = {hash, payload};
  return record;
}

void KeyedLog::FillValue(KeyedRecord& record, uint64_t position, const std::string_view* value) {
  record.value_bytes_ = value == nullptr ? 0 : static_cast<uint32_t>(value->size());
  record.kind_ = value == nullptr ? KeyedRecord::kDeleted : KeyedRecord::kInline;
  if (value == nullptr) return;
  char* to = record.bytes() + record.key_bytes_;
  if (value->size() > kInlineValueMax) {
    record.kind_ = KeyedRecord::kLarge;
    auto large = std::make_shared<const std::string>(*value);
    large_bytes_ += large->size();
    large_unwritten_bytes_ += large->size();
    chunks_[position / MemoryChunk::kBytes - first_chunk_].large_bytes += large->size();
    const char* at = large->data();
    large_.emplace(position, std::move(large));
    std::memcpy(to, &at, sizeof at);
    return;
  }
  std::memcpy(to, value->data(), value->size());
}

void KeyedLog::SetWritten(uint64_t position) {
  for (auto it = large_.lower_bound(written_); it != large_.end() && it->first < position; ++it) {
    large_unwritten_bytes_ -= it->second->size();
  }
  written_ = position;
}

KeyedGeneration KeyedLog::Cut() {
  KeyedGeneration generation{++generation_, cut_, end_, {}, {}};
  for (uint64_t at = cut_; at < end_;) {
    const uint64_t number = at / MemoryChunk::kBytes;
    const Chunk& chunk = chunks_[number - first_chunk_];
    generation.stretches.push_back(
        {chunk.memory, static_cast<uint32_t>(at % MemoryChunk::kBytes), chunk.used});
    at = (number + 1) * MemoryChunk::kBytes;
  }
  for (auto it = large_.lower_bound(cut_); it != large_.end(); ++it) {
    generation.large_values.push_back(it->second);
  }
  cut_ = end_;
  return generation;
}

// A few records with each change, so that no call walks through a chunk.
void KeyedLog::EvictSome(int records) {
  if (bytes() + bytes_beside_ <= bytes_max_) return;
  const uint64_t chunk_end = begin() + MemoryChunk::kBytes;
  if (chunks_.size() < 2 || chunk_end > written_) return;  // it must be in the files first
  evict_next_ = std::max(evict_next_, begin());
  const uint64_t used = begin() + chunks_.front().used;
  for (; records > 0 && evict_next_ < used; --records) {
    KeyedRecord& record = RecordAt(evict_next_);
    evict_next_ += record.size();
    if (record.superseded_ || record.dead_ || !record.used_) continue;
    ComposedKey parts = Decompose(record.key());
    const std::string_view value = record.deleted() ? std::string_view() : record.value();
    KeyedRecord& kept = Append(HashOf(parts.state, Hash64(parts.key), parts.sub_key), record.key(),
                               record.deleted() ? nullptr : &value, &record);
    kept.clean_ = true;
  }
  if (evict_next_ >= used) DropFirstChunk();
}

// The table's entries that point into it are dead from here on.
void KeyedLog::DropFirstChunk() {
  chunks_.pop_front();
  ++first_chunk_;
  while (!large_.empty() && large_.begin()->first < begin()) {
    large_bytes_ -= large_.begin()->second->size();
    large_.erase(large_.begin());
  }
  // Long before positions come round again, every partition has been swept.
  table_.Sweep(sweep_next_, alive());
  sweep_next_ = (sweep_next_ + 1) % decltype(table_)::kPartitions;
}

}  // namespace weir
