// FileSink: rows as lines in compressed files, each line exactly once, in one folder per partition
// and, if asked for, per span of event time.
//
// A subtask writes one part file per folder, under `.pending/`. A checkpoint makes what is written
// durable. A part that has ended gets a handle there; once the checkpoint is complete the part is
// renamed into its folder, where a reader finds only whole, committed files. By default every part
// ends at the next checkpoint. With part_bytes or part_time parts stay open across checkpoints
// until they are large or old enough; the checkpoint then lists them with their length, and a
// restore commits exactly that much of them (operators/sink.h). part_name.h has the names. Parts
// that are taken back move to `.revoked/`, and nothing committed is ever deleted.
//
// Only a job's own files are touched, known by the job id and stage in their names. Two jobs may
// not share a folder: CheckFileSink() tells before the job starts. docs/file-sink.md is for users.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/environment.h"
#include "core/limits.h"
#include "operators/sink.h"
#include "operators/sinks/compression.h"
#include "operators/sinks/line_formatter.h"

namespace weir {

class OutputManifest;
class PartWriter;
class SinkIo;
struct Part;
struct PartCut;

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
  // Folders by event time below each partition, by a pattern (time_path.h): "hourly", "daily",
  // "monthly", or folders such as "date=%Y-%m-%d/hour=%H". "": none.
  std::string time_partition;
  BlockEncoding encoding;
  // A part ends at the first checkpoint at which it has this many bytes (as they are in the file)
  // or is this old (by the monotonic clock, from when its first lines left memory: at the first
  // checkpoint behind them at the latest), and earlier where it reaches part_bytes in between. If
  // only one is set, the other is limits::kSinkPart..Default. Both 0: every part ends at the next
  // checkpoint.
  uint64_t part_bytes = 0;
  Duration part_time = 0;
  // Keeps a list of what is committed, for readers (output_manifest.h).
  bool manifest = false;
  size_t block_bytes = limits::kSinkBlockBytes;
  size_t buffered_bytes_max = limits::kSinkBufferedBytesMax;
  size_t in_flight_blocks_max = limits::kSinkInFlightBlocksMax;
  size_t partitions_max = limits::kSinkPartitionsMax;
  size_t open_parts_max = limits::kSinkOpenPartsMax;
  size_t parts_across_max = limits::kSinkPartsAcrossMax;
};

// Calls as operators/sink.h has them.
class FileSink final : public Sink, private LineWriter {
 public:
  FileSink(FileSinkOptions options, std::unique_ptr<LineFormatter> formatter);
  ~FileSink() override;

  Status Open(OperatorContext& context) override;
  StatusOr<Progress> Write(BatchPtr batch, Output& out) override;
  StatusOr<Progress> Resume(Output& out) override;
  StatusOr<Progress> Drain(DrainReason reason, Output& out) override;
  void EndPieces() override { ending_ = true; }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override;
  // FailedPrecondition if the part was committed and then revoked; OutOfRange if it is nowhere or
  // shorter than it was, so that its checkpoint is of no use.
  Status Commit(std::string_view handle) override;
  Status CommitAll(std::span<const std::string> handles) override;
  // OutOfRange if bytes of an open part that the checkpoint knows are nowhere.
  Status CheckRecovery(const Recovery& recovery) override;
  // Unimplemented if it is to revoke and options.can_revoke is false.
  Status Recover(const Recovery& recovery) override;
  Status Committed(CheckpointId checkpoint, std::span<const std::string> handles) override;
  void Close() override;

 private:
  class FrozenParts;
  struct OpenPart {
    std::shared_ptr<PartWriter> writer;
    std::shared_ptr<PartCut> cut;  // of the last checkpoint; null: there was none
    uint64_t last_used = 0;
    int64_t opened_micros = 0;  // monotonic
    bool file_open = false;
    bool appended = false;  // since the last cut
  };
  using OpenParts = std::unordered_map<Key, OpenPart, KeyHash, KeyEqual>;
  // A part and how far it goes at a checkpoint.
  struct Piece {
    std::shared_ptr<PartWriter> writer;
    std::shared_ptr<PartCut> cut;
    bool ended = true;
    bool written = true;  // since the last checkpoint
  };

  void TakeLines(const LineBlock& block, Lines lines) override;
  bool IsKnown(KeyView key) const override;
  std::string SpareBuffer() override;

  bool parts_stay_open() const { return options_.part_bytes != 0 || options_.part_time != 0; }
  OpenPart& PartOf(const LineBlock& block);
  void OpenFile(OpenPart& part);
  // Ends all parts, with what is left in the blocks.
  static void EndAll(const std::shared_ptr<SinkIo>& io, Blocks& blocks, OpenParts& open,
                     std::vector<Piece>& pieces);
  // Cuts those that stay open, ends the others.
  std::vector<Piece> CutAll(Blocks blocks);
  uint64_t LeastRecentUseKept() const;
  StatusOr<Progress> CheckIo();
  Status CommitParts(std::span<const Part> parts);
  StatusOr<std::vector<Part>> EndOpenParts(const Recovery& recovery);
  Status RevokeAfter(const Recovery& recovery, const std::vector<std::string>& partitions);
  Status UpdateManifest(const Recovery& recovery, const std::vector<std::string>& partitions,
                        std::vector<Part> ended);

  FileSinkOptions options_;  // Open() adapts them to the memory there is
  const std::unique_ptr<LineFormatter> formatter_;
  // Set by Open(), then constant.
  Environment* env_ = nullptr;
  std::string stage_;
  std::shared_ptr<SinkIo> io_;

  // What there is between two checkpoints, beside the open blocks.
  OpenParts open_;
  std::vector<OpenPart*> open_files_;  // of open_, as far as the task knows
  std::vector<Piece> ended_;           // since the last checkpoint
  uint64_t used_ = 0;
  bool ending_ = false;

  // Used on the I/O pool, by subtask 0: Recover(), then Committed().
  std::unique_ptr<OutputManifest> manifest_;
};

// "compression=gzip partition=hourly ...": what differs from the defaults and shapes the output,
// for plans and fingerprints.
std::string ToText(const FileSinkOptions& options);

// What must hold before a job starts: the folder exists or can be made, and can be written to
// (else the disk's error, with the path); no committed part of another job lies in it
// (FailedPrecondition, which names that job, the folder and the ways out).
Status CheckFileSink(const FileSinkOptions& options, Environment& env, const std::string& job_id);

// The highest checkpoint of which a committed part of the job's stage lies in the folder; 0: none.
StatusOr<CheckpointId> LastCommittedCheckpoint(const FileSinkOptions& options, Environment& env,
                                               std::string_view job_id, std::string_view stage);

}  // namespace weir
