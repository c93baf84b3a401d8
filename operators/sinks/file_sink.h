// FileSink: rows as lines in zstd files, each line exactly once, in one folder per partition.
//
// A subtask writes one part file per partition and checkpoint interval (more where many partitions
// are open at once), under `.pending/`. A checkpoint makes the parts durable and keeps a handle of
// each; once it is complete, each part is renamed into its partition's folder, where a reader finds
// only whole, committed files. part_name.h has the names. Parts that are taken back move to
// `.revoked/`, and nothing committed is ever deleted.
//
// Only a job's own files are touched, known by the job id and stage in their names. Two jobs may
// not share a folder: CheckFileSink() tells before the job starts.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/environment.h"
#include "core/limits.h"
#include "operators/sink.h"
#include "operators/sinks/line_formatter.h"

namespace weir {

class PartWriter;
class SinkIo;

struct FileSinkOptions {
  // Handles keep it as it stands here, so a job makes it absolute if it can be restored elsewhere.
  std::string directory;
  // True: one folder per partition label inside `directory`; rows whose label is none
  // (partition_label.h) are rejected. False: all files in `directory` itself.
  bool by_partition = true;
  // False: another program takes the files away as they appear, so they cannot be taken back. A job
  // then goes back behind a checkpoint only with --accept-duplicates, and a file that a checkpoint
  // has written and that is neither committed nor pending counts as taken away.
  bool can_revoke = true;
  size_t block_bytes = limits::kSinkBlockBytes;
  size_t buffered_bytes_max = limits::kSinkBufferedBytesMax;
  size_t in_flight_blocks_max = limits::kSinkInFlightBlocksMax;
  size_t partitions_max = limits::kSinkPartitionsMax;
  size_t open_parts_max = limits::kSinkOpenPartsMax;
  int zstd_level = 1;
  bool checksum = true;  // of each frame
};

// Calls as operators/sink.h has them.
class FileSink final : public Sink, private LineWriter {
 public:
  FileSink(FileSinkOptions options, std::unique_ptr<LineFormatter> formatter);
  ~FileSink() override;

  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  // FailedPrecondition if the part was committed and then revoked; OutOfRange if it is nowhere or
  // shorter than it was, so that its checkpoint is of no use.
  Status Commit(std::string_view handle) override;
  // Unimplemented if it is to revoke and options.can_revoke is false.
  Status Recover(const Recovery& recovery) override;
  void Close() override;

 private:
  class FrozenParts;
  struct OpenPart {
    std::shared_ptr<PartWriter> writer;
    uint64_t last_used = 0;
  };
  // What there is between two checkpoints, beside the open blocks.
  struct Generation {
    std::unordered_map<std::string, OpenPart> open;  // by partition
    std::vector<std::shared_ptr<PartWriter>> sealed;
  };

  void TakeBlock(const std::string& partition, std::string bytes) override;
  std::string SpareBuffer() override;
  void SealLeastRecentlyUsed();
  StatusOr<Progress> CheckIo();

  FileSinkOptions options_;  // Open() adapts them to the memory there is
  const std::unique_ptr<LineFormatter> formatter_;
  // Set by Open(), then constant.
  Environment* env_ = nullptr;
  std::string stage_;
  std::shared_ptr<SinkIo> io_;

  Generation generation_;
  uint64_t used_ = 0;
  // Numbers the parts of this instance; shared with what is frozen.
  struct PartNamer;
  std::shared_ptr<PartNamer> namer_;
};

// What must hold before a job starts: the folder exists or can be made, and can be written to
// (else the disk's error, with the path); no committed part of another job lies in it
// (FailedPrecondition, which names that job, the folder and the ways out).
Status CheckFileSink(const FileSinkOptions& options, Environment& env, const std::string& job_id);

// The highest checkpoint of which a committed part of the job's stage lies in the folder; 0: none.
StatusOr<CheckpointId> LastCommittedCheckpoint(const FileSinkOptions& options, Environment& env,
                                               std::string_view job_id, std::string_view stage);

}  // namespace weir
