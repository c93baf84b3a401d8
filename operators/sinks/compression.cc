#include "operators/sinks/compression.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <memory>

namespace weir {
namespace {

// Contexts cost up to a megabyte and some time to make, so each thread of the pool keeps its own.
class Encoder {
 public:
  ~Encoder() {
    ZSTD_freeCCtx(zstd_);
    if (gzip_level_ != kNoGzip) deflateEnd(&gzip_);
  }

  StatusOr<std::string_view> Zstd(const BlockEncoding& encoding, std::string_view bytes) {
    if (zstd_ == nullptr) zstd_ = ZSTD_createCCtx();
    if (zstd_ == nullptr) return absl::ResourceExhaustedError("no memory for zstd");
    ZSTD_CCtx_setParameter(zstd_, ZSTD_c_compressionLevel, encoding.zstd_level);
    ZSTD_CCtx_setParameter(zstd_, ZSTD_c_checksumFlag, encoding.checksum ? 1 : 0);
    Reserve(ZSTD_compressBound(bytes.size()));
    const size_t n = ZSTD_compress2(zstd_, buffer_.get(), capacity_, bytes.data(), bytes.size());
    if (ZSTD_isError(n)) {
      return absl::InternalError(fmt::format("zstd could not compress a block of {} bytes: {}",
                                             bytes.size(), ZSTD_getErrorName(n)));
    }
    return std::string_view(buffer_.get(), n);
  }

  StatusOr<std::string_view> Gzip(const BlockEncoding& encoding, std::string_view bytes) {
    constexpr int kWindowBitsOfGzip = 15 + 16;
    constexpr int kMemoryLevel = 8;
    if (gzip_level_ != encoding.gzip_level) {
      if (gzip_level_ != kNoGzip) deflateEnd(&gzip_);
      gzip_level_ = kNoGzip;
      gzip_ = {};
      const int made = deflateInit2(&gzip_, encoding.gzip_level, Z_DEFLATED, kWindowBitsOfGzip,
                                    kMemoryLevel, Z_DEFAULT_STRATEGY);
      if (made == Z_MEM_ERROR) return absl::ResourceExhaustedError("no memory for gzip");
      if (made != Z_OK) {
        return absl::InvalidArgumentError(
            fmt::format("gzip has no level {}: it must be 0 to 9", encoding.gzip_level));
      }
      gzip_level_ = encoding.gzip_level;
    }
    deflateReset(&gzip_);
    Reserve(deflateBound(&gzip_, bytes.size()));
    // A block is at most a line over its limit, and a line is far below 4 GiB.
    gzip_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    gzip_.avail_in = static_cast<uInt>(bytes.size());
    gzip_.next_out = reinterpret_cast<Bytef*>(buffer_.get());
    gzip_.avail_out = static_cast<uInt>(capacity_);
    if (deflate(&gzip_, Z_FINISH) != Z_STREAM_END) {
      return absl::InternalError(
          fmt::format("gzip could not compress a block of {} bytes", bytes.size()));
    }
    return std::string_view(buffer_.get(), capacity_ - gzip_.avail_out);
  }

  // Lets go of what one huge line needed.
  void Shrink(size_t keep_bytes) {
    if (capacity_ <= keep_bytes) return;
    buffer_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr int kNoGzip = -100;

  void Reserve(size_t bytes) {
    if (bytes <= capacity_) return;
    buffer_.reset(new char[bytes]);
    capacity_ = bytes;
  }

  ZSTD_CCtx* zstd_ = nullptr;
  z_stream gzip_ = {};
  int gzip_level_ = kNoGzip;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
};

}  // namespace

std::string_view ToString(PartCompression compression) {
  switch (compression) {
    case PartCompression::kZstd:
      return "zstd";
    case PartCompression::kGzip:
      return "gzip";
    case PartCompression::kNone:
      return "none";
  }
  return "unknown";
}

std::optional<PartCompression> ParsePartCompression(std::string_view text) {
  for (PartCompression compression : kPartCompressions) {
    if (text == ToString(compression)) return compression;
  }
  return std::nullopt;
}

std::string_view SuffixOf(PartCompression compression) {
  switch (compression) {
    case PartCompression::kZstd:
      return ".jsonl.zst";
    case PartCompression::kGzip:
      return ".jsonl.gz";
    case PartCompression::kNone:
      return ".jsonl";
  }
  return "";
}

StatusOr<std::string_view> EncodeBlock(const BlockEncoding& encoding, std::string_view bytes,
                                       size_t keep_bytes) {
  if (encoding.compression == PartCompression::kNone) return bytes;
  thread_local Encoder encoder;
  encoder.Shrink(keep_bytes);
  return encoding.compression == PartCompression::kZstd ? encoder.Zstd(encoding, bytes)
                                                        : encoder.Gzip(encoding, bytes);
}

}  // namespace weir
