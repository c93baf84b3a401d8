// Part: one file of a file sink, its names on the disk and its handle in checkpoints.
//
//   .pending/part-<job>.<stage>.s<subtask>.a<attempt>.<n>.jsonl.zst.pending
//   <time>/part-<job>.<stage>.s<subtask>.a<attempt>.c<checkpoint>.<n>.jsonl.zst
//   .revoked/<time>/<the committed name>
//
// all of it below <directory>/<partition>.
//
// Partition and time (time_path.h) may both be absent; the ending is the compression's. Names of
// jobs and stages hold no '.', so a name can be read in one way only. A sink knows its own files,
// and what to revoke, from these names alone. Subtask, attempt and n name a part for ever: whatever
// carries them was written by one attempt, and one of two such files is the beginning of the other.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/status.h"
#include "core/time.h"
#include "operators/sinks/compression.h"

namespace weir {

struct Part {
  std::string directory;  // the sink's
  std::string partition;  // a label, or "": the directory itself
  std::string time_path;  // folders below it, or ""
  std::string job_id;
  std::string stage;
  uint32_t subtask = 0;
  uint32_t attempt = 0;
  uint64_t sequence = 0;    // unique within subtask and attempt
  uint64_t checkpoint = 0;  // 0: not frozen yet
  PartCompression compression = PartCompression::kZstd;
  // As of the checkpoint.
  uint64_t bytes = 0;                  // of the file
  uint64_t rows = 0;                   // 0: not known, in handles of earlier versions
  Timestamp min_time = kMaxTimestamp;  // event times of its rows
  Timestamp max_time = kMinTimestamp;

  BOOST_DESCRIBE_CLASS(Part, (),
                       (directory, partition, time_path, job_id, stage, subtask, attempt, sequence,
                        checkpoint, compression, bytes, rows, min_time, max_time),
                       (), ())

  std::string PendingName() const;
  std::string CommittedName() const;

  std::string PartitionFolder() const;
  std::string Folder() const;
  std::string PendingFolder() const;
  std::string RevokedFolder() const;
  std::string PendingPath() const { return PendingFolder() + "/" + PendingName(); }
  std::string CommittedPath() const { return Folder() + "/" + CommittedName(); }
  std::string RevokedPath() const { return RevokedFolder() + "/" + CommittedName(); }
};

// Letters, digits, '_' and '-', at least one.
bool IsPartNameWord(std::string_view word);

// The Part of a name that PendingName() or CommittedName() makes; where it is and what is in it are
// not in the name. nullopt for any other name.
std::optional<Part> ParsePendingName(std::string_view name);
std::optional<Part> ParseCommittedName(std::string_view name);

// True if both names are of one part, at whatever checkpoint.
bool IsSamePart(const Part& a, const Part& b);

std::string EncodeHandle(const Part& part);
// DataLoss if the bytes are no handle of a file sink that this version of Weir reads.
StatusOr<Part> DecodeHandle(std::string_view handle);

}  // namespace weir
