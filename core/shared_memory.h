// SharedMemory: memory that another process can map as well, by its descriptor. It has no name, is
// zero at first, takes room only where it was written, and its size is fixed for good: nobody can
// cut it short under a reader.
//
// What another process may write is to be copied before it is checked. Any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

#include "core/status.h"

namespace weir {

class SharedMemory {
 public:
  enum class Access {
    kWriteHere,   // mapped for writing here, once and for all: nobody else can do so later
    kWriteThere,  // mapped for reading here; whoever gets the descriptor may write
  };
  static StatusOr<SharedMemory> Create(const std::string& name, size_t bytes, Access access);

  SharedMemory() = default;
  SharedMemory(SharedMemory&& other) noexcept { *this = std::move(other); }
  SharedMemory& operator=(SharedMemory&& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~SharedMemory();

  int fd() const { return fd_; }
  char* data() const { return data_; }
  // What it takes of the machine's memory.
  size_t used_bytes() const;
  // Gives [offset, offset + bytes) back to the machine; it is zero afterwards.
  void Free(size_t offset, size_t bytes);

 private:
  int fd_ = -1;
  char* data_ = nullptr;
  size_t bytes_ = 0;
};

// The bytes as a file without a name, its position at the start: for what takes only files. The
// caller's to close; not passed on by exec, unless ChildProcess is given it.
StatusOr<int> FileInMemory(const std::string& name, std::string_view bytes);

}  // namespace weir
