// Manifest: everything a checkpoint consists of. Its file, manifest.pb, exists exactly when the
// checkpoint is complete; it holds the manifest's bytes and a checksum of them.
//
// A plain value. Parsing trusts nothing: DataLoss names the file that is torn or changed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/signals.h"
#include "core/time.h"
#include "state/snapshot.h"
#include "state/stage_counters.h"

namespace weir {

namespace state {
class Resources;  // weir/state/manifest.proto
}

std::string_view ToString(BarrierKind kind);

struct SubtaskState {
  StateSnapshot operator_state;  // a sink's handles are in here
  StateSnapshot keyed_state;

  // As a task sends it to the coordinator.
  std::string Serialize() const;
  static StatusOr<SubtaskState> Parse(std::string_view bytes);
};

struct StageState {
  std::string name;
  int parallelism = 1;
  std::vector<SubtaskState> subtasks;  // one for each, in order
  StageCounters counters;              // totals over the whole life of the job
  // What its state is kept by. None: nothing, or an earlier version of Weir has written it.
  std::optional<Schema> key = std::nullopt;
  // Where a sink commits to. Empty: it is none, or an earlier version of Weir has written it.
  std::string place;
};

// The content of the reloadable resources of a job's stages, all of one version.
struct ResourceVersion {
  CheckpointId version = 0;  // the checkpoint at whose barrier it took effect; 0: as started
  std::map<std::string, std::string> contents;  // by stage
  bool operator==(const ResourceVersion&) const = default;

  void Write(state::Resources& out) const;
  static ResourceVersion Read(const state::Resources& in);
};

struct Manifest {
  // 2: it lists open handles, without which output would be lost. Others are written as 1, which
  // earlier versions of Weir read as well.
  static constexpr uint32_t kVersion = 2;

  std::string job_id;
  std::string job_name;
  CheckpointId checkpoint = 0;
  BarrierKind kind = BarrierKind::kCheckpoint;
  uint32_t attempt = 0;
  Timestamp created = 0;
  std::string graph_fingerprint;
  std::vector<StageState> stages;
  ResourceVersion resources;  // that rows behind the checkpoint are handled by

  const StageState* FindStage(std::string_view name) const;  // null if there is none
  // The content names of all files, and each file once.
  std::set<std::string> Contents() const;
  std::vector<StateFile> Files() const;

  // The bytes of manifest.pb.
  std::string Serialize() const;
  // `where` names the file in errors: DataLoss for bytes that are not a whole manifest,
  // FailedPrecondition for one of a later version of Weir.
  static StatusOr<Manifest> Parse(std::string_view bytes, std::string_view where);
};

// The snapshots of a stage that a new instance with these key groups restores from: of its operator
// and of its keyed state. A stage whose parallelism did not change gets its own alone.
std::vector<RestoredSnapshot> OperatorSnapshotsFor(const StageState& stage,
                                                   const KeyGroupRange& key_groups);
std::vector<RestoredSnapshot> KeyedSnapshotsFor(const StageState& stage,
                                                const KeyGroupRange& key_groups);

}  // namespace weir
