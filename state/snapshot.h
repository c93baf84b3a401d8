// What an operator hands to a checkpoint, and what it gets back after a restart.
//
// At a barrier an operator freezes: it gives away an object that owns an immutable generation of
// its state. That object's Write() runs on the I/O pool and produces a StateSnapshot: files put
// into the checkpoint store, a few bytes in line, and, for sinks, handles of what is to be
// committed. After a restart each new instance gets the snapshots of all earlier instances whose
// key groups overlap its own, and takes from them what is its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/key_group.h"
#include "core/schema.h"
#include "core/status.h"

namespace weir {

using CheckpointId = uint64_t;

// One immutable file of a checkpoint.
struct StateFile {
  std::string
      name;  // the operator's own name for it, unique within its snapshot ("000012.sst", "delta-7")
  std::string content;  // the store's name for it: a hash of its bytes
  uint64_t bytes = 0;
};

// A named part of an operator's state and what its values look like; compared before a restore.
struct StateSchema {
  std::string state;
  Schema schema;
};

struct StateSnapshot {
  std::string
      format;  // names the writer and version of what follows ("rebatch/1"); empty: no state
  std::string inline_bytes;  // small; lives in the manifest
  std::vector<StateFile> files;
  std::vector<StateSchema> schemas;
  std::vector<std::string> handles;  // of a sink, to be committed once the checkpoint is complete
  // Of a sink too: pieces that are written on behind the checkpoint, as far as it knows them. They
  // matter only where it is restored (Sink::Recover).
  std::vector<std::string> open_handles;
};

// Where Write() puts files. Thread-safe.
class SnapshotWriter {
 public:
  virtual ~SnapshotWriter() = default;
  // Stores a file that will never change again. Cheap when the last completed checkpoint holds the
  // same bytes; the path's content is hashed once per path, size and modification time.
  virtual StatusOr<StateFile> AddFile(const std::string& local_path, std::string name) = 0;
  virtual StatusOr<StateFile> AddBytes(std::string_view bytes, std::string name) = 0;
};

// An immutable generation of one operator's state. Owned by the I/O pool until Write() returns;
// destroyed there.
class Frozen {
 public:
  virtual ~Frozen() = default;
  // Called once, on the I/O pool. Blocks as long as it must.
  virtual StatusOr<StateSnapshot> Write(SnapshotWriter& writer) = 0;
};

// Frozen for state that is small enough to be handed over as it is.
class FrozenSnapshot final : public Frozen {
 public:
  explicit FrozenSnapshot(StateSnapshot snapshot) : snapshot_(std::move(snapshot)) {}
  StatusOr<StateSnapshot> Write(SnapshotWriter&) override { return std::move(snapshot_); }

 private:
  StateSnapshot snapshot_;
};

// The snapshot of one earlier instance.
struct RestoredSnapshot {
  int subtask = 0;      // the earlier instance ...
  int parallelism = 1;  // ... of so many
  StateSnapshot snapshot;

  KeyGroupRange key_groups() const { return KeyGroupsOf(subtask, parallelism); }
};

// Gives back what a SnapshotWriter stored. Every byte is verified against its content name;
// DataLoss names the file that does not match. Thread-safe.
class SnapshotReader {
 public:
  virtual ~SnapshotReader() = default;
  virtual StatusOr<std::string> ReadBytes(const StateFile& file) = 0;
  // Makes the file appear at local_path, which does not exist yet; a hard link where that is
  // possible, so do not write to it.
  virtual Status Fetch(const StateFile& file, const std::string& local_path) = 0;
};

// Everything an instance restores from. Empty `snapshots`: a fresh start.
struct Restore {
  std::vector<RestoredSnapshot> snapshots;
  SnapshotReader* reader = nullptr;  // set if `snapshots` is not empty
};

}  // namespace weir
