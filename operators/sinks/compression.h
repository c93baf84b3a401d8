// Compression of a file sink's parts: the endings of their names, and blocks of lines as frames.
//
// Each block becomes one zstd frame or one gzip member, whole in itself, and a file is their
// concatenation, which zstd -d, gzip -d and the file source read. So a file may be cut behind any
// block, and it costs no encoder while nothing is written to it: there is one for each thread of
// the I/O pool, however many files are open.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/status.h"

namespace weir {

// Numbers are part of handles in checkpoints.
enum class PartCompression : uint8_t { kZstd = 0, kGzip = 1, kNone = 2 };

inline constexpr PartCompression kPartCompressions[] = {
    PartCompression::kZstd, PartCompression::kGzip, PartCompression::kNone};

// "zstd", "gzip", "none".
std::string_view ToString(PartCompression compression);
std::optional<PartCompression> ParsePartCompression(std::string_view text);
// ".jsonl.zst", ".jsonl.gz", ".jsonl".
std::string_view SuffixOf(PartCompression compression);

struct BlockEncoding {
  PartCompression compression = PartCompression::kZstd;
  int zstd_level = 1;
  int gzip_level = 6;
  bool checksum = true;  // of each zstd frame; gzip always has one
};

// The bytes as one frame. The view is valid until this thread's next call; of plain text it is the
// bytes themselves. A buffer larger than `keep_bytes` is given back by that next call.
StatusOr<std::string_view> EncodeBlock(const BlockEncoding& encoding, std::string_view bytes,
                                       size_t keep_bytes);

}  // namespace weir
