// The memory that all RocksDBs of the process share. Any thread.
#pragma once

#include <cstddef>

namespace weir {

// What they may keep of blocks, filters and indexes in their common cache.
void SetBlockCacheBytes(size_t bytes);

}  // namespace weir
