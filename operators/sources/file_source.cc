#include "operators/sources/file_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/check.h"
#include "core/hash.h"

namespace weir {
namespace {

constexpr const char* kSplitsState = "splits";
// Splits of which one Poll() reads the first time.
constexpr int kFirstTimesPerPoll = 64;
// A split that had to be opened again, and others closed for it, is read for so many batches: to
// open a compressed one means to decompress all that has been read of it.
constexpr int kReadsPerReopen = 64;

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
  WEIR_ASSIGN_OR_RETURN(files_, FindInputFiles(env_->disk, options_.input));
  head_hashes_.resize(files_.size());
  WEIR_RETURN_IF_ERROR(FindSplits(context));
  WEIR_ASSIGN_OR_RETURN(states_, ValueState<SplitState>::Register(*context.keyed, kSplitsState));
  WEIR_RETURN_IF_ERROR(RestoreSplits());
  for (size_t i = 0; i < splits_.size(); ++i) {
    const Split& split = splits_[i];
    done_bytes_ += DoneBytes(split);
    if (split.state.finished) continue;
    ++unfinished_;
    if (decoder_->has_time() && split.state.highest_time == kMinTimestamp) {
      unopened_.push_back(i);
    } else {
      by_time_.push({OrderOf(split), i});
    }
  }
  MoveWatermark(kMinTimestamp);
  return absl::OkStatus();
}

Status FileSource::FindSplits(OperatorContext& context) {
  // Compressed bytes hold about five times as much as plain ones.
  constexpr double kCompressedWeight = 5;
  double weight_of_all = 0;
  double own_weight = 0;
  for (const InputFile& file : files_) {
    const bool whole = file.compression != Compression::kNone;
    uint64_t start = 0;
    for (int index = 0; index == 0 || (!whole && start < file.size); ++index) {
      Split split;
      split.file = &file;
      split.range = {start, std::min(start + options_.split_range_bytes, file.size), whole};
      start = split.range.end;
      split.name = fmt::format("{}#{}", file.name, index);
      const uint64_t bytes = split.range.bytes(file);
      const double weight = static_cast<double>(bytes) * (whole ? kCompressedWeight : 1);
      weight_of_all += weight;
      if (!context.key_groups.Contains(KeyGroupOf(Hash64(split.name)))) continue;
      total_bytes_ += bytes;
      own_weight += weight;
      splits_.push_back(std::move(split));
    }
  }
  if (options_.rate > 0 && !splits_.empty()) {
    // By its share of the content, so that all subtasks end together.
    const double share = weight_of_all > 0 ? own_weight / weight_of_all : 1.0 / context.parallelism;
    if (share > 0) limiter_.emplace(options_.rate * share, env_->clock.MonotonicMicros());
  }
  return absl::OkStatus();
}

Status FileSource::RestoreSplits() {
  std::unordered_set<std::string_view> names;
  for (Split& split : splits_) {
    names.insert(split.name);
    WEIR_ASSIGN_OR_RETURN(std::optional<SplitState> state, states_.Get(MakeStateKey(split.name)));
    if (!state) {
      // Kept from the first on, so that a file that is gone before it was opened is missed.
      split.state.file_size = split.file->size;
      split.state.file_modified = split.file->modified;
      WEIR_RETURN_IF_ERROR(states_.Set(MakeStateKey(split.name), split.state));
      continue;
    }
    split.state = *state;
    InputFile before = *split.file;
    before.size = state->file_size;
    before.modified = state->file_modified;
    WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, before));
    if (!state->opened()) continue;
    WEIR_ASSIGN_OR_RETURN(const uint64_t head, HeadOf(*split.file));
    if (head != state->head_hash) {
      return FileHasChanged(split.file->path, "its first 4 KiB are others");
    }
  }
  // A file may go once it has been read to its end.
  Status status;
  WEIR_RETURN_IF_ERROR(states_.ForEach([&](std::string_view name, const SplitState& state) {
    if (state.finished || names.contains(name)) return true;
    const std::string_view file = name.substr(0, name.rfind('#'));
    const bool there = std::any_of(files_.begin(), files_.end(),
                                   [&](const InputFile& f) { return f.name == file; });
    status = FileHasChanged(fmt::format("{} (of {})", file, options_.input),
                            there ? "it has become shorter" : "it is gone");
    return false;
  }));
  return status;
}

StatusOr<PollResult> FileSource::Poll(Output& out) {
  if (unfinished_ == 0) return PollResult{PollResult::kFinished};
  size_t lines_max = options_.batch_rows;
  if (limiter_) {
    lines_max = limiter_->Allowed(env_->clock.MonotonicMicros(), lines_max);
    if (lines_max == 0) return PollResult{PollResult::kIdle, limiter_->NextTime()};
  }
  const Timestamp arrival = env_->clock.Now();
  BatchPtr batch = decoder_->NewBatch(lines_max);
  size_t lines = 0;
  if (!unopened_.empty()) {
    WEIR_RETURN_IF_ERROR(ReadFirstTimes(lines_max, arrival, lines, *batch, out));
  } else {
    WEIR_RETURN_IF_ERROR(ReadFurthestBehind(lines_max, arrival, lines, *batch, out));
  }
  if (limiter_) limiter_->Take(lines);
  MoveWatermark(arrival);
  if (!batch->empty()) out.Emit(0, std::move(batch));
  return PollResult{PollResult::kMore};
}

// A line of each split, and whole batches of those whose first line has no good time.
Status FileSource::ReadFirstTimes(size_t lines_max, Timestamp arrival, size_t& lines,
                                  BatchBase& batch, Output& out) {
  for (int n = 0; n < kFirstTimesPerPoll && !unopened_.empty() && lines < lines_max; ++n) {
    const size_t index = unopened_.front();
    Split& split = splits_[index];
    const size_t wanted = split.state.lines == 0 ? 1 : lines_max - lines;
    WEIR_ASSIGN_OR_RETURN(const size_t read, ReadSplit(split, wanted, arrival, batch, out));
    lines += read;
    if (split.state.finished) {
      unopened_.pop_front();
    } else if (split.state.highest_time != kMinTimestamp) {
      unopened_.pop_front();
      by_time_.push({OrderOf(split), index});
    }
  }
  return absl::OkStatus();
}

Status FileSource::ReadFurthestBehind(size_t lines_max, Timestamp arrival, size_t& lines,
                                      BatchBase& batch, Output& out) {
  if (!current_) {
    current_ = by_time_.top().second;
    by_time_.pop();
  }
  Split& split = splits_[*current_];
  WEIR_ASSIGN_OR_RETURN(lines, ReadSplit(split, lines_max, arrival, batch, out));
  const bool crowded = unfinished_ > options_.open_splits_max;
  if (split.state.finished) {
    current_.reset();
  } else if (!crowded || --split.reads_left <= 0) {
    by_time_.push({OrderOf(split), *current_});
    current_.reset();
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
    WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, *split.file));
    split.reader.reset();
    std::erase(open_, static_cast<size_t>(&split - splits_.data()));
    --unfinished_;
  }
  done_bytes_ += DoneBytes(split) - done_before;
  WEIR_RETURN_IF_ERROR(states_.Set(MakeStateKey(split.name), split.state));
  return lines;
}

Status FileSource::OpenSplit(Split& split) {
  if (open_.size() >= options_.open_splits_max) CloseFurthestAhead();
  WEIR_RETURN_IF_ERROR(CheckUnchanged(env_->disk, *split.file));
  WEIR_ASSIGN_OR_RETURN(split.state.head_hash, HeadOf(*split.file));
  split.state.file_size = split.file->size;
  split.state.file_modified = split.file->modified;
  LineReaderOptions options;
  options.line_bytes_max = options_.line_bytes_max;
  options.chunk_bytes = options_.read_chunk_bytes;
  WEIR_ASSIGN_OR_RETURN(
      split.reader, SplitReader::Open(env_->disk, *split.file, split.range, options, split.state));
  split.reads_left = kReadsPerReopen;
  open_.push_back(static_cast<size_t>(&split - splits_.data()));
  return absl::OkStatus();
}

void FileSource::CloseFurthestAhead() {
  auto furthest = std::max_element(open_.begin(), open_.end(), [this](size_t a, size_t b) {
    return OrderOf(splits_[a]) < OrderOf(splits_[b]);
  });
  splits_[*furthest].reader.reset();
  open_.erase(furthest);
}

StatusOr<uint64_t> FileSource::HeadOf(const InputFile& file) {
  std::optional<uint64_t>& hash = head_hashes_[static_cast<size_t>(&file - files_.data())];
  if (!hash) {
    WEIR_ASSIGN_OR_RETURN(hash, HashOfHead(env_->disk, file));
  }
  return *hash;
}

// Without event time all are equal, and the one that comes first is read to its end.
Timestamp FileSource::OrderOf(const Split& split) const {
  return decoder_->has_time() ? split.state.highest_time : 0;
}

uint64_t FileSource::DoneBytes(const Split& split) const {
  const uint64_t total = split.range.bytes(*split.file);
  if (split.state.finished) return total;
  if (split.range.whole) return std::min(split.state.file_offset, total);
  return std::min(split.state.next_offset - std::min(split.state.next_offset, split.range.start),
                  total);
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
    if (!by_time_.empty()) lowest = by_time_.top().first;
    if (current_) lowest = std::min(lowest, OrderOf(splits_[*current_]));
  }
  if (lowest == kMinTimestamp || lowest == kMaxTimestamp) return;
  watermark_ = std::max(watermark_, lowest - 1);
}

void FileSource::Close() {
  for (size_t index : open_) splits_[index].reader.reset();
  open_.clear();
}

Status CheckFileSource(const FileSourceOptions& options, Environment& env) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<InputFile> files,
                        FindInputFiles(env.disk, options.input));
  for (const InputFile& file : files) {
    WEIR_RETURN_IF_ERROR(env.disk.OpenForRead(file.path).status());
  }
  return absl::OkStatus();
}

}  // namespace weir
