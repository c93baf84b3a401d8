// MemoryChunk: a huge page's worth of memory, out of which logs of state are made; and the pool
// that hands chunks out and takes them back from whichever thread lets go of them last, so that a
// steady stream does not have its pages cleared by the system again and again.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <vector>

namespace weir {

struct MemoryChunk {
  static constexpr size_t kBytes = 2 << 20;

  MemoryChunk();
  ~MemoryChunk();
  MemoryChunk(const MemoryChunk&) = delete;
  MemoryChunk& operator=(const MemoryChunk&) = delete;

  char* data;
};

// Any thread.
class MemoryChunkPool : public std::enable_shared_from_this<MemoryChunkPool> {
 public:
  explicit MemoryChunkPool(size_t kept) : kept_(kept) {}
  std::shared_ptr<MemoryChunk> Get();

 private:
  const size_t kept_;  // free chunks at most
  std::mutex mutex_;
  std::vector<std::unique_ptr<MemoryChunk>> free_;  // guarded by mutex_
};

}  // namespace weir
