#include "operators/sinks/file_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "operators/sinks/output_manifest.h"
#include "operators/sinks/part_name.h"
#include "operators/sinks/part_recovery.h"
#include "operators/sinks/part_writer.h"
#include "operators/sinks/sync_batch.h"

namespace weir {
namespace {

// Where there is no such folder, there will be nothing to sync in it.
Status OpenIfThere(SyncBatch& sync, const std::string& directory) {
  const Status opened = sync.Open(directory);
  return absl::IsNotFound(opened) ? absl::OkStatus() : opened;
}

}  // namespace

// One generation on its way to the disk.
class FileSink::FrozenParts final : public Frozen {
 public:
  FrozenParts(CheckpointId checkpoint, std::shared_ptr<SinkIo> io, std::vector<Piece> pieces,
              Blocks blocks, OpenParts to_end)
      : checkpoint_(checkpoint),
        io_(std::move(io)),
        pieces_(std::move(pieces)),
        blocks_(std::move(blocks)),
        to_end_(std::move(to_end)) {}

  StatusOr<StateSnapshot> Write(SnapshotWriter&) override {
    // Nobody else has these parts any more, so what a barrier has no time for is done here.
    EndAll(io_, blocks_, to_end_, pieces_);
    StateSnapshot snapshot;
    for (Piece& piece : pieces_) {
      WEIR_ASSIGN_OR_RETURN(Part part, piece.writer->Await(*piece.cut));
      part.checkpoint = checkpoint_;
      (piece.ended ? snapshot.handles : snapshot.open_handles).push_back(EncodeHandle(part));
      if (piece.written) io_->WillSync(part);
      piece = {};
    }
    WEIR_RETURN_IF_ERROR(io_->Sync());
    return snapshot;
  }

 private:
  const CheckpointId checkpoint_;
  const std::shared_ptr<SinkIo> io_;
  std::vector<Piece> pieces_;
  Blocks blocks_;
  OpenParts to_end_;
};

FileSink::FileSink(FileSinkOptions options, std::unique_ptr<LineFormatter> formatter)
    : LineWriter({.block_bytes = options.block_bytes,
                  .buffered_bytes_max = options.buffered_bytes_max,
                  .partitions_max = options.partitions_max,
                  .by_partition = options.by_partition,
                  .time_path = {}}),
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
  WEIR_ASSIGN_OR_RETURN(TimePath time_path, TimePath::Parse(options_.time_partition));
  set_time_path(std::move(time_path));
  if (parts_stay_open()) {
    if (options_.part_bytes == 0) options_.part_bytes = limits::kSinkPartBytesDefault;
    if (options_.part_time == 0) options_.part_time = limits::kSinkPartTimeDefault;
  }
  // A quarter of the memory for open blocks, a quarter for what is kept of each partition, half for
  // blocks on their way, which are held twice: as lines and compressed.
  options_.buffered_bytes_max = std::min(options_.buffered_bytes_max, context.memory_bytes / 4);
  set_buffered_bytes_max(options_.buffered_bytes_max);
  options_.partitions_max = std::min(
      options_.partitions_max,
      std::max(limits::kSinkPartitionsMin, context.memory_bytes / limits::kSinkPartitionBytes));
  set_partitions_max(options_.partitions_max);
  const size_t blocks = context.memory_bytes / 4 / std::max<size_t>(1, options_.block_bytes);
  options_.in_flight_blocks_max =
      std::clamp<size_t>(blocks, 1, std::max<size_t>(1, options_.in_flight_blocks_max));
  env_ = context.env;
  stage_ = context.stage;
  Part part;
  part.directory = options_.directory;
  part.job_id = context.job_id;
  part.stage = context.stage;
  part.subtask = static_cast<uint32_t>(context.subtask);
  part.attempt = context.attempt;
  part.compression = options_.encoding.compression;
  io_ = std::make_shared<SinkIo>(*env_, std::move(part), options_.encoding, options_.block_bytes,
                                 context.wake);
  return absl::OkStatus();
}

StatusOr<Progress> FileSink::Write(BatchPtr batch, Output& out) {
  WEIR_RETURN_IF_ERROR(io_->status());
  set_rejects(out);
  formatter_->Format(*batch, *this);
  return CheckIo();
}

StatusOr<Progress> FileSink::Resume(Output&) { return CheckIo(); }

StatusOr<Progress> FileSink::Drain(DrainReason reason, Output&) {
  if (reason == DrainReason::kEndOfInput) ending_ = true;
  return Progress::kDone;
}

StatusOr<Progress> FileSink::CheckIo() {
  const bool full = io_->FullElseWake(options_.in_flight_blocks_max * options_.block_bytes);
  WEIR_RETURN_IF_ERROR(io_->status());
  return full ? Progress::kBlocked : Progress::kDone;
}

FileSink::OpenPart& FileSink::PartOf(const LineBlock& block) {
  auto open = open_.find(KeyView{block.partition, block.span.first});
  if (open == open_.end()) {
    OpenPart part{.writer = std::make_shared<PartWriter>(io_, block)};
    if (parts_stay_open()) part.opened_micros = env_->clock.MonotonicMicros();
    open = open_.emplace(Key{block.partition, block.span.first}, std::move(part)).first;
  }
  open->second.last_used = ++used_;
  open->second.appended = true;
  return open->second;
}

// The file will be opened by the pool; another one that was used longer ago is closed.
void FileSink::OpenFile(OpenPart& part) {
  if (part.file_open) return;
  if (open_files_.size() >= std::max<size_t>(1, options_.open_parts_max)) {
    auto least =
        std::min_element(open_files_.begin(), open_files_.end(),
                         [](OpenPart* a, OpenPart* b) { return a->last_used < b->last_used; });
    (*least)->writer->CloseFile();
    (*least)->file_open = false;
    *least = open_files_.back();
    open_files_.pop_back();
  }
  part.file_open = true;
  open_files_.push_back(&part);
}

void FileSink::TakeLines(const LineBlock& block, Lines lines) {
  OpenPart* part = &PartOf(block);
  if (options_.part_bytes != 0 && part->writer->bytes_written() >= options_.part_bytes) {
    // It becomes durable with the next checkpoint, and has no more to do until then.
    if (part->file_open) std::erase(open_files_, part);
    std::shared_ptr<PartCut> cut = part->writer->Cut({}, PartWriter::After::kCloseFile);
    ended_.push_back({std::move(part->writer), std::move(cut)});
    open_.erase(open_.find(KeyView{block.partition, block.span.first}));
    part = &PartOf(block);
  }
  OpenFile(*part);
  part->writer->Append(std::move(lines));
}

bool FileSink::IsKnown(KeyView key) const { return open_.find(key) != open_.end(); }

std::string FileSink::SpareBuffer() { return io_->SpareBuffer(); }

void FileSink::EndAll(const std::shared_ptr<SinkIo>& io, Blocks& blocks, OpenParts& open,
                      std::vector<Piece>& pieces) {
  auto end = [&](std::shared_ptr<PartWriter> writer, Lines rest) {
    std::shared_ptr<PartCut> cut = writer->Cut(std::move(rest), PartWriter::After::kCloseFile);
    pieces.push_back({std::move(writer), std::move(cut)});
  };
  for (auto& [key, block] : blocks) {
    auto part = open.find(key);
    if (part != open.end()) {
      end(std::move(part->second.writer), std::move(block->lines));
      open.erase(part);
    } else if (!block->lines.bytes.empty()) {
      end(std::make_shared<PartWriter>(io, *block), std::move(block->lines));
    }
    block.reset();
  }
  for (auto& [key, part] : open) end(std::move(part.writer), {});
  blocks.clear();
  open.clear();
}

// Parts that were last used before this may not stay open.
uint64_t FileSink::LeastRecentUseKept() const {
  if (open_.size() <= options_.parts_across_max) return 0;
  std::vector<uint64_t> uses;
  uses.reserve(open_.size());
  for (const auto& [key, part] : open_) uses.push_back(part.last_used);
  auto first_kept = uses.end() - static_cast<ptrdiff_t>(options_.parts_across_max);
  if (first_kept == uses.end()) return used_ + 1;
  std::nth_element(uses.begin(), first_kept, uses.end());
  return *first_kept;
}

std::vector<FileSink::Piece> FileSink::CutAll(Blocks blocks) {
  for (auto& [key, block] : blocks) {
    if (!block->lines.bytes.empty()) PartOf(*block);
  }
  const uint64_t least_kept = LeastRecentUseKept();
  const int64_t now = env_->clock.MonotonicMicros();
  std::vector<Piece> pieces = std::move(ended_);
  ended_.clear();
  for (auto at = open_.begin(); at != open_.end();) {
    OpenPart& part = at->second;
    const bool written = part.appended;
    const bool end = part.last_used < least_kept ||
                     part.writer->bytes_written() >= options_.part_bytes ||
                     now - part.opened_micros >= options_.part_time;
    if (end || part.appended) {
      auto block = blocks.find(at->first);
      part.cut = part.writer->Cut(
          block == blocks.end() ? Lines() : std::move(block->second->lines),
          end || !part.file_open ? PartWriter::After::kCloseFile : PartWriter::After::kStayOpen);
      part.appended = false;
    }
    pieces.push_back({part.writer, part.cut, end, written});
    if (end && part.file_open) std::erase(open_files_, &part);
    at = end ? open_.erase(at) : std::next(at);
  }
  return pieces;
}

std::unique_ptr<Frozen> FileSink::Freeze(CheckpointId checkpoint) {
  WEIR_CHECK(checkpoint != 0);
  if (!has_blocks() && open_.empty() && ended_.empty()) return nullptr;
  if (parts_stay_open() && !ending_) {
    return std::make_unique<FrozenParts>(checkpoint, io_, CutAll(TakeOpenBlocks()), Blocks(),
                                         OpenParts());
  }
  ending_ = false;  // rows may follow a savepoint
  std::vector<Piece> ended = std::move(ended_);
  ended_.clear();
  open_files_.clear();
  return std::make_unique<FrozenParts>(checkpoint, io_, std::move(ended), TakeOpenBlocks(),
                                       std::exchange(open_, {}));
}

Status FileSink::Commit(std::string_view handle) {
  const std::string one(handle);
  return CommitAll({&one, 1});
}

Status FileSink::CommitAll(std::span<const std::string> handles) {
  std::vector<Part> parts;
  for (const std::string& handle : handles) {
    WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
    parts.push_back(std::move(part));
  }
  return CommitParts(parts);
}

Status FileSink::CommitParts(std::span<const Part> parts) {
  for (size_t i = 0; i < parts.size();) {
    // Where the job writes elsewhere now, its handles still lead to where it did.
    const std::string& directory = parts[i].directory;
    SyncBatch sync(env_->disk);
    WEIR_RETURN_IF_ERROR(OpenIfThere(sync, directory));
    for (; i < parts.size() && parts[i].directory == directory; ++i) {
      WEIR_RETURN_IF_ERROR(CommitPart(env_->disk, parts[i], !options_.can_revoke, sync));
    }
    WEIR_RETURN_IF_ERROR(sync.Run());
  }
  return absl::OkStatus();
}

Status FileSink::CheckRecovery(const Recovery& recovery) {
  for (const std::string& handle : recovery.open_handles) {
    WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
    WEIR_RETURN_IF_ERROR(CheckOpenPart(env_->disk, part, !options_.can_revoke));
  }
  return absl::OkStatus();
}

Status FileSink::Recover(const Recovery& recovery) {
  if (recovery.revoke && !options_.can_revoke) {
    return absl::UnimplementedError("files that others take away cannot be taken back");
  }
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> partitions,
                        ListPartitions(env_->disk, options_.directory, options_.by_partition));
  manifest_ = std::make_unique<OutputManifest>(env_->disk, options_.directory, recovery.job_id,
                                               stage_, io_->part.attempt);
  WEIR_RETURN_IF_ERROR(manifest_->Open());
  if (!options_.manifest) WEIR_RETURN_IF_ERROR(manifest_->Remove());
  if (recovery.revoke) WEIR_RETURN_IF_ERROR(RevokeAfter(recovery, partitions));
  WEIR_ASSIGN_OR_RETURN(std::vector<Part> ended, EndOpenParts(recovery));
  for (const std::string& partition : partitions) {
    Part own;
    own.directory = options_.directory;
    own.partition = partition;
    own.job_id = recovery.job_id;
    own.stage = stage_;
    own.attempt = io_->part.attempt;
    WEIR_RETURN_IF_ERROR(RemovePending(env_->disk, own));
  }
  return options_.manifest ? UpdateManifest(recovery, partitions, std::move(ended))
                           : absl::OkStatus();
}

// Commits them, cut back. All of them, also those of which an earlier call has done so.
StatusOr<std::vector<Part>> FileSink::EndOpenParts(const Recovery& recovery) {
  std::vector<Part> ended;
  std::vector<Part> to_commit, copies;
  SyncBatch sync(env_->disk);
  for (const std::string& handle : recovery.open_handles) {
    WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
    WEIR_RETURN_IF_ERROR(sync.Open(part.directory));
    Part copy = part;
    copy.subtask = io_->part.subtask;
    copy.attempt = io_->part.attempt;
    copy.sequence = io_->NextSequence();
    WEIR_ASSIGN_OR_RETURN(const bool cut,
                          CutOpenPart(env_->disk, part, copy, !options_.can_revoke, sync));
    if (cut) {
      to_commit.push_back(part);
      copies.push_back(std::move(copy));
    }
    ended.push_back(std::move(part));
  }
  // A name must not be there before what it names is as long as it should be.
  WEIR_RETURN_IF_ERROR(sync.Run());
  for (size_t i = 0; i < copies.size(); ++i) {
    WEIR_RETURN_IF_ERROR(env_->disk.Rename(copies[i].PendingPath(), to_commit[i].PendingPath()));
  }
  WEIR_RETURN_IF_ERROR(CommitParts(to_commit));
  return ended;
}

Status FileSink::RevokeAfter(const Recovery& recovery, const std::vector<std::string>& partitions) {
  std::vector<Part> later;
  for (const std::string& partition : partitions) {
    WEIR_ASSIGN_OR_RETURN(std::vector<Part> parts,
                          ListCommitted(env_->disk, options_.directory, partition));
    for (Part& part : parts) {
      if (part.job_id != recovery.job_id || part.stage != stage_) continue;
      if (part.checkpoint > recovery.restored) later.push_back(std::move(part));
    }
  }
  // First in the manifest: a reader may miss a file that is still there, but not the reverse.
  if (options_.manifest) WEIR_RETURN_IF_ERROR(manifest_->Revoke(recovery.restored, later));
  SyncBatch sync(env_->disk);
  if (!partitions.empty()) WEIR_RETURN_IF_ERROR(OpenIfThere(sync, options_.directory));
  for (const Part& part : later) WEIR_RETURN_IF_ERROR(RevokePart(env_->disk, part, sync));
  // Also where nothing is left to move: an earlier, interrupted call may have moved it.
  for (const std::string& partition : partitions) {
    WEIR_RETURN_IF_ERROR(AddRevokedFolders(env_->disk, options_.directory, partition, sync));
  }
  return sync.Run();
}

// What the restored checkpoint committed, and, where the manifest begins only now, all before it.
Status FileSink::UpdateManifest(const Recovery& recovery,
                                const std::vector<std::string>& partitions,
                                std::vector<Part> ended) {
  std::vector<Part> parts = std::move(ended);
  for (const std::string& handle : recovery.handles) {
    WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
    parts.push_back(std::move(part));
  }
  if (!manifest_->exists()) {
    std::set<std::string> known;
    for (const Part& part : parts) known.insert(part.CommittedPath());
    for (const std::string& partition : partitions) {
      WEIR_ASSIGN_OR_RETURN(std::vector<Part> committed,
                            ListCommitted(env_->disk, options_.directory, partition));
      for (Part& part : committed) {
        if (part.job_id != recovery.job_id || part.stage != stage_) continue;
        if (known.contains(part.CommittedPath())) continue;
        WEIR_ASSIGN_OR_RETURN(const FileInfo info, env_->disk.Stat(part.CommittedPath()));
        part.bytes = info.size;
        parts.push_back(std::move(part));
      }
    }
  }
  return manifest_->Add(recovery.restored, std::move(parts));
}

Status FileSink::Committed(CheckpointId checkpoint, std::span<const std::string> handles) {
  if (!options_.manifest || handles.empty()) return absl::OkStatus();
  WEIR_CHECK(manifest_ != nullptr);
  std::vector<Part> parts;
  for (const std::string& handle : handles) {
    WEIR_ASSIGN_OR_RETURN(Part part, DecodeHandle(handle));
    parts.push_back(std::move(part));
  }
  return manifest_->Add(checkpoint, std::move(parts));
}

void FileSink::Close() {
  // What no checkpoint has asked for goes with the attempt; Recover() removes its files.
  for (auto& [key, part] : open_) part.writer->Abandon();
  for (const Piece& piece : ended_) piece.writer->Abandon();
  open_files_.clear();
  open_.clear();
  ended_.clear();
  TakeOpenBlocks();
}

std::string ToText(const FileSinkOptions& options) {
  std::string text;
  auto add = [&](bool differs, std::string_view name, const std::string& value) {
    if (differs) text += fmt::format("{}{}={}", text.empty() ? "" : " ", name, value);
  };
  const PartCompression compression = options.encoding.compression;
  add(compression != PartCompression::kZstd, "compression", std::string(ToString(compression)));
  add(!options.time_partition.empty(), "partition", options.time_partition);
  add(options.part_bytes != 0, "part_bytes", FormatSize(options.part_bytes));
  add(options.part_time != 0, "part_time", FormatDuration(options.part_time));
  add(options.manifest, "manifest", "true");
  return text;
}

}  // namespace weir
