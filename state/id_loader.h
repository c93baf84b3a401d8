// IdLoader: reads the ids of slices from an id store's files on the I/O pool, a chunk at a time,
// for the task to put them into the filter. Internal to state/id_store.
//
// One chunk is read ahead. The task's, all of it; the destructor waits for the chunk under way.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "core/environment.h"
#include "core/hash.h"
#include "core/status.h"
#include "state/id_store_files.h"

namespace weir {

class IdLoader {
 public:
  static constexpr size_t kIdsAtOnce = 16 << 10;  // some 2 ms to read, and half of one to put in

  struct Chunk {
    int64_t slice = 0;
    std::vector<Fingerprint> ids;
    bool last = false;  // the slice has been read to its end
  };

  // The files must outlive the loader. `notify` is called, from a thread of the pool, when Next()
  // has a chunk; may be null.
  IdLoader(IdFiles& files, IoPool& io, std::function<void()> notify);
  ~IdLoader();

  // Reads these slices, in this order, as they are when their reading begins. REQUIRES: idle().
  void Begin(std::vector<int64_t> slices);
  // The next chunk, if it has been read; else null. Valid until the next call. An error is that of
  // the reading.
  StatusOr<const Chunk*> Next();
  // Leaves out what lies below this slice.
  void Drop(int64_t below);
  // Leaves out what is left, and gives back what that takes.
  void Stop();

  bool idle() const { return slices_.empty(); }
  // Those that have not been read to their end, the next one first.
  const std::vector<int64_t>& slices() const { return slices_; }
  size_t memory_bytes() const;  // of chunks

 private:
  struct Reading;

  void ReadOn();

  IdFiles& files_;
  const std::function<void()> notify_;
  std::vector<int64_t> slices_;
  std::shared_ptr<Reading> reading_;  // of the first slice; null before it has begun
  Chunk chunk_;
  IoSequence io_;  // last: waits before the others go
};

}  // namespace weir
