#include "operators/sources/byte_stream.h"

#include <fmt/format.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "core/check.h"

namespace weir {
namespace {

class PlainStream final : public ByteStream {
 public:
  PlainStream(std::unique_ptr<ReadableFile> file, uint64_t offset, uint64_t end)
      : ByteStream(offset), file_(std::move(file)), end_(end) {}

  StatusOr<size_t> Read(char* buffer, size_t n) override {
    n = std::min<uint64_t>(n, remaining_max());
    WEIR_ASSIGN_OR_RETURN(size_t got, file_->ReadAt(offset_, buffer, n));
    // The file has become shorter; whoever knows how long it was will say so.
    if (got < n) end_ = offset_ + got;
    offset_ += got;
    return got;
  }
  uint64_t file_offset() const override { return offset_; }
  uint64_t remaining_max() const override { return end_ - std::min(end_, offset_); }

 private:
  const std::unique_ptr<ReadableFile> file_;
  uint64_t end_;
};

// Compressed bytes of the file, in a buffer.
class Input {
 public:
  explicit Input(std::unique_ptr<ReadableFile> file) : file_(std::move(file)) {}

  // Makes view() not empty, unless the file has ended.
  Status Fill() {
    if (!view_.empty() || ended_) return absl::OkStatus();
    WEIR_ASSIGN_OR_RETURN(size_t got, file_->ReadAt(file_offset_, buffer_.get(), kBufferBytes));
    file_offset_ += got;
    ended_ = got < kBufferBytes;
    view_ = {buffer_.get(), got};
    return absl::OkStatus();
  }
  std::string_view view() const { return view_; }
  void Consume(size_t n) { view_.remove_prefix(n); }
  uint64_t consumed() const { return file_offset_ - view_.size(); }

 private:
  static constexpr size_t kBufferBytes = 128 << 10;
  const std::unique_ptr<ReadableFile> file_;
  const std::unique_ptr<char[]> buffer_{new char[kBufferBytes]};
  std::string_view view_;
  uint64_t file_offset_ = 0;
  bool ended_ = false;
};

class CompressedStream : public ByteStream {
 public:
  explicit CompressedStream(std::unique_ptr<ReadableFile> file)
      : ByteStream(0), input_(std::move(file)) {}

  StatusOr<size_t> Read(char* buffer, size_t n) override {
    size_t have = 0;
    while (have < n && !ended_) {
      WEIR_RETURN_IF_ERROR(input_.Fill());
      WEIR_ASSIGN_OR_RETURN(size_t got, Decompress(buffer + have, n - have));
      have += got;
    }
    offset_ += have;
    return have;
  }
  uint64_t file_offset() const override { return input_.consumed(); }
  uint64_t remaining_max() const override {
    return ended_ ? 0 : std::numeric_limits<uint64_t>::max();
  }

 protected:
  // Takes from input_, which is empty only at the end of the file, and yields up to n bytes; calls
  // End() or Damaged() where nothing more will come.
  virtual StatusOr<size_t> Decompress(char* buffer, size_t n) = 0;

  void End() { ended_ = true; }
  void Damaged(std::string message) {
    damage_ = std::move(message);
    ended_ = true;
  }

  Input input_;

 private:
  bool ended_ = false;
};

class GzipStream final : public CompressedStream {
 public:
  explicit GzipStream(std::unique_ptr<ReadableFile> file) : CompressedStream(std::move(file)) {
    std::memset(&inflate_, 0, sizeof(inflate_));
    constexpr int kGzipHeader = 16;
    WEIR_CHECK(inflateInit2(&inflate_, MAX_WBITS + kGzipHeader) == Z_OK);
  }
  ~GzipStream() override { inflateEnd(&inflate_); }

 protected:
  StatusOr<size_t> Decompress(char* buffer, size_t n) override {
    if (!in_member_) {
      SkipPadding();
      if (input_.view().empty()) {
        // There may be more behind the padding that was skipped.
        WEIR_RETURN_IF_ERROR(input_.Fill());
        if (input_.view().empty()) End();
        return 0;
      }
      WEIR_CHECK(inflateReset(&inflate_) == Z_OK);
      in_member_ = true;
    }
    const std::string_view in = input_.view();
    // zlib does not write to its input.
    inflate_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
    inflate_.avail_in = static_cast<uInt>(in.size());
    inflate_.next_out = reinterpret_cast<Bytef*>(buffer);
    const size_t want = std::min<size_t>(n, 1 << 30);
    inflate_.avail_out = static_cast<uInt>(want);
    const int result = inflate(&inflate_, Z_NO_FLUSH);
    const size_t got = want - inflate_.avail_out;
    input_.Consume(in.size() - inflate_.avail_in);
    if (result == Z_STREAM_END) {
      in_member_ = false;
      first_ = false;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      const char* const cause = inflate_.msg != nullptr ? inflate_.msg : zError(result);
      Damaged(fmt::format("the gzip data are broken at byte {} of the file: {}", input_.consumed(),
                          cause));
    } else if (in.empty() && got == 0) {
      // Nothing is left to read, nor inside the inflater.
      Damaged("the gzip data end in the middle");
    }
    return got;
  }

 private:
  // Tapes and block devices leave zeros behind the last member.
  void SkipPadding() {
    if (first_) return;
    const std::string_view in = input_.view();
    const size_t zeros = in.find_first_not_of('\0');
    input_.Consume(zeros == in.npos ? in.size() : zeros);
  }

  z_stream inflate_;
  bool in_member_ = false;
  bool first_ = true;
};

class ZstdStream final : public CompressedStream {
 public:
  explicit ZstdStream(std::unique_ptr<ReadableFile> file) : CompressedStream(std::move(file)) {
    WEIR_CHECK(context_ != nullptr);
  }

 protected:
  StatusOr<size_t> Decompress(char* buffer, size_t n) override {
    const std::string_view in = input_.view();
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{buffer, n, 0};
    const size_t result = ZSTD_decompressStream(context_.get(), &to, &from);
    input_.Consume(from.pos);
    if (ZSTD_isError(result)) {
      Damaged(fmt::format("the zstd data are broken at byte {} of the file: {}", input_.consumed(),
                          ZSTD_getErrorName(result)));
    } else if (in.empty() && to.pos == 0) {
      // Nothing is left to read, nor inside the context.
      if (in_frame_) {
        Damaged("the zstd data end in the middle");
      } else {
        End();
      }
    }
    // Between frames and without input it tells how many bytes a header takes, not that one began.
    if (!in.empty() || result == 0) in_frame_ = result != 0;
    return to.pos;
  }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  const std::unique_ptr<ZSTD_DCtx, Free> context_{ZSTD_createDCtx()};
  bool in_frame_ = false;
};

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

}  // namespace

Compression CompressionOf(std::string_view file_name) {
  if (EndsWith(file_name, ".gz")) return Compression::kGzip;
  if (EndsWith(file_name, ".zst")) return Compression::kZstd;
  return Compression::kNone;
}

std::unique_ptr<ByteStream> NewPlainStream(std::unique_ptr<ReadableFile> file, uint64_t offset,
                                           uint64_t end) {
  return std::make_unique<PlainStream>(std::move(file), offset, end);
}
std::unique_ptr<ByteStream> NewGzipStream(std::unique_ptr<ReadableFile> file) {
  return std::make_unique<GzipStream>(std::move(file));
}
std::unique_ptr<ByteStream> NewZstdStream(std::unique_ptr<ReadableFile> file) {
  return std::make_unique<ZstdStream>(std::move(file));
}

}  // namespace weir
