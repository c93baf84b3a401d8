#include "operators/sinks/file_sink.h"

#include <fmt/format.h>

#include <atomic>
#include <set>

#include "operators/sinks/part_name.h"
#include "operators/sinks/part_recovery.h"
#include "operators/sinks/part_writer.h"

namespace weir {

struct FileSink::PartNamer {
  std::string directory;
  std::string job_id;
  std::string stage;
  uint32_t subtask = 0;
  uint32_t attempt = 0;
  std::atomic<uint64_t> next_sequence = 0;

  Part Next(const std::string& partition) {
    Part part;
    part.directory = directory;
    part.partition = partition;
    part.job_id = job_id;
    part.stage = stage;
    part.subtask = subtask;
    part.attempt = attempt;
    part.sequence = next_sequence++;
    return part;
  }
};

// One generation on its way to the disk.
class FileSink::FrozenParts final : public Frozen {
 public:
  FrozenParts(CheckpointId checkpoint, std::shared_ptr<SinkIo> io, std::shared_ptr<PartNamer> namer,
              LineWriter::Blocks blocks, Generation generation)
      : checkpoint_(checkpoint),
        io_(std::move(io)),
        namer_(std::move(namer)),
        blocks_(std::move(blocks)),
        generation_(std::move(generation)) {}

  StatusOr<StateSnapshot> Write(SnapshotWriter&) override {
    for (auto& [partition, block] : blocks_) {
      auto open = generation_.open.find(partition);
      if (open != generation_.open.end()) {
        std::shared_ptr<PartWriter> writer = std::move(open->second.writer);
        generation_.open.erase(open);
        WEIR_RETURN_IF_ERROR(Finish(*writer, std::move(block->bytes)));
      } else if (!block->bytes.empty()) {
        auto writer = std::make_shared<PartWriter>(io_, namer_->Next(partition));
        WEIR_RETURN_IF_ERROR(Finish(*writer, std::move(block->bytes)));
      }
    }
    WEIR_CHECK(generation_.open.empty());
    for (const auto& writer : generation_.sealed) WEIR_RETURN_IF_ERROR(Finish(*writer, {}));
    for (const std::string& folder : pending_folders_) {
      WEIR_RETURN_IF_ERROR(io_->env.disk.SyncDirectory(folder));
    }
    return std::move(snapshot_);
  }

 private:
  Status Finish(PartWriter& writer, std::string rest) {
    WEIR_ASSIGN_OR_RETURN(Part part, writer.Finish(std::move(rest)));
    part.checkpoint = checkpoint_;
    snapshot_.handles.push_back(EncodeHandle(part));
    pending_folders_.insert(part.PendingFolder());
    return absl::OkStatus();
  }

  const CheckpointId checkpoint_;
  const std::shared_ptr<SinkIo> io_;
  const std::shared_ptr<PartNamer> namer_;
  LineWriter::Blocks blocks_;
  Generation generation_;
  StateSnapshot snapshot_;
  std::set<std::string> pending_folders_;
};

FileSink::FileSink(FileSinkOptions options, std::unique_ptr<LineFormatter> formatter)
    : LineWriter({.block_bytes = options.block_bytes,
                  .buffered_bytes_max = options.buffered_bytes_max,
                  .partitions_max = options.partitions_max,
                  .by_partition = options.by_partition}),
      options_(std::move(options)),
      formatter_(std::move(formatter)) {}

FileSink::~FileSink() { Close(); }

Status FileSink::Open(OperatorContext& context) {
  if (options_.directory.empty()) {
    return absl::InvalidArgumentError("the file sink has no directory");
  }
  if (!IsPartNameWord(context.job_id) || !IsPartNameWord(context.stage)) {
    return absl::InvalidArgumentError(fmt::format(
        "job id '{}' and stage '{}' become parts of file names, so they must consist of letters, "
        "digits, '_' and '-'",
        context.job_id, context.stage));
  }
  // Half of the memory for open blocks, half for those on their way, which are held twice: as
  // lines and compressed.
  options_.buffered_bytes_max = std::min(options_.buffered_bytes_max, context.memory_bytes / 2);
  set_buffered_bytes_max(options_.buffered_bytes_max);
  const size_t blocks = context.memory_bytes / 4 / std::max<size_t>(1, options_.block_bytes);
  options_.in_flight_blocks_max =
      std::clamp<size_t>(blocks, 1, std::max<size_t>(1, options_.in_flight_blocks_max));
  env_ = context.env;
  stage_ = context.stage;
  namer_ = std::make_shared<PartNamer>();
  namer_->directory = options_.directory;
  namer_->job_id = context.job_id;
  namer_->stage = context.stage;
  namer_->subtask = static_cast<uint32_t>(context.subtask);
  namer_->attempt = context.attempt;
  io_ = std::make_shared<SinkIo>(*env_, options_.block_bytes, options_.zstd_level,
                                 options_.checksum, context.wake);
  return absl::OkStatus();
}

StatusOr<Progress> FileSink::Write(BatchPtr batch, Output& out) {
  WEIR_RETURN_IF_ERROR(io_->status());
  set_rejects(out);
  formatter_->Format(*batch, *this);
  return CheckIo();
}

StatusOr<Progress> FileSink::Resume(Output&) { return CheckIo(); }

StatusOr<Progress> FileSink::CheckIo() {
  const bool full = io_->FullElseWake(options_.in_flight_blocks_max * options_.block_bytes);
  WEIR_RETURN_IF_ERROR(io_->status());
  return full ? Progress::kBlocked : Progress::kDone;
}

void FileSink::TakeBlock(const std::string& partition, std::string bytes) {
  auto open = generation_.open.find(partition);
  if (open == generation_.open.end()) {
    if (generation_.open.size() >= options_.open_parts_max) SealLeastRecentlyUsed();
    auto writer = std::make_shared<PartWriter>(io_, namer_->Next(partition));
    open = generation_.open.emplace(partition, OpenPart{std::move(writer)}).first;
  }
  open->second.last_used = ++used_;
  open->second.writer->Append(std::move(bytes));
}

std::string FileSink::SpareBuffer() { return io_->SpareBuffer(); }

void FileSink::SealLeastRecentlyUsed() {
  auto least = generation_.open.begin();
  for (auto it = generation_.open.begin(); it != generation_.open.end(); ++it) {
    if (it->second.last_used < least->second.last_used) least = it;
  }
  least->second.writer->Seal();
  generation_.sealed.push_back(std::move(least->second.writer));
  generation_.open.erase(least);
}

std::unique_ptr<Frozen> FileSink::Freeze(CheckpointId checkpoint) {
  WEIR_CHECK(checkpoint != 0);
  if (!has_blocks()) return nullptr;
  Generation generation;
  std::swap(generation, generation_);
  return std::make_unique<FrozenParts>(checkpoint, io_, namer_, TakeOpenBlocks(),
                                       std::move(generation));
}

Status FileSink::Commit(std::string_view handle) {
  WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
  return CommitPart(env_->disk, part, !options_.can_revoke);
}

Status FileSink::Recover(const Recovery& recovery) {
  if (recovery.revoke && !options_.can_revoke) {
    return absl::UnimplementedError("files that others take away cannot be taken back");
  }
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> partitions,
                        ListPartitions(env_->disk, options_.directory, options_.by_partition));
  for (const std::string& partition : partitions) {
    Part own;
    own.directory = options_.directory;
    own.partition = partition;
    own.job_id = recovery.job_id;
    own.stage = stage_;
    WEIR_RETURN_IF_ERROR(RemovePending(env_->disk, own));
    if (recovery.revoke) WEIR_RETURN_IF_ERROR(RevokeAfter(env_->disk, own, recovery.restored));
  }
  return absl::OkStatus();
}

void FileSink::Close() {
  // What no checkpoint has asked for goes with the attempt; Recover() removes its files.
  for (auto& [partition, part] : generation_.open) part.writer->Abandon();
  for (const auto& writer : generation_.sealed) writer->Abandon();
  generation_ = {};
  TakeOpenBlocks();
}

}  // namespace weir
