#include "state/id_store_log.h"

#include <sys/mman.h>

#include <cstdlib>
#include <new>
#include <utility>

namespace weir {

IdChunk::IdChunk() : ids(static_cast<StoredId*>(std::aligned_alloc(kBytes, kBytes))) {
  if (ids == nullptr) throw std::bad_alloc();
  madvise(ids, kBytes, MADV_HUGEPAGE);
}

IdChunk::~IdChunk() { std::free(ids); }

std::shared_ptr<IdChunk> IdChunkPool::Get() {
  std::unique_ptr<IdChunk> chunk;
  {
    std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      chunk = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (chunk == nullptr) chunk = std::make_unique<IdChunk>();
  return {chunk.release(), [pool = shared_from_this()](IdChunk* returned) {
            std::unique_ptr<IdChunk> owned(returned);
            std::lock_guard lock(pool->mutex_);
            if (pool->free_.size() < kKept) pool->free_.push_back(std::move(owned));
          }};
}

}  // namespace weir
