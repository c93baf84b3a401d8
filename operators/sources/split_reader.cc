#include "operators/sources/split_reader.h"

#include <fmt/format.h>

namespace weir {
namespace {

// A batch ends behind the line with which it reaches this.
constexpr size_t kBatchBytes = 1 << 20;

StatusOr<std::unique_ptr<ByteStream>> OpenStream(Disk& disk, const InputFile& file,
                                                 uint64_t offset) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> open, disk.OpenForRead(file.path));
  switch (file.compression) {
    case Compression::kGzip:
      return NewGzipStream(std::move(open));
    case Compression::kZstd:
      return NewZstdStream(std::move(open));
    case Compression::kNone:
      break;
  }
  return NewPlainStream(std::move(open), offset, file.size);
}

}  // namespace

StatusOr<std::unique_ptr<SplitReader>> SplitReader::Open(Disk& disk, const InputFile& file,
                                                         const FileRange& range,
                                                         LineReaderOptions options,
                                                         SplitState& state) {
  uint64_t offset = 0;
  if (state.started) {
    options.start = state.next_offset;
  } else if (range.start > 0) {
    // If the byte in front of the range is a line feed, a line starts with the range.
    options.start = range.start - 1;
    options.skip_to_line = true;
  }
  if (!range.whole) offset = options.start;
  if (!range.whole) options.end = range.end;
  WEIR_ASSIGN_OR_RETURN(auto stream, OpenStream(disk, file, offset));
  return std::unique_ptr<SplitReader>(
      new SplitReader(file, range.start == 0, std::move(stream), options, state));
}

SplitReader::SplitReader(const InputFile& file, bool from_start, std::unique_ptr<ByteStream> stream,
                         const LineReaderOptions& options, SplitState& state)
    : file_(file), from_start_(from_start), state_(state), lines_(std::move(stream), options) {}

StatusOr<size_t> SplitReader::Read(size_t lines_max, const SplitReadContext& context,
                                   BatchBase& batch, Output& out) {
  size_t lines = 0;
  const uint64_t start = lines_.next_offset();
  bool more = true;
  while (more && lines < lines_max && lines_.next_offset() - start < kBatchBytes) {
    WEIR_ASSIGN_OR_RETURN(const LineReader::Got got, lines_.Next(lines_max - lines));
    const LineReader::CutLine& cut = lines_.cut();
    switch (got) {
      case LineReader::Got::kNothing:
        more = false;
        break;
      case LineReader::Got::kLines:
        DecodeLines(context, batch, out);
        lines += lines_.lines().size();
        state_.lines += lines_.lines().size();
        break;
      case LineReader::Got::kLongLine:
        out.Reject(fmt::format("{}, the line at byte {}: it has {} bytes, more than line_bytes_max "
                               "({}) allows",
                               file_.path, cut.offset, cut.length, context.line_bytes_max),
                   cut.head, FallbackTime(context));
        ++lines;
        ++state_.lines;
        break;
      case LineReader::Got::kDamage:
        out.Reject(fmt::format("{}: {}; what its content has behind byte {} is lost", file_.path,
                               lines_.damage(), lines_.damage_offset()),
                   cut.head, FallbackTime(context));
        break;
      case LineReader::Got::kEnd:
        state_.finished = true;
        more = false;
        break;
    }
  }
  if (!context.decoder.has_time()) state_.last_good_time = context.arrival;
  // Without waiting for another call, which a rate limit may keep away for long.
  if (lines_.at_end()) state_.finished = true;
  state_.started = lines_.at_line();
  if (state_.started) state_.next_offset = lines_.next_offset();
  state_.file_offset = lines_.file_offset();
  return lines;
}

void SplitReader::DecodeLines(const SplitReadContext& context, BatchBase& batch, Output& out) {
  LineGroup group;
  group.file = file_.path;
  group.first_line_number = from_start_ ? state_.lines + 1 : 0;
  group.arrival = context.arrival;
  group.clock_skew_max = context.clock_skew_max;
  group.last_good_time = state_.last_good_time;
  group.highest_time = state_.highest_time;
  const size_t rows = batch.rows();
  context.decoder.Decode(lines_.lines(), group, batch, out);
  if (context.decoder.keeps_lines() && batch.rows() > rows) batch.slabs().Add(lines_.slab());
  state_.last_good_time = group.last_good_time;
  state_.highest_time = group.highest_time;
  context.counters.unusable_times += group.unusable_times;
}

Timestamp SplitReader::FallbackTime(const SplitReadContext& context) const {
  return state_.last_good_time == kMinTimestamp ? context.arrival : state_.last_good_time;
}

}  // namespace weir
