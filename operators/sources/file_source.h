// FileSource: the lines of a file, or of all files in a folder, as rows, in the order of event time
// as far as the files are in order themselves.
//
// A compressed file is one split, a plain one is cut into ranges of fixed size; each belongs to the
// subtask that owns its name's key group, and its position is keyed state. The source reads the
// first good time of each split, then always a batch of the split that is furthest behind, so that
// files that overlap in time make nothing late. Its watermark is just below the lowest of the
// highest good times of its splits; until all of them have one there is none. Rows without event
// time have the time of their arrival, and files are then read one after the other.
//
// What cannot be read is a dead letter that says where it stands: a line, a line that is too long,
// the place where a compressed file is broken. Every file that was found is in the state, opened or
// not: one that changes or goes before it has been read to its end fails the job
// (FailedPrecondition), also after a restart. New files in the folder are found at a restart.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "operators/source.h"
#include "operators/sources/rate_limiter.h"
#include "operators/sources/split_reader.h"
#include "state/keyed_state.h"

namespace weir {

struct FileSourceOptions {
  std::string input;  // a file of any name, or a folder (see FindInputFiles)
  double rate = 0;    // lines a second, all subtasks together; 0: as fast as it goes
  size_t batch_rows = limits::kBatchRowsDefault;
  size_t line_bytes_max = limits::kLineBytesMax;
  Duration clock_skew_max = limits::kClockSkewMax;
  size_t open_splits_max = limits::kOpenSplitsMax;
  // Part of the splits' identity: a job restores only with the same one.
  uint64_t split_range_bytes = limits::kSplitRangeBytes;
  size_t read_chunk_bytes = limits::kReadChunkBytes;
};

// Calls as operators/source.h has them. Needs keyed state.
class FileSource final : public Source {
 public:
  FileSource(FileSourceOptions options, std::unique_ptr<LineDecoder> decoder);
  ~FileSource() override;

  StatusOr<StateDescription> DescribeState() override;
  Status Open(OperatorContext& context) override;
  StatusOr<PollResult> Poll(Output& out) override;
  Timestamp watermark() const override { return watermark_; }
  bool idle() const override { return splits_.empty(); }
  SourceProgress progress() const override { return {done_bytes_, total_bytes_}; }
  void Close() override;

 private:
  struct Split {
    const InputFile* file = nullptr;
    FileRange range;
    std::string name;  // the key of its state
    SplitState state;
    std::unique_ptr<SplitReader> reader;  // while it is open
    int reads_left = 0;                   // before another split may be chosen
  };
  using TimeAndSplit = std::pair<Timestamp, size_t>;

  Status FindSplits(OperatorContext& context);
  Status RestoreSplits();
  Status ReadFirstTimes(size_t lines_max, Timestamp arrival, size_t& lines, BatchBase& batch,
                        Output& out);
  Status ReadFurthestBehind(size_t lines_max, Timestamp arrival, size_t& lines, BatchBase& batch,
                            Output& out);
  StatusOr<size_t> ReadSplit(Split& split, size_t lines_max, Timestamp arrival, BatchBase& batch,
                             Output& out);
  Status OpenSplit(Split& split);
  void CloseFurthestAhead();
  StatusOr<uint64_t> HeadOf(const InputFile& file);
  Timestamp OrderOf(const Split& split) const;
  uint64_t DoneBytes(const Split& split) const;
  void MoveWatermark(Timestamp arrival);

  const FileSourceOptions options_;
  const std::unique_ptr<LineDecoder> decoder_;
  // Set by Open(), then constant.
  Environment* env_ = nullptr;
  OperatorCounters* counters_ = nullptr;
  std::vector<InputFile> files_;
  uint64_t total_bytes_ = 0;  // of this subtask's splits

  ValueState<SplitState> states_;
  std::vector<Split> splits_;                         // this subtask's
  std::vector<std::optional<uint64_t>> head_hashes_;  // by file
  std::optional<RateLimiter> limiter_;
  // Each split that is not finished is in one of these.
  std::deque<size_t> unopened_;
  std::priority_queue<TimeAndSplit, std::vector<TimeAndSplit>, std::greater<>> by_time_;
  std::optional<size_t> current_;

  std::vector<size_t> open_;  // splits with a reader
  size_t unfinished_ = 0;
  uint64_t done_bytes_ = 0;
  Timestamp watermark_ = kMinTimestamp;
};

// What must hold before a job starts: there is something to read, and all of it can be opened. The
// error says which file or folder cannot, and why.
Status CheckFileSource(const FileSourceOptions& options, Environment& env);

}  // namespace weir
