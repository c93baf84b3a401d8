// A split of a file source: its position, which is keyed state, and what reads it from there.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "operators/sources/input_files.h"
#include "operators/sources/line_decoder.h"
#include "operators/sources/line_reader.h"

namespace weir {

// The state of a split, under its name. Offsets are of the content, decompressed, save file_offset.
struct SplitState {
  bool started = false;  // next_offset is the start of a line
  bool finished = false;
  uint64_t next_offset = 0;
  uint64_t lines = 0;  // read so far, whatever became of them
  int64_t last_good_time = kMinTimestamp;  // or of arrival, where rows have no other
  int64_t highest_time = kMinTimestamp;  // kMinTimestamp: no good time has been read yet
  uint64_t file_offset = 0;              // how far the file itself has been read
  // What the file was when the split was found first.
  uint64_t file_size = 0;
  int64_t file_modified = 0;
  uint64_t head_hash = 0;  // and when it was opened first; 0: it has not been yet

  bool opened() const { return head_hash != 0; }
  bool operator==(const SplitState&) const = default;

  BOOST_DESCRIBE_CLASS(SplitState, (),
                       (started, finished, next_offset, lines, last_good_time, highest_time,
                        file_offset, file_size, file_modified, head_hash),
                       (), ())
};

// A part of a file: the lines that start in [start, end) of a plain file, or those that start at
// `start` and behind it in the content of a compressed one.
struct FileRange {
  uint64_t start = 0;
  uint64_t end = 0;
  bool whole = false;  // the file is compressed: its content has no end that is known

  uint64_t bytes(const InputFile& file) const { return whole ? file.size : end - start; }
};

// What all splits of a source read with.
struct SplitReadContext {
  LineDecoder& decoder;
  OperatorCounters& counters;
  Timestamp arrival;
  Duration clock_skew_max;
  size_t line_bytes_max;
};

// Reads a split from where its state says. Holds the file open. Not thread-safe.
class SplitReader {
 public:
  // `file` and `state` must outlive the reader.
  static StatusOr<std::unique_ptr<SplitReader>> Open(Disk& disk, const InputFile& file,
                                                     const FileRange& range,
                                                     LineReaderOptions options, SplitState& state);

  // Reads up to `lines_max` lines or a megabyte, appends their rows to `batch` and moves the state
  // on. The number of lines; zero is not the end, which sets finished. A Status is an error of the
  // disk.
  StatusOr<size_t> Read(size_t lines_max, const SplitReadContext& context, BatchBase& batch,
                        Output& out);

 private:
  SplitReader(const InputFile& file, bool from_start, std::unique_ptr<ByteStream> stream,
              const LineReaderOptions& options, SplitState& state);
  void DecodeLines(const SplitReadContext& context, BatchBase& batch, Output& out);
  Timestamp FallbackTime(const SplitReadContext& context) const;

  const InputFile& file_;
  const bool from_start_;  // so that lines can be numbered
  SplitState& state_;
  LineReader lines_;
};

}  // namespace weir
