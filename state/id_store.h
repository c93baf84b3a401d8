// IdStore: which ids were accepted, exactly, for a window of event time: the state of
// deduplication.
//
// Time is cut into slices. An id in slice s is a duplicate exactly when the same id was accepted in
// a slice at most kReach away, before or after it; a duplicate leaves no trace, so it does not
// extend the window. Below the floor ids are late and neither accepted nor duplicates. Slices that
// no id at or above the floor can reach are freed.
//
//   newest ids    a log in memory, in order of acceptance                id_store_log.h
//   all live ids  eight bytes each in a filter that is asked first       id_filter.h
//                 (but for those of paged slices, see below)
//   older ids     sorted files in RocksDB, a column family per slice     id_store_files.h
//
// A new id costs one cache line of the filter and an entry at the end of the log; only an id that
// the filter knows is looked up in the log and, failing that, in RocksDB, all of a batch at once. A
// generation of the log becomes files on the I/O pool: at a checkpoint, or between two of them when
// too much has gathered (a spill). Until that is done its ids are found in the log.
//
// Where the filter would outgrow the memory there is, slices are *paged*, the oldest first: of
// their ids only those in the log stay in the filter, and RocksDB, with a filter of its own behind
// each file, is asked about every id that a paged slice may hold. That is slower and exact all the
// same.
//
// A restore reads no id: the filter is empty at first, and the restored slices are *unloaded*: the
// files are asked about every id that they may hold. Those that fit are loaded while the task goes
// on (id_loader.h), a chunk at a time: by Ready() and Load(). What is accepted meanwhile is in the
// filter and stays there, so that it lacks nothing but what the files held when the store was
// opened.
//
// Used by the one task that owns it, but for what Freeze() returns. Order: Open; then Ready,
// Accept, RaiseFloor, Freeze, Load in any order, Accept only after Ready said yes. The destructor
// waits for a spill and for a chunk that are under way; frozen generations may outlive the store.
#pragma once

#include <bit>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/environment.h"
#include "core/hash.h"
#include "core/limits.h"
#include "core/time.h"
#include "state/id_filter.h"
#include "state/id_store_log.h"
#include "state/snapshot.h"

namespace weir {

class IdLoader;

struct IdStoreOptions {
  std::string stage;            // for messages
  Duration window = Hours(24);  // a multiple of kReach microseconds, at least one
  bool by_arrival = false;      // the caller's slices are of arrival; kept beside the window
  KeyGroupRange key_groups;
  std::string local_dir;  // exists and is empty; removed by its owner after the attempt
  Environment* env = nullptr;
  std::function<void()> wake;    // called, from any thread, when Ready() may have become true
  std::function<void()> notify;  // the same, when Load() has something to do; may be null
  size_t unwritten_bytes_max = limits::kFrozenBytesMax;  // ids in memory alone before a spill
  size_t kept_bytes = limits::kIdsKeptBytes;             // written ids that stay in memory
  size_t memory_bytes_max = SIZE_MAX;  // of all that memory_bytes() counts, before slices are paged
};

class IdStore {
 public:
  static constexpr int64_t kReach = 8;
  // Slices are cut off here, 2^61 slices before and after 1970, so that sums of them do not
  // overflow.
  static constexpr int64_t kSliceMin = -(int64_t{1} << 61);
  static constexpr int64_t kSliceMax = int64_t{1} << 61;

  // Of its snapshots.
  static constexpr std::string_view kFormat = "id-store/1";

  enum class Verdict : uint8_t { kAccepted, kDuplicate, kLate };

  // InvalidArgument for a window that cannot be cut; FailedPrecondition if the snapshots were made
  // with another window, or by another kind of time. Without snapshots the store is empty and
  // nothing is late.
  static StatusOr<std::unique_ptr<IdStore>> Open(IdStoreOptions options, const Restore& restore);
  // Whether Open() would take the snapshot: FailedPrecondition if not, DataLoss if it is broken.
  static Status CheckFits(const StateSnapshot& snapshot, const IdStoreOptions& options);
  ~IdStore();
  IdStore(const IdStore&) = delete;
  IdStore& operator=(const IdStore&) = delete;

  // floor(time / (window / kReach)).
  int64_t SliceOf(Timestamp time) const;
  Timestamp StartOf(int64_t slice) const;

  // False: as many ids as may be wait to be written; `wake` will be called. An error is a write's
  // that failed.
  StatusOr<bool> Ready();
  // After a restore: puts the next ids that were read into the filter, if there are any; for about
  // a millisecond at most. An error is that of the reading.
  Status Load();
  // Judges the ids in order, as if each were given by itself. REQUIRES: spans of one length; slices
  // from SliceOf().
  Status Accept(std::span<const Fingerprint> ids, std::span<const int64_t> slices,
                std::span<Verdict> verdicts);

  int64_t floor() const { return floor_; }
  void RaiseFloor(int64_t floor);  // never lowers it

  // What was accepted so far, under the present floor. Copies no id. Abandoned snapshots are
  // contained in later ones.
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint);

  uint64_t size() const { return size_; }  // live ids
  int paged_slices() const { return std::popcount(paged_); }
  size_t unloaded_slices() const;
  size_t memory_bytes() const;

 private:
  struct Shared;  // with frozen generations and the I/O pool
  class FrozenIds;

  IdStore(IdStoreOptions options, std::shared_ptr<Shared> shared);
  Status FindInFiles(std::span<const Fingerprint> ids, std::span<const int64_t> slices);
  bool IsInLog(const Fingerprint& id, int64_t slice) const;
  bool AllLive() const { return filter_.size() == size_; }
  void CountIn(int64_t slice, uint64_t n);
  void TakeNotice();
  void SweepSome();
  void PageIfFull();
  Status TakeUp();
  void FindUnloaded();
  IdFilter::Slices OnlyInFiles() const { return paged_ | unloaded_; }
  size_t UnwrittenBytes() const;

  const IdStoreOptions options_;
  const Duration slice_width_;
  const std::shared_ptr<Shared> shared_;
  std::unique_ptr<IoSequence> spills_;
  std::unique_ptr<IdLoader> loader_;

  int64_t floor_ = kSliceMin;
  uint64_t size_ = 0;
  std::map<int64_t, uint64_t> live_;  // slice -> accepted ids
  IdFilter::Slices live_slices_ = 0;  // the keys of live_
  // What CountIn() touched last; null after a slice was freed.
  uint64_t* last_count_ = nullptr;
  int64_t last_slice_ = 0;

  IdFilter filter_;
  bool sweeping_ = false;
  IdFilter::Slices paged_ = 0;  // of these the filter knows only what is in the log
  IdFilter::Slices unloaded_ =
      0;  // of these it may lack what the files held at first; none is paged
  IdLog log_;
  uint64_t written_ = 0;  // log positions below it are in the files

  // Of the batch under way.
  struct Hit {
    uint32_t row = 0;
    bool duplicate = false;
  };
  std::vector<Hit> hits_;
};

}  // namespace weir
