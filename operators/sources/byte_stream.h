// ByteStream: the content of a file from some offset on, decompressed where it is compressed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/environment.h"

namespace weir {

enum class Compression { kNone, kGzip, kZstd };

// By the ending of the name: .gz, .zst, else none.
Compression CompressionOf(std::string_view file_name);

// Not thread-safe. Owns the open file.
class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Fewer than n bytes only at the end: of the file, or of what can be decompressed (damage()). A
  // Status is an error of the disk.
  virtual StatusOr<size_t> Read(char* buffer, size_t n) = 0;
  // Why the content ends before its end, empty if it does not: "the gzip data end in the middle".
  const std::string& damage() const { return damage_; }
  // Offset of the next byte in the content.
  uint64_t offset() const { return offset_; }
  // Bytes of the file behind which everything is still to be read.
  virtual uint64_t file_offset() const = 0;
  // Read() will not yield more than this.
  virtual uint64_t remaining_max() const = 0;

 protected:
  explicit ByteStream(uint64_t offset) : offset_(offset) {}
  std::string damage_;
  uint64_t offset_;
};

// The bytes [offset, end) of the file as they are.
std::unique_ptr<ByteStream> NewPlainStream(std::unique_ptr<ReadableFile> file, uint64_t offset,
                                           uint64_t end);
// The content of a compressed file from its start, all gzip members or zstd frames one after the
// other.
std::unique_ptr<ByteStream> NewGzipStream(std::unique_ptr<ReadableFile> file);
std::unique_ptr<ByteStream> NewZstdStream(std::unique_ptr<ReadableFile> file);

}  // namespace weir
