#include "state/memory_chunk.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace weir {

MemoryChunk::MemoryChunk() : data(static_cast<char*>(std::aligned_alloc(kBytes, kBytes))) {
  if (data == nullptr) throw std::bad_alloc();
  madvise(data, kBytes, MADV_HUGEPAGE);
}

MemoryChunk::~MemoryChunk() { std::free(data); }

std::shared_ptr<MemoryChunk> MemoryChunkPool::Get() {
  std::unique_ptr<MemoryChunk> chunk;
  {
    std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      chunk = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (chunk == nullptr) chunk = std::make_unique<MemoryChunk>();
  return {chunk.release(), [pool = shared_from_this()](MemoryChunk* returned) {
            std::unique_ptr<MemoryChunk> owned(returned);
            std::lock_guard lock(pool->mutex_);
            if (pool->free_.size() < pool->kept_) pool->free_.push_back(std::move(owned));
          }};
}

}  // namespace weir
