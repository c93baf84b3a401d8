#include "state/id_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include "core/codec.h"
#include "state/database_capture.h"
#include "state/generation_queue.h"
#include "state/id_loader.h"
#include "state/id_store_files.h"

namespace weir {
namespace {

constexpr size_t kPrefetchDistance = 32;  // rows between asking for a line and reading it
// What an id weighs while it is in memory alone, beside what the filter keeps of every id.
constexpr size_t kBytesPerId = sizeof(StoredId);
// What the filter keeps of an id takes so much, free room included.
constexpr size_t kFilterBytesPerId = 16;

constexpr size_t kFileBytesMin = 8 << 20;
constexpr size_t kFileBytesMax = 256 << 20;

// In the filter, of an id that is only in the files. Should the log reach it, 2^32 ids later, the
// comparison of the ids finds out.
constexpr uint64_t kNoPosition = UINT64_MAX;

struct InlineState {
  Duration window = 0;  // below 0: of arrival
  int64_t floor = 0;
};

// As InlineState has it.
Duration WindowOf(const IdStoreOptions& options) {
  return options.by_arrival ? -options.window : options.window;
}

std::string WindowText(Duration window) {
  return FormatDuration(std::abs(window)) + (window < 0 ? " of arrival" : " of event time");
}

std::string Encode(const InlineState& state) {
  std::string bytes;
  PutSigned(state.window, bytes);
  PutSigned(state.floor, bytes);
  return bytes;
}

// The header, if the ids were kept as `options` keep them.
StatusOr<InlineState> Decode(const StateSnapshot& snapshot, const IdStoreOptions& options) {
  if (snapshot.format != IdStore::kFormat) {
    return absl::FailedPreconditionError(
        fmt::format("the checkpoint holds state of format '{}', wanted '{}'", snapshot.format,
                    IdStore::kFormat));
  }
  InlineState state;
  ByteReader in(snapshot.inline_bytes);
  if (!in.Signed(state.window) || !in.Signed(state.floor) || !in.done()) {
    return absl::DataLossError("the checkpoint's id store has a broken header");
  }
  const Duration window = WindowOf(options);
  if (state.window != window) {
    return absl::FailedPreconditionError(
        fmt::format("the checkpoint's ids were kept for a window of {}, the job asks for {}; "
                    "restore with the old window or start afresh",
                    WindowText(state.window), WindowText(window)));
  }
  return state;
}

}  // namespace

struct IdStore::Shared {
  Shared(Duration window, std::unique_ptr<IdFiles> opened, std::function<void()> wake)
      : window(window),
        files(std::move(opened)),
        generations(
            [this](std::span<const IdGeneration> generations) {
              const IdGeneration& last = generations.back();
              WEIR_RETURN_IF_ERROR(files->Write(generations, last.floor - kReach));
              written.store(last.end, std::memory_order_release);
              return absl::OkStatus();
            },
            std::move(wake)) {}

  const Duration window;  // as InlineState has it
  const std::unique_ptr<IdFiles> files;
  std::atomic<uint64_t> written = 0;  // log positions below it are in the files
  GenerationQueue<IdGeneration> generations;
};

class IdStore::FrozenIds final : public Frozen {
 public:
  FrozenIds(std::shared_ptr<Shared> shared, const IdGeneration& generation)
      : shared_(std::move(shared)), number_(generation.number), floor_(generation.floor) {}
  ~FrozenIds() override { shared_->generations.Release(number_); }

  StatusOr<StateSnapshot> Write(SnapshotWriter& writer) override {
    WEIR_ASSIGN_OR_RETURN(const auto capture, shared_->generations.WriteAndCapture(number_, [this] {
      return shared_->files->CaptureNow();
    }));
    shared_->generations.Release(number_);
    StateSnapshot snapshot;
    snapshot.format = std::string(kFormat);
    snapshot.inline_bytes = Encode({shared_->window, floor_});
    WEIR_ASSIGN_OR_RETURN(snapshot.files, capture->Store(writer));
    return snapshot;
  }

 private:
  const std::shared_ptr<Shared> shared_;
  const uint64_t number_;
  const int64_t floor_;
};

Status IdStore::CheckFits(const StateSnapshot& snapshot, const IdStoreOptions& options) {
  return Decode(snapshot, options).status();
}

IdStore::IdStore(IdStoreOptions options, std::shared_ptr<Shared> shared)
    : options_(std::move(options)),
      slice_width_(options_.window / kReach),
      shared_(std::move(shared)),
      spills_(std::make_unique<IoSequence>(options_.env->io)),
      loader_(std::make_unique<IdLoader>(*shared_->files, options_.env->io, options_.notify)) {}

IdStore::~IdStore() {
  spills_.reset();
  loader_.reset();
}

StatusOr<std::unique_ptr<IdStore>> IdStore::Open(IdStoreOptions options, const Restore& restore) {
  if (options.window <= 0 || options.window % kReach != 0) {
    return absl::InvalidArgumentError(
        fmt::format("stage '{}': the window {} is not a positive multiple of {} microseconds",
                    options.stage, FormatDuration(options.window), kReach));
  }
  const Duration window = WindowOf(options);
  std::vector<RestoredSnapshot> snapshots;
  int64_t floor = kSliceMin;
  for (const RestoredSnapshot& restored : restore.snapshots) {
    if (restored.snapshot.format.empty() || !restored.key_groups().Overlaps(options.key_groups)) {
      continue;
    }
    StatusOr<InlineState> state = Decode(restored.snapshot, options);
    if (!state.ok()) return Annotate(state.status(), fmt::format("stage '{}'", options.stage));
    // All instances had seen the same watermarks at the barrier; should one have been ahead, the
    // highest floor is the one that lets no id through twice.
    floor = std::max(floor, state->floor);
    snapshots.push_back(restored);
  }

  // A filter under construction takes half as many bytes as its file.
  const size_t file_bytes_max =
      std::clamp(options.memory_bytes_max / 8, kFileBytesMin, kFileBytesMax);
  auto files =
      IdFiles::Open({options.local_dir, &options.env->disk, options.key_groups, file_bytes_max},
                    snapshots, restore.reader, floor - kReach);
  if (!files.ok()) return Annotate(files.status(), fmt::format("stage '{}'", options.stage));
  auto shared = std::make_shared<Shared>(window, *std::move(files), options.wake);
  auto store = std::unique_ptr<IdStore>(new IdStore(std::move(options), std::move(shared)));
  store->floor_ = floor;
  if (!snapshots.empty()) {
    Status status = store->TakeUp();
    if (!status.ok()) return Annotate(status, fmt::format("stage '{}'", store->options_.stage));
  }
  return store;
}

// What the files hold. So many of the oldest slices are paged that the ids of the others fit; these
// are loaded, the newest first: that is where most of what comes next belongs.
Status IdStore::TakeUp() {
  WEIR_ASSIGN_OR_RETURN(const auto counts, shared_->files->CountIds());
  for (const auto& [slice, count] : counts) CountIn(slice, count);
  const size_t files_bytes = std::min(shared_->files->memory_bytes(), options_.memory_bytes_max);
  uint64_t ids = size_;
  for (const auto& [slice, count] : counts) {
    if (ids <= (options_.memory_bytes_max - files_bytes) / kFilterBytesPerId) break;
    paged_ |= IdFilter::Only(slice);
    ids -= count;
  }
  if (paged_ != 0) shared_->files->MergeQuietSlices();
  std::vector<int64_t> unloaded;
  for (auto slice = counts.rbegin(); slice != counts.rend(); ++slice) {
    if (!(paged_ & IdFilter::Only(slice->first))) unloaded.push_back(slice->first);
  }
  shared_->files->Refresh();
  loader_->Begin(std::move(unloaded));
  FindUnloaded();
  return absl::OkStatus();
}

void IdStore::FindUnloaded() {
  unloaded_ = 0;
  for (const int64_t slice : loader_->slices()) unloaded_ |= IdFilter::Only(slice);
}

Status IdStore::Load() {
  if (loader_->idle()) return absl::OkStatus();
  StatusOr<const IdLoader::Chunk*> next = loader_->Next();
  if (!next.ok()) return Annotate(next.status(), fmt::format("stage '{}'", options_.stage));
  const IdLoader::Chunk* chunk = *next;
  if (chunk == nullptr) return absl::OkStatus();
  // Some may be there already: accepted and written before the reading began.
  const std::vector<Fingerprint>& ids = chunk->ids;
  for (size_t i = 0; i < std::min(kPrefetchDistance, ids.size()); ++i) filter_.Prefetch(ids[i]);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i + kPrefetchDistance < ids.size()) filter_.Prefetch(ids[i + kPrefetchDistance]);
    filter_.Add(ids[i], chunk->slice, kNoPosition, live_slices_, /*all_live=*/true);
  }
  if (chunk->last) FindUnloaded();
  if (loader_->idle()) loader_->Stop();
  PageIfFull();
  return absl::OkStatus();
}

int64_t IdStore::SliceOf(Timestamp time) const {
  int64_t slice = time / slice_width_;
  if (time % slice_width_ < 0) --slice;
  return std::clamp(slice, kSliceMin, kSliceMax);
}

Timestamp IdStore::StartOf(int64_t slice) const {
  auto start = static_cast<__int128>(slice) * slice_width_;
  return static_cast<Timestamp>(std::clamp<__int128>(start, kMinTimestamp, kMaxTimestamp));
}

size_t IdStore::UnwrittenBytes() const { return (log_.end() - written_) * kBytesPerId; }

// Learns what the I/O pool has written, and lets go of ids that need not stay in memory.
void IdStore::TakeNotice() {
  written_ = shared_->written.load(std::memory_order_acquire);
  shared_->files->Refresh();
  // What was written stays for speed alone: it goes first where paging all there is was not enough.
  const bool too_much = paged_ == live_slices_ && memory_bytes() > options_.memory_bytes_max;
  log_.Evict(written_, too_much ? 0 : options_.kept_bytes / kBytesPerId);
  PageIfFull();
}

size_t IdStore::memory_bytes() const {
  return filter_.bytes() + log_.bytes() + shared_->files->memory_bytes() + loader_->memory_bytes();
}

size_t IdStore::unloaded_slices() const { return loader_->slices().size(); }

// One more slice at a time; a sweep over the filter follows before the next. What is not loaded yet
// stays where it is in any case.
void IdStore::PageIfFull() {
  if (sweeping_ || live_.empty() || memory_bytes() <= options_.memory_bytes_max) return;
  if (unloaded_ != 0) {
    paged_ |= unloaded_;
    unloaded_ = 0;
    loader_->Stop();
    shared_->files->MergeQuietSlices();
    sweeping_ = true;
    return;
  }
  auto oldest = std::find_if(live_.begin(), live_.end(), [this](const auto& slice) {
    return !(paged_ & IdFilter::Only(slice.first));
  });
  if (oldest != live_.end()) {
    paged_ |= IdFilter::Only(oldest->first);
    shared_->files->MergeQuietSlices();
  } else if (filter_.size() < 2 * (log_.end() - log_.begin())) {
    return;  // the log's own ids are all there is
  }
  sweeping_ = true;
}

StatusOr<bool> IdStore::Ready() {
  TakeNotice();
  WEIR_RETURN_IF_ERROR(Load());
  StatusOr<bool> ready = shared_->generations.Ready(
      UnwrittenBytes(), options_.unwritten_bytes_max, [this] { return log_.Cut(floor_); },
      *spills_);
  if (!ready.ok()) return Annotate(ready.status(), fmt::format("stage '{}'", options_.stage));
  return ready;
}

std::unique_ptr<Frozen> IdStore::Freeze(CheckpointId) {
  IdGeneration generation = log_.Cut(floor_);
  auto frozen = std::make_unique<FrozenIds>(shared_, generation);
  shared_->generations.AddFrozen(std::move(generation));
  return frozen;
}

// In two passes. Ids that the filter does not know are accepted at once. The others wait until the
// files have been asked about all of them together, and are then judged in order. Equal ids stay in
// order among themselves, since from the first one on the filter knows them all: what made an id
// wait, be it of a slice that was freed, is not forgotten before the batch is done. While
// slices are paged or unloaded, what the filter does not know may be known to the files, so all ids
// wait.
Status IdStore::Accept(std::span<const Fingerprint> ids, std::span<const int64_t> slices,
                       std::span<Verdict> verdicts) {
  WEIR_CHECK(slices.size() == ids.size() && verdicts.size() == ids.size());
  TakeNotice();
  SweepSome();
  hits_.clear();
  const size_t first_rows = std::min(kPrefetchDistance, ids.size());
  for (size_t row = 0; row < first_rows; ++row) filter_.Prefetch(ids[row]);
  for (size_t row = 0; row < ids.size(); ++row) {
    if (row + kPrefetchDistance < ids.size()) {
      filter_.Prefetch(ids[row + kPrefetchDistance]);
    }
    if (slices[row] < floor_) {
      verdicts[row] = Verdict::kLate;
    } else if (OnlyInFiles() == 0 &&
               filter_.AddIfUnknown(ids[row], slices[row], log_.end(), live_slices_,
                                    AllLive() || !hits_.empty())) {
      CountIn(slices[row], 1);
      log_.Append({ids[row], slices[row]});
      verdicts[row] = Verdict::kAccepted;
    } else {
      hits_.push_back({static_cast<uint32_t>(row)});
    }
  }
  if (hits_.empty()) return absl::OkStatus();

  WEIR_RETURN_IF_ERROR(FindInFiles(ids, slices));
  for (const Hit& hit : hits_) {
    const Fingerprint& id = ids[hit.row];
    const int64_t slice = slices[hit.row];
    if (hit.duplicate || IsInLog(id, slice)) {
      verdicts[hit.row] = Verdict::kDuplicate;
    } else {
      filter_.Add(id, slice, log_.end(), live_slices_, AllLive());
      CountIn(slice, 1);
      log_.Append({id, slice});
      verdicts[hit.row] = Verdict::kAccepted;
    }
  }
  return absl::OkStatus();
}

// Marks the hits that are duplicates of ids in the log or in the files.
Status IdStore::FindInFiles(std::span<const Fingerprint> ids, std::span<const int64_t> slices) {
  for (const Hit& hit : hits_) {
    filter_.ForEach(ids[hit.row], [&](IdFilter::Slices, uint32_t position) {
      if (const StoredId* stored = log_.Find(position)) __builtin_prefetch(stored);
    });
  }
  std::vector<IdFiles::Query> queries;
  for (size_t i = 0; i < hits_.size(); ++i) {
    const Fingerprint& id = ids[hits_[i].row];
    const int64_t slice = slices[hits_[i].row];
    hits_[i].duplicate = IsInLog(id, slice);
    if (hits_[i].duplicate) continue;
    IdFilter::Slices found = OnlyInFiles();
    filter_.ForEach(id, [&](IdFilter::Slices found_in, uint32_t) { found |= found_in; });
    found &= IdFilter::Around(slice, kReach);
    if (found == 0) continue;
    for (int64_t near = slice - kReach; near <= slice + kReach; ++near) {
      if (found & IdFilter::Only(near)) queries.push_back({id, near, static_cast<uint32_t>(i)});
    }
  }
  if (queries.empty()) return absl::OkStatus();
  Status status = shared_->files->Find(queries);
  if (!status.ok()) return Annotate(status, fmt::format("stage '{}'", options_.stage));
  for (const IdFiles::Query& query : queries) {
    if (query.found) hits_[query.hit].duplicate = true;
  }
  return absl::OkStatus();
}

bool IdStore::IsInLog(const Fingerprint& id, int64_t slice) const {
  bool found = false;
  filter_.ForEach(id, [&](IdFilter::Slices, uint32_t position) {
    const StoredId* stored = log_.Find(position);
    found |= stored != nullptr && stored->id == id && stored->slice >= slice - kReach &&
             stored->slice <= slice + kReach;
  });
  return found;
}

void IdStore::CountIn(int64_t slice, uint64_t n) {
  if (last_count_ == nullptr || slice != last_slice_) {
    last_slice_ = slice;
    last_count_ = &live_[slice];
    live_slices_ |= IdFilter::Only(slice);
  }
  *last_count_ += n;
  size_ += n;
}

void IdStore::RaiseFloor(int64_t floor) {
  if (floor <= floor_) return;
  floor_ = floor;
  const auto end = live_.lower_bound(floor_ - kReach);
  if (end != live_.begin()) {
    for (auto it = live_.begin(); it != end; ++it) size_ -= it->second;
    live_.erase(live_.begin(), end);
    last_count_ = nullptr;
    live_slices_ = 0;
    for (const auto& [slice, ids] : live_) live_slices_ |= IdFilter::Only(slice);
    paged_ &= live_slices_;
    loader_->Drop(floor_ - kReach);
    FindUnloaded();
    if (live_.empty()) {
      filter_.Clear();
      sweeping_ = false;
    } else if (filter_.size() > size_ + size_ / 2) {
      sweeping_ = true;
    }
  }
  SweepSome();
}

// A little at a time, so that no batch waits for the whole filter.
void IdStore::SweepSome() {
  if (!sweeping_) return;
  const bool done = filter_.SweepSome([this](IdFilter::Slices slice, uint32_t position) {
    if (paged_ & slice) return log_.Find(position) != nullptr;
    return (live_slices_ & slice) != 0;
  });
  if (done) sweeping_ = false;
}

}  // namespace weir
