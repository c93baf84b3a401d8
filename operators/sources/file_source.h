// FileSource: the lines of a file, or of all files in a folder, as rows, in the order of event time
// as far as the files are in order themselves.
//
// A compressed file is one split, a plain one is cut into ranges of fixed size; each belongs to the
// subtask that owns its name's key group, and its position is keyed state. The source reads the
// first good time of each split, then always a batch of the split that is furthest behind, so that
// files that overlap in time make nothing late. Its watermark is just below the lowest of the
// highest good times of its splits; until all of them have one there is none. Rows without event
// time have the time of their arrival, and files are then read one after the other. Arrival never
// goes back: where the wall clock does, also over a restart, it stands still until the clock is
// there again, so that nothing is late.
//
// What cannot be read is a dead letter that says where it stands: a line, a line that is too long,
// the place where a compressed file is broken. Every file that was found is in the state, opened or
// not: one that changes or goes before it has been read to its end fails the job
// (FailedPrecondition), also after a restart. One that has been read may go.
//
// New files in the folder are found at a restart; or, with `watch`, as they come, and the source
// does not end. Each subtask looks for itself (folder_watch.h) and takes the splits that are its
// own. A file must have looked the same twice, an interval apart, before it is taken, and must not
// change afterwards: whoever writes slowly writes under another ending, or a name with a dot in
// front, and renames. Once a file has been read and its absence was seen, all about it is
// forgotten. Files that come later may be behind in time: the watermark does not wait for them.
//
// A replay leaves out what is in front of a position or before a time. The position: files whose
// names sort before `from_file`, and in that file the lines that start before `from_offset` (of the
// content). The time: rows with an event time before `from_time` are read and dropped, and so are
// bad lines behind such rows; files that were last modified more than clock_skew_max before it are
// not even opened.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <tuple>
#include <vector>

#include "operators/source.h"
#include "operators/sources/folder_watch.h"
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
  Duration watch = 0;  // between two looks for new files; 0: what there is is all
  Timestamp from_time = kMinTimestamp;
  std::string from_file;  // its name in the folder; empty: all files
  uint64_t from_offset = 0;
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
  bool idle() const override { return watch_ ? unfinished_ == 0 : files_.empty(); }
  SourceProgress progress() const override { return {done_bytes_, watch_ ? 0 : total_bytes_}; }
  void Close() override;

 private:
  struct File;
  struct Split {
    File* file = nullptr;
    FileRange range;
    std::string name;    // the key of its state
    uint64_t order = 0;  // in which splits were found
    SplitState state;
    std::unique_ptr<SplitReader> reader;  // while it is open
    int reads_left = 0;                   // before another split may be chosen
  };
  // A file of which splits are this subtask's.
  struct File {
    InputFile input;
    std::optional<uint64_t> head_hash;
    std::vector<std::unique_ptr<Split>> splits;
  };
  using InOrder = std::tuple<Timestamp, uint64_t, Split*>;

  Status FindFiles(const OperatorContext& context);
  Status CheckFilesOfState(const std::vector<InputFile>& found);
  StatusOr<File*> AddFile(const InputFile& input, bool only_restored);
  Status StartSplit(Split& split);
  void StartWatch(const OperatorContext& context);
  Status TakeChanges();
  Status Forget(const std::string& name);

  Status ReadFirstTimes(size_t lines_max, Timestamp arrival, size_t& lines, BatchBase& batch,
                        Output& out);
  Status ReadFurthestBehind(size_t lines_max, Timestamp arrival, size_t& lines, BatchBase& batch,
                            Output& out);
  StatusOr<size_t> ReadSplit(Split& split, size_t lines_max, Timestamp arrival, BatchBase& batch,
                             Output& out);
  Status OpenSplit(Split& split);
  void CloseFurthestAhead();
  StatusOr<uint64_t> HeadOf(File& file);
  Timestamp OrderOf(const Split& split) const;
  uint64_t DoneBytes(const Split& split) const;
  size_t DropBefore(Timestamp time, BatchBase& batch);
  void MoveWatermark(Timestamp arrival);
  Timestamp Arrival();

  const FileSourceOptions options_;
  const std::unique_ptr<LineDecoder> decoder_;
  // Set by Open(), then constant.
  Environment* env_ = nullptr;
  OperatorCounters* counters_ = nullptr;
  KeyGroupRange key_groups_;

  ValueState<SplitState> states_;
  std::map<std::string, File> files_;  // by name
  std::unique_ptr<FolderWatch> watch_;
  std::vector<FolderWatch::Change> changes_;
  uint64_t next_order_ = 0;
  std::optional<RateLimiter> limiter_;
  size_t row_bytes_ = 256;  // of the last batch's rows on average; a guess until there was one
  // Each split that is not finished is in one of these.
  std::deque<Split*> unopened_;
  std::priority_queue<InOrder, std::vector<InOrder>, std::greater<>> by_time_;
  Split* current_ = nullptr;

  std::vector<Split*> open_;  // those with a reader
  size_t unfinished_ = 0;
  uint64_t done_bytes_ = 0;
  uint64_t total_bytes_ = 0;
  Timestamp highest_finished_ = kMinTimestamp;  // of splits that have been read to their end
  Timestamp watermark_ = kMinTimestamp;
  Timestamp arrival_ = kMinTimestamp;  // the last one, of rows without event time
  std::vector<uint8_t> keep_;
};

// What must hold before a job starts: there is something to read, and all of it can be opened. The
// error says which file or folder cannot, and why; or which option is wrong.
Status CheckFileSource(const FileSourceOptions& options, Environment& env);

}  // namespace weir
