#include "operators/sources/file_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "core/hash.h"
#include "operators/pace.h"

namespace weir {
namespace {

constexpr const char* kSplitsState = "splits";
// Splits of which one Poll() reads the first time.
constexpr int kFirstTimesPerPoll = 64;
// A split that had to be opened again, and others closed for it, is read for so many batches: to
// open a compressed one means to decompress all that has been read of it.
constexpr int kReadsPerReopen = 64;

// The whole of a compressed file, ranges of a plain one; without what is in front of the replay.
// An index is part of a split's name, so those that are left out keep theirs, and are empty.
std::vector<FileRange> RangesOf(const FileSourceOptions& options, bool has_time,
                                const InputFile& file) {
  if (file.name < options.from_file) return {};
  if (has_time && options.from_time != kMinTimestamp &&
      file.modified < options.from_time - options.clock_skew_max) {
    return {};
  }
  const uint64_t from = file.name == options.from_file ? options.from_offset : 0;
  if (file.compression != Compression::kNone) return {{from, file.size, true}};
  std::vector<FileRange> ranges;
  uint64_t start = 0;
  do {
    const uint64_t end = std::min(start + options.split_range_bytes, file.size);
    ranges.push_back({std::clamp(from, start, end), end, false});
    start = end;
  } while (start < file.size);
  return ranges;
}

// The splits of a file whose names belong to `groups`, with their ranges.
std::vector<std::pair<std::string, FileRange>> SplitsOf(const FileSourceOptions& options,
                                                        bool has_time, KeyGroupRange groups,
                                                        const InputFile& file) {
  std::vector<std::pair<std::string, FileRange>> splits;
  const std::vector<FileRange> ranges = RangesOf(options, has_time, file);
  for (size_t i = 0; i < ranges.size(); ++i) {
    if (ranges[i].start > 0 && ranges[i].bytes(file) == 0) continue;
    std::string name = fmt::format("{}#{}", file.name, i);
    if (groups.Contains(KeyGroupOf(Hash64(name)))) splits.emplace_back(std::move(name), ranges[i]);
  }
  return splits;
}

std::string_view FileOf(std::string_view split_name) {
  return split_name.substr(0, split_name.rfind('#'));
}

// What a replay leaves out beside rows: bad lines that follow on rows before its time.
class RejectFrom final : public Output {
 public:
  RejectFrom(Timestamp time, Output& out) : time_(time), out_(out) {}
  void Emit(int port, BatchPtr batch) override { out_.Emit(port, std::move(batch)); }
  void Reject(std::string_view error, std::string_view record, Timestamp time) override {
    time < time_ ? void(++dropped_) : out_.Reject(error, record, time);
  }
  uint64_t dropped() const { return dropped_; }

 private:
  const Timestamp time_;
  Output& out_;
  uint64_t dropped_ = 0;
};

}  // namespace

FileSource::FileSource(FileSourceOptions options, std::unique_ptr<LineDecoder> decoder)
    : options_(std::move(options)), decoder_(std::move(decoder)) {
  WEIR_CHECK(options_.batch_rows > 0 && options_.open_splits_max > 0 &&
             options_.split_range_bytes > 0 && options_.read_chunk_bytes > 0);
}

FileSource::~FileSource() = default;

StatusOr<StateDescription> FileSource::DescribeState() {
  return DescribeKeyedState([](KeyedStore& store) {
    return ValueState<SplitState>::Register(store, kSplitsState).status();
  });
}

Status FileSource::Open(OperatorContext& context) {
  WEIR_CHECK(context.keyed != nullptr && context.counters != nullptr);
  env_ = context.env;
  counters_ = context.counters;
  key_groups_ = context.key_groups;
  WEIR_ASSIGN_OR_RETURN(states_, ValueState<SplitState>::Register(*context.keyed, kSplitsState));
  WEIR_RETURN_IF_ERROR(FindFiles(context));
  MoveWatermark(kMinTimestamp);
  return absl::OkStatus();
}

Status FileSource::FindFiles(const OperatorContext& context) {
  const bool watched = options_.watch > 0;
  WEIR_ASSIGN_OR_RETURN(const std::vector<InputFile> found,
                        watched ? FindFilesToWatch(env_->disk, options_.input)
                                : FindInputFiles(env_->disk, options_.input));
  const auto is_from_file = [this](const InputFile& f) { return f.name == options_.from_file; };
  if (!options_.from_file.empty() && context.restore->snapshots.empty() &&
      std::none_of(found.begin(), found.end(), is_from_file)) {
    return absl::NotFoundError(fmt::format("there is no file '{}' in {} to start from",
                                           options_.from_file, options_.input));
  }
  // Compressed bytes hold about five times as much as plain ones.
  constexpr double kCompressedWeight = 5;
  double weight_of_all = 0;
  double own_weight = 0;
  for (const InputFile& input : found) {
    WEIR_ASSIGN_OR_RETURN(const File* const file, AddFile(input, /*only_restored=*/watched));
    const double weight = input.compression == Compression::kNone ? 1 : kCompressedWeight;
    weight_of_all += weight * static_cast<double>(input.size);
    if (file == nullptr) continue;
    for (const auto& split : file->splits) {
      own_weight += weight * static_cast<double>(split->range.bytes(input));
    }
  }
  WEIR_RETURN_IF_ERROR(CheckFilesOfState(found));
  if (watched) StartWatch(context);
  if (options_.rate > 0 && (watched || !files_.empty())) {
    // By its share of the content, so that all subtasks end together.
    const double share =
        watched || weight_of_all == 0 ? 1.0 / context.parallelism : own_weight / weight_of_all;
    if (share > 0) limiter_.emplace(options_.rate * share, env_->clock.MonotonicMicros());
  }
  return absl::OkStatus();
}

// Adds the splits of a file that are this subtask's; null if there are none. only_restored: nor if
// none of them is in the state.
StatusOr<FileSource::File*> FileSource::AddFile(const InputFile& input, bool only_restored) {
  File file{input, std::nullopt, {}};
  bool restored = false;
  for (auto& [name, range] : SplitsOf(options_, decoder_->has_time(), key_groups_, input)) {
    WEIR_ASSIGN_OR_RETURN(const std::optional<SplitState> state, states_.Get(MakeStateKey(name)));
    restored |= state.has_value();
    auto split = std::make_unique<Split>();
    split->name = std::move(name);
    split->range = range;
    split->state = state.value_or(SplitState{});
    file.splits.push_back(std::move(split));
  }
  if (file.splits.empty() || (only_restored && !restored)) return nullptr;
  const auto [at, is_new] = files_.try_emplace(input.name, std::move(file));
  if (!is_new) return FileHasChanged(input.path, "it was gone and has come back");
  for (const auto& split : at->second.splits) {
    split->file = &at->second;
    split->order = next_order_++;
    WEIR_RETURN_IF_ERROR(StartSplit(*split));
  }
  return &at->second;
}

// Checks that the file is what it was where the split is restored, and puts the split where it
// belongs.
Status FileSource::StartSplit(Split& split) {
  SplitState& state = split.state;
  const InputFile& input = split.file->input;
  if (state == SplitState{}) {
    // Kept from the first on, so that a file that is gone before it was opened is missed.
    state.file_size = input.size;
    state.file_modified = input.modified;
    WEIR_RETURN_IF_ERROR(states_.Set(MakeStateKey(split.name), state));
  } else {
    InputFile before = input;
    before.size = state.file_size;
    before.modified = state.file_modified;
    WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, before));
    if (state.opened()) {
      WEIR_ASSIGN_OR_RETURN(const uint64_t head, HeadOf(*split.file));
      if (head != state.head_hash) return FileHasChanged(input.path, "its first 4 KiB are others");
    }
  }
  total_bytes_ += split.range.bytes(input);
  done_bytes_ += DoneBytes(split);
  if (state.finished) {
    highest_finished_ = std::max(highest_finished_, state.highest_time);
    return absl::OkStatus();
  }
  ++unfinished_;
  if (decoder_->has_time() && state.highest_time == kMinTimestamp) {
    unopened_.push_back(&split);
  } else {
    by_time_.push({OrderOf(split), split.order, &split});
  }
  return absl::OkStatus();
}

// Of all that is in the state, which may be more than is there: a file may go once it has been read
// to its end.
Status FileSource::CheckFilesOfState(const std::vector<InputFile>& found) {
  Status status;
  std::vector<std::string> gone;
  WEIR_RETURN_IF_ERROR(states_.ForEach([&](std::string_view name, const SplitState& state) {
    if (!decoder_->has_time()) arrival_ = std::max(arrival_, state.last_good_time);
    const auto file = files_.find(std::string(FileOf(name)));
    if (file != files_.end() &&
        std::any_of(file->second.splits.begin(), file->second.splits.end(),
                    [&](const auto& split) { return split->name == name; })) {
      return true;
    }
    if (state.finished) {
      gone.emplace_back(name);
      return true;
    }
    const bool there = std::any_of(found.begin(), found.end(),
                                   [&](const InputFile& f) { return f.name == FileOf(name); });
    status = FileHasChanged(fmt::format("{} (of {})", FileOf(name), options_.input),
                            there ? "it has become shorter" : "it is gone");
    return false;
  }));
  WEIR_RETURN_IF_ERROR(status);
  if (options_.watch == 0) return absl::OkStatus();
  for (const std::string& name : gone) WEIR_RETURN_IF_ERROR(states_.Clear(MakeStateKey(name)));
  return absl::OkStatus();
}

void FileSource::StartWatch(const OperatorContext& context) {
  auto is_own = [options = options_, has_time = decoder_->has_time(),
                 groups = key_groups_](const InputFile& file) {
    return !SplitsOf(options, has_time, groups, file).empty();
  };
  watch_ = std::make_unique<FolderWatch>(*env_, options_.input, options_.watch, std::move(is_own),
                                         context.wake);
  for (const auto& [name, file] : files_) watch_->Know(file.input);
}

Status FileSource::TakeChanges() {
  changes_.clear();
  WEIR_RETURN_IF_ERROR(watch_->Poll(env_->clock.MonotonicMicros(), changes_));
  for (const FolderWatch::Change& change : changes_) {
    switch (change.kind) {
      case FolderWatch::Change::kNew:
        WEIR_RETURN_IF_ERROR(AddFile(change.file, /*only_restored=*/false).status());
        break;
      case FolderWatch::Change::kChanged:
        WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, files_.at(change.file.name).input));
        break;
      case FolderWatch::Change::kGone:
        WEIR_RETURN_IF_ERROR(Forget(change.file.name));
        break;
    }
  }
  return absl::OkStatus();
}

// A file that is gone; if it has not been read to its end, its reader will say so.
Status FileSource::Forget(const std::string& name) {
  const auto file = files_.find(name);
  for (const auto& split : file->second.splits) {
    if (!split->state.finished) return absl::OkStatus();
  }
  for (const auto& split : file->second.splits) {
    WEIR_RETURN_IF_ERROR(states_.Clear(MakeStateKey(split->name)));
  }
  files_.erase(file);
  return absl::OkStatus();
}

StatusOr<PollResult> FileSource::Poll(Output& out) {
  if (watch_ != nullptr) WEIR_RETURN_IF_ERROR(TakeChanges());
  if (unfinished_ == 0) {
    if (watch_ == nullptr) return PollResult{PollResult::kFinished};
    MoveWatermark(Arrival());
    return PollResult{PollResult::kIdle, watch_->next_poll()};
  }
  size_t lines_max = std::clamp<size_t>(BatchBytesFor(out) / row_bytes_, 1, options_.batch_rows);
  if (limiter_) {
    lines_max = limiter_->Allowed(env_->clock.MonotonicMicros(), lines_max);
    if (lines_max == 0) return PollResult{PollResult::kIdle, limiter_->NextTime()};
  }
  const Timestamp arrival = Arrival();
  BatchPtr batch = decoder_->NewBatch(lines_max);
  size_t lines = 0;
  RejectFrom replayed(options_.from_time, out);
  if (!unopened_.empty()) {
    WEIR_RETURN_IF_ERROR(ReadFirstTimes(lines_max, arrival, lines, *batch, replayed));
  } else {
    WEIR_RETURN_IF_ERROR(ReadFurthestBehind(lines_max, arrival, lines, *batch, replayed));
  }
  counters_->dropped += replayed.dropped() + DropBefore(options_.from_time, *batch);
  if (limiter_) limiter_->Take(lines);
  MoveWatermark(arrival);
  if (!batch->empty()) {
    row_bytes_ = std::max<size_t>(1, batch->bytes() / batch->rows());
    out.Emit(0, std::move(batch));
  }
  return PollResult{PollResult::kMore};
}

// A line of each split, and whole batches of those whose first line has no good time.
Status FileSource::ReadFirstTimes(size_t lines_max, Timestamp arrival, size_t& lines,
                                  BatchBase& batch, Output& out) {
  for (int n = 0; n < kFirstTimesPerPoll && !unopened_.empty() && lines < lines_max; ++n) {
    Split& split = *unopened_.front();
    const size_t wanted = split.state.lines == 0 ? 1 : lines_max - lines;
    WEIR_ASSIGN_OR_RETURN(const size_t read, ReadSplit(split, wanted, arrival, batch, out));
    lines += read;
    if (split.state.finished) {
      unopened_.pop_front();
    } else if (split.state.highest_time != kMinTimestamp) {
      unopened_.pop_front();
      by_time_.push({OrderOf(split), split.order, &split});
    }
  }
  return absl::OkStatus();
}

Status FileSource::ReadFurthestBehind(size_t lines_max, Timestamp arrival, size_t& lines,
                                      BatchBase& batch, Output& out) {
  if (current_ == nullptr) {
    current_ = std::get<Split*>(by_time_.top());
    by_time_.pop();
  }
  Split& split = *current_;
  WEIR_ASSIGN_OR_RETURN(lines, ReadSplit(split, lines_max, arrival, batch, out));
  const bool crowded = unfinished_ > options_.open_splits_max;
  if (split.state.finished) {
    current_ = nullptr;
  } else if (!crowded || --split.reads_left <= 0) {
    by_time_.push({OrderOf(split), split.order, &split});
    current_ = nullptr;
  }
  return absl::OkStatus();
}

StatusOr<size_t> FileSource::ReadSplit(Split& split, size_t lines_max, Timestamp arrival,
                                       BatchBase& batch, Output& out) {
  if (split.reader == nullptr) WEIR_RETURN_IF_ERROR(OpenSplit(split));
  const uint64_t done_before = DoneBytes(split);
  const SplitReadContext context{*decoder_, *counters_, arrival, options_.clock_skew_max,
                                 options_.line_bytes_max};
  WEIR_ASSIGN_OR_RETURN(const size_t lines, split.reader->Read(lines_max, context, batch, out));
  if (split.state.finished) {
    highest_finished_ = std::max(highest_finished_, split.state.highest_time);
    WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, split.file->input));
    split.reader.reset();
    std::erase(open_, &split);
    --unfinished_;
  }
  done_bytes_ += DoneBytes(split) - done_before;
  WEIR_RETURN_IF_ERROR(states_.Set(MakeStateKey(split.name), split.state));
  return lines;
}

Status FileSource::OpenSplit(Split& split) {
  if (open_.size() >= options_.open_splits_max) CloseFurthestAhead();
  const InputFile& input = split.file->input;
  WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, input));
  WEIR_ASSIGN_OR_RETURN(split.state.head_hash, HeadOf(*split.file));
  LineReaderOptions options;
  options.line_bytes_max = options_.line_bytes_max;
  options.chunk_bytes = options_.read_chunk_bytes;
  WEIR_ASSIGN_OR_RETURN(split.reader,
                        SplitReader::Open(env_->disk, input, split.range, options, split.state));
  split.reads_left = kReadsPerReopen;
  open_.push_back(&split);
  return absl::OkStatus();
}

void FileSource::CloseFurthestAhead() {
  auto furthest = std::max_element(
      open_.begin(), open_.end(),
      [this](const Split* a, const Split* b) { return OrderOf(*a) < OrderOf(*b); });
  (*furthest)->reader.reset();
  open_.erase(furthest);
}

StatusOr<uint64_t> FileSource::HeadOf(File& file) {
  if (!file.head_hash) {
    WEIR_ASSIGN_OR_RETURN(file.head_hash, HashOfHead(env_->disk, file.input));
  }
  return *file.head_hash;
}

// Without event time all are equal, and the one that comes first is read to its end.
Timestamp FileSource::OrderOf(const Split& split) const {
  return decoder_->has_time() ? split.state.highest_time : 0;
}

uint64_t FileSource::DoneBytes(const Split& split) const {
  const uint64_t total = split.range.bytes(split.file->input);
  if (split.state.finished) return total;
  if (split.range.whole) return std::min(split.state.file_offset, total);
  return std::min(split.state.next_offset - std::min(split.state.next_offset, split.range.start),
                  total);
}

Timestamp FileSource::Arrival() {
  const Timestamp now = env_->clock.Now();
  if (decoder_->has_time()) return now;
  return arrival_ = std::max(arrival_, now);
}

// The number of rows that are dropped.
size_t FileSource::DropBefore(Timestamp time, BatchBase& batch) {
  const auto is_before = [time](Timestamp row) { return row < time; };
  const size_t dropped = std::count_if(batch.times().begin(), batch.times().end(), is_before);
  if (dropped == 0) return 0;
  keep_.assign(batch.rows(), 1);
  for (size_t i = 0; i < batch.rows(); ++i) keep_[i] = !is_before(batch.times()[i]);
  batch.Retain(keep_);
  return dropped;
}

// No row with a time at or below the watermark is to be expected, but many rows of one time may
// follow each other: so it stays just below the highest time.
void FileSource::MoveWatermark(Timestamp arrival) {
  Timestamp lowest = kMaxTimestamp;
  if (!decoder_->has_time()) {
    lowest = arrival;
  } else if (!unopened_.empty()) {
    return;
  } else {
    if (!by_time_.empty()) lowest = std::get<Timestamp>(by_time_.top());
    if (current_ != nullptr) lowest = std::min(lowest, OrderOf(*current_));
    // Until more comes. A source that ends has no need to say so.
    if (lowest == kMaxTimestamp && watch_ != nullptr) lowest = highest_finished_;
  }
  if (lowest == kMinTimestamp || lowest == kMaxTimestamp) return;
  watermark_ = std::max(watermark_, lowest - 1);
}

void FileSource::Close() {
  for (Split* split : open_) split->reader.reset();
  open_.clear();
}

Status CheckFileSource(const FileSourceOptions& options, Environment& env) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<InputFile> files,
                        options.watch > 0 ? FindFilesToWatch(env.disk, options.input)
                                          : FindInputFiles(env.disk, options.input));
  for (const InputFile& file : files) {
    WEIR_RETURN_IF_ERROR(env.disk.OpenForRead(file.path).status());
  }
  return absl::OkStatus();
}

}  // namespace weir
