// Part: one file of a file sink, its names on the disk and its handle in checkpoints.
//
//   <directory>/<partition>/.pending/part-<job>.<stage>.s<subtask>.a<attempt>.<n>.jsonl.zst.pending
//   <directory>/<partition>/part-<job>.<stage>.s<subtask>.a<attempt>.c<checkpoint>.<n>.jsonl.zst
//   <directory>/<partition>/.revoked/<the committed name>
//
// Names of jobs and stages hold no '.', so a name can be read in one way only. A sink knows its own
// files, and what to revoke, from these names alone.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

struct Part {
  std::string directory;  // the sink's
  std::string partition;  // a label, or "": the directory itself
  std::string job_id;
  std::string stage;
  uint32_t subtask = 0;
  uint32_t attempt = 0;
  uint64_t sequence = 0;    // unique within subtask and attempt
  uint64_t checkpoint = 0;  // 0: not frozen yet
  uint64_t bytes = 0;       // of the file, once it is complete

  BOOST_DESCRIBE_CLASS(Part, (),
                       (directory, partition, job_id, stage, subtask, attempt, sequence, checkpoint,
                        bytes),
                       (), ())

  std::string PendingName() const;
  std::string CommittedName() const;

  std::string Folder() const;
  std::string PendingFolder() const;
  std::string RevokedFolder() const;
  std::string PendingPath() const { return PendingFolder() + "/" + PendingName(); }
  std::string CommittedPath() const { return Folder() + "/" + CommittedName(); }
  std::string RevokedPath() const { return RevokedFolder() + "/" + CommittedName(); }
};

// Letters, digits, '_' and '-', at least one.
bool IsPartNameWord(std::string_view word);

// The Part of a name that PendingName() or CommittedName() makes; directory, partition and bytes
// are not in it. nullopt for any other name.
std::optional<Part> ParsePendingName(std::string_view name);
std::optional<Part> ParseCommittedName(std::string_view name);

std::string EncodeHandle(const Part& part);
// DataLoss if the bytes are no handle of a file sink that this version of Weir reads.
StatusOr<Part> DecodeHandle(std::string_view handle);

}  // namespace weir
