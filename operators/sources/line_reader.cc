#include "operators/sources/line_reader.h"

#include <algorithm>
#include <cstring>

namespace weir {
namespace {

const char* FindLineFeed(std::string_view bytes) {
  if (bytes.empty()) return nullptr;
  return static_cast<const char*>(std::memchr(bytes.data(), '\n', bytes.size()));
}

}  // namespace

LineReader::LineReader(std::unique_ptr<ByteStream> stream, const LineReaderOptions& options)
    : stream_(std::move(stream)),
      options_(options),
      mode_(options.skip_to_line ? Mode::kSkipping : Mode::kLines),
      offset_(stream_->offset()) {
  if (offset_ < options.start) mode_ = Mode::kSeeking;
}

StatusOr<LineReader::Got> LineReader::Next(size_t lines_max) {
  lines_.clear();
  if (finished_) return Got::kEnd;
  // Reads of one call; a line may take any number of them.
  constexpr int kFillsMax = 4;
  for (int fills = 0;; ++fills) {
    if (mode_ == Mode::kLines) {
      if (TakeLines(lines_max)) return Got::kLines;
      if (mode_ == Mode::kLines && offset_ >= options_.end) {
        finished_ = true;
        return Got::kEnd;
      }
    }
    if (mode_ != Mode::kLines) {
      const Mode before = mode_;
      const Got got = Pass();
      if (got != Got::kNothing) return got;
      // It may have ended in front of the first line, or of another range's.
      if (mode_ != before) continue;
    }
    if (stream_ended_) return Finish();
    if (fills == kFillsMax) return Got::kNothing;
    WEIR_RETURN_IF_ERROR(Fill());
  }
}

// Puts the complete lines at hand into lines_. A line that is too long switches the mode, if it is
// the first.
bool LineReader::TakeLines(size_t lines_max) {
  while (lines_.size() < lines_max && offset_ < options_.end) {
    const char* const line_feed = FindLineFeed(rest().substr(searched_));
    const size_t length = line_feed != nullptr ? line_feed - p_ : rest().size();
    if (length > options_.line_bytes_max) {
      if (lines_.empty()) {
        CutHere({p_, length});
        Consume(length);
        searched_ = 0;
        mode_ = Mode::kLongLine;
      }
      break;
    }
    if (line_feed == nullptr) {
      searched_ = length;
      break;
    }
    lines_.push_back({{p_, length}, offset_});
    Consume(length + 1);
    searched_ = 0;
  }
  return !lines_.empty();
}

// Goes on to the end of a line that is not kept, or to the first line.
LineReader::Got LineReader::Pass() {
  if (mode_ == Mode::kSeeking) {
    Consume(std::min<uint64_t>(rest().size(), options_.start - offset_));
    if (offset_ == options_.start) mode_ = options_.skip_to_line ? Mode::kSkipping : Mode::kLines;
    return Got::kNothing;
  }
  const char* const line_feed = FindLineFeed(rest());
  const size_t length = line_feed != nullptr ? line_feed - p_ : rest().size();
  if (mode_ == Mode::kLongLine) cut_.length += length;
  Consume(length + (line_feed != nullptr));
  if (line_feed == nullptr) {
    // No line starts in the range any more.
    if (mode_ == Mode::kSkipping && offset_ >= options_.end) {
      finished_ = true;
      return Got::kEnd;
    }
    return Got::kNothing;
  }
  const bool cut = mode_ == Mode::kLongLine;
  mode_ = Mode::kLines;
  return cut ? Got::kLongLine : Got::kNothing;
}

// The stream has ended: what is left is the last line, or what damage left of it.
LineReader::Got LineReader::Finish() {
  finished_ = true;
  if (!stream_->damage().empty()) {
    if (mode_ != Mode::kLongLine) CutHere(rest());
    Consume(rest().size());
    mode_ = Mode::kLines;
    return Got::kDamage;
  }
  if (mode_ == Mode::kLongLine) {
    mode_ = Mode::kLines;
    return Got::kLongLine;
  }
  if (mode_ != Mode::kLines || rest().empty()) return Got::kEnd;
  lines_.push_back({rest(), offset_});
  Consume(rest().size());
  return Got::kLines;
}

void LineReader::CutHere(std::string_view line) {
  cut_.offset = offset_;
  cut_.length = line.size();
  cut_.head = std::string(line.substr(0, limits::kDeadLetterRecordBytesMax));
}

// Reads a chunk behind the rest, in a new slab. A rest that is longer than a chunk doubles, so that
// a long line is copied twice at most.
Status LineReader::Fill() {
  const std::string_view carried = rest();
  const size_t grow = std::min(carried.size(), options_.line_bytes_max + 1 - carried.size());
  const size_t want =
      std::min<uint64_t>(std::max(options_.chunk_bytes, grow), stream_->remaining_max());
  SlabBuilder builder(carried.size() + want);
  if (!carried.empty()) std::memcpy(builder.data(), carried.data(), carried.size());
  size_t got = 0;
  if (want > 0) {
    WEIR_ASSIGN_OR_RETURN(got, stream_->Read(builder.data() + carried.size(), want));
  }
  stream_ended_ = got < want || stream_->remaining_max() == 0;
  slab_ = builder.Finish(carried.size() + got);
  p_ = slab_->view().data();
  tail_ = p_ + slab_->size();
  return absl::OkStatus();
}

}  // namespace weir
