// OutputFile: what a child process writes to its standard error, as a file that does not grow for
// ever: `path` is the newest part, path.1 the one before it, and so on.
//
// The child appends to the file itself, so it never waits for who looks after it. Where a part is
// full, Bound() copies it and empties the file; a line that is written in that moment may be lost.
//
// Owned by who started the child; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "core/status.h"
#include "runtime/limits.h"

namespace weir {

class OutputFile {
 public:
  struct Limits {
    uint64_t part_bytes_max = limits::kExecutorLogBytesMax;
    int parts_max = limits::kExecutorLogFilesMax;  // with the newest; at least 2
  };
  // Makes an empty file. What is left of an earlier one is the caller's to remove.
  static StatusOr<OutputFile> Create(std::string path, Limits limits);
  static StatusOr<OutputFile> Create(std::string path) { return Create(std::move(path), Limits()); }

  OutputFile() = default;
  OutputFile(OutputFile&& other) noexcept { *this = std::move(other); }
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  // What the child is to write to; -1: there is none. Closed with this object.
  int descriptor() const { return descriptor_; }
  // To be called often: all parts together may hold part_bytes_max times parts_max, and what was
  // written since the last call.
  void Bound() const;
  // The last bytes, at most so many.
  std::string Tail(size_t bytes_max) const;

 private:
  std::string PartPath(int part) const;

  std::string path_;
  Limits limits_;
  int descriptor_ = -1;
};

}  // namespace weir
