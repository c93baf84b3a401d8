// LineReader: the lines of a stream of bytes, as views into slabs, from a start to an end.
//
// Bytes are read into slabs in chunks; only what follows the last line feed of a chunk is copied,
// to the next slab. A line belongs to the range in which it starts, so a reader of [start, end)
// reads on behind its end until its last line is complete, and one that does not start at a line
// first skips to one. The last line of the stream need not end with a line feed.
//
// Not thread-safe. Next() reads at most a few chunks, however long a line is.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/limits.h"
#include "core/slab.h"
#include "operators/sources/byte_stream.h"
#include "operators/sources/line_decoder.h"

namespace weir {

struct LineReaderOptions {
  // Lines that start at `end` or behind it belong to others.
  uint64_t end = std::numeric_limits<uint64_t>::max();
  // What the stream has in front of this offset is passed over.
  uint64_t start = 0;
  // There, and where the stream itself starts behind it, may be the middle of a line, which belongs
  // to others.
  bool skip_to_line = false;
  size_t line_bytes_max = limits::kLineBytesMax;
  size_t chunk_bytes = limits::kReadChunkBytes;
};

class LineReader {
 public:
  LineReader(std::unique_ptr<ByteStream> stream, const LineReaderOptions& options);

  enum class Got {
    kNothing,   // yet: call again
    kLines,     // lines() in slab()
    kLongLine,  // a line over line_bytes_max: cut()
    kDamage,    // the stream ends here though its content does not: damage(), and in cut() what
                // there is of the line in which it happened. kEnd follows.
    kEnd,
  };
  // Up to `lines_max` lines at once. What an earlier call gave is no longer valid, save the slab
  // while someone holds it. A Status is an error of the disk.
  StatusOr<Got> Next(size_t lines_max);

  const std::vector<Line>& lines() const { return lines_; }
  const SlabPtr& slab() const { return slab_; }

  struct CutLine {
    uint64_t offset = 0;
    uint64_t length = 0;
    std::string head;  // up to limits::kDeadLetterRecordBytesMax
  };
  const CutLine& cut() const { return cut_; }
  const std::string& damage() const { return stream_->damage(); }
  // Where the content ends, once it is damaged.
  uint64_t damage_offset() const { return stream_->offset(); }

  // True if it is known already that only kEnd can follow.
  bool at_end() const {
    if (finished_) return true;
    if (mode_ != Mode::kLines) return false;
    return offset_ >= options_.end || (stream_ended_ && p_ == tail_ && damage().empty());
  }

  // True once a line's start has been reached; then next_offset() is the start of the first line
  // that has not been given out.
  bool at_line() const {
    return mode_ == Mode::kSeeking ? !options_.skip_to_line : mode_ != Mode::kSkipping;
  }
  uint64_t next_offset() const {
    if (mode_ == Mode::kSeeking) return options_.start;
    return mode_ == Mode::kLongLine ? cut_.offset : offset_;
  }
  uint64_t file_offset() const { return stream_->file_offset(); }

 private:
  enum class Mode {
    kLines,
    kSeeking,   // to options_.start
    kSkipping,  // to the first line's start
    kLongLine,  // its head is in cut_, the rest is only counted
  };
  bool TakeLines(size_t lines_max);
  Got Pass();
  Got Finish();
  void CutHere(std::string_view line);
  Status Fill();
  std::string_view rest() const { return {p_, static_cast<size_t>(tail_ - p_)}; }
  void Consume(size_t n) {
    p_ += n;
    offset_ += n;
  }

  const std::unique_ptr<ByteStream> stream_;
  const LineReaderOptions options_;
  Mode mode_;
  bool stream_ended_ = false;
  bool finished_ = false;
  SlabPtr slab_;
  const char* p_ = nullptr;     // what follows offset_ in slab_
  const char* tail_ = nullptr;  // its end
  size_t searched_ = 0;         // bytes behind p_ without a line feed
  uint64_t offset_;             // in the content, of p_
  std::vector<Line> lines_;
  CutLine cut_;
};

}  // namespace weir
