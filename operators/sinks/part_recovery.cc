#include "operators/sinks/part_recovery.h"

#include <fmt/format.h>

#include "operators/partition_label.h"
#include "operators/sinks/file_sink.h"

namespace weir {
namespace {

// The names in a folder; none if it does not exist.
StatusOr<std::vector<std::string>> ListIfThere(Disk& disk, const std::string& folder) {
  StatusOr<std::vector<std::string>> names = disk.List(folder);
  if (absl::IsNotFound(names.status())) return std::vector<std::string>();
  return names;
}

StatusOr<bool> IsThere(Disk& disk, const std::string& path) {
  const StatusOr<FileInfo> info = disk.Stat(path);
  if (info.ok()) return true;
  if (absl::IsNotFound(info.status())) return false;
  return info.status();
}

bool Owns(const Part& own, const std::optional<Part>& part) {
  return part && part->job_id == own.job_id && part->stage == own.stage;
}

// Neither committed nor pending: says why.
Status ExplainMissing(Disk& disk, const Part& part) {
  WEIR_ASSIGN_OR_RETURN(const bool revoked, IsThere(disk, part.RevokedPath()));
  if (revoked) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint {} committed {}, which was revoked since then and now is {}; to go "
                    "back to that checkpoint, move the file back",
                    part.checkpoint, part.CommittedPath(), part.RevokedPath()));
  }
  return absl::OutOfRangeError(
      fmt::format("output of checkpoint {} is missing: neither {} nor {} exists; if the file was "
                  "moved away after its commit, move it back; if it is lost, --fresh starts over, "
                  "and so does --from with an older checkpoint whose output is whole",
                  part.checkpoint, part.CommittedPath(), part.PendingPath()));
}

// A path in .revoked/ that is not taken.
StatusOr<std::string> FreeRevokedPath(Disk& disk, const Part& part) {
  std::string path = part.RevokedPath();
  for (int n = 2;; ++n) {
    WEIR_ASSIGN_OR_RETURN(const bool taken, IsThere(disk, path));
    if (!taken) return path;
    path = fmt::format("{}.{}", part.RevokedPath(), n);
  }
}

}  // namespace

Status CommitPart(Disk& disk, const Part& part, bool may_be_taken_away) {
  const std::string committed = part.CommittedPath();
  const std::string pending = part.PendingPath();
  WEIR_ASSIGN_OR_RETURN(bool done, IsThere(disk, committed));
  if (!done) {
    const StatusOr<FileInfo> info = disk.Stat(pending);
    if (info.ok() && info->size != part.bytes) {
      return absl::OutOfRangeError(
          fmt::format("{} has {} bytes, but checkpoint {} wrote {}; put the whole file back, or go "
                      "back behind that checkpoint: --from with an older one, or --fresh",
                      pending, info->size, part.checkpoint, part.bytes));
    }
    Status status = info.ok() ? disk.Rename(pending, committed) : info.status();
    if (absl::IsNotFound(status)) {
      // Another subtask or a call before this one may have been faster.
      WEIR_ASSIGN_OR_RETURN(done, IsThere(disk, committed));
      if (!done && may_be_taken_away) {
        // It was pending when the checkpoint was complete, and only a commit ends that. Without the
        // folder nothing can be told.
        WEIR_ASSIGN_OR_RETURN(done, IsThere(disk, part.PendingFolder()));
      }
      if (!done) return ExplainMissing(disk, part);
      status = absl::OkStatus();
    }
    WEIR_RETURN_IF_ERROR(status);
  }
  // Also where the name was there: whoever gave it may have died before it was durable.
  WEIR_RETURN_IF_ERROR(disk.SyncDirectory(part.Folder()));
  const Status synced = disk.SyncDirectory(part.PendingFolder());
  return absl::IsNotFound(synced) ? absl::OkStatus() : synced;
}

StatusOr<std::vector<std::string>> ListPartitions(Disk& disk, const std::string& directory,
                                                  bool by_partition) {
  if (!by_partition) return std::vector<std::string>{""};
  WEIR_ASSIGN_OR_RETURN(std::vector<std::string> names, ListIfThere(disk, directory));
  std::vector<std::string> partitions;
  for (std::string& name : names) {
    if (!IsPartitionLabel(name)) continue;
    const StatusOr<FileInfo> info = disk.Stat(directory + "/" + name);
    if (absl::IsNotFound(info.status())) continue;
    WEIR_RETURN_IF_ERROR(info.status());
    if (info->is_directory) partitions.push_back(std::move(name));
  }
  return partitions;
}

Status RemovePending(Disk& disk, const Part& own) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListIfThere(disk, own.PendingFolder()));
  for (const std::string& name : names) {
    if (!Owns(own, ParsePendingName(name))) continue;
    const Status removed = disk.Remove(own.PendingFolder() + "/" + name);
    if (!absl::IsNotFound(removed)) WEIR_RETURN_IF_ERROR(removed);
  }
  return absl::OkStatus();
}

Status RevokeAfter(Disk& disk, const Part& own, uint64_t restored) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListIfThere(disk, own.Folder()));
  bool moved = false;
  for (const std::string& name : names) {
    std::optional<Part> part = ParseCommittedName(name);
    if (!Owns(own, part) || part->checkpoint <= restored) continue;
    part->directory = own.directory;
    part->partition = own.partition;
    if (!moved) WEIR_RETURN_IF_ERROR(disk.MakeDirectories(own.RevokedFolder()));
    moved = true;
    WEIR_ASSIGN_OR_RETURN(const std::string to, FreeRevokedPath(disk, *part));
    WEIR_RETURN_IF_ERROR(disk.Rename(part->CommittedPath(), to));
  }
  // Also where nothing is left to move: an earlier, interrupted call may have moved it.
  WEIR_ASSIGN_OR_RETURN(const bool any_revoked, IsThere(disk, own.RevokedFolder()));
  if (!any_revoked) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(disk.SyncDirectory(own.RevokedFolder()));
  return disk.SyncDirectory(own.Folder());
}

namespace {

std::string ParentOf(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

Status CheckWritable(const FileSinkOptions& options, Disk& disk, const std::string& job_id) {
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(options.directory));
  WEIR_RETURN_IF_ERROR(disk.SyncDirectory(ParentOf(options.directory)));
  const std::string probe = options.directory + "/.probe-" + job_id;
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file, disk.Create(probe));
  Status written = file->Append("may this be written?\n");
  written.Update(file->Close());
  written.Update(disk.Remove(probe));
  return written;
}

}  // namespace

Status CheckFileSink(const FileSinkOptions& options, Environment& env, const std::string& job_id) {
  Disk& disk = env.disk;
  if (options.directory.empty()) {
    return absl::InvalidArgumentError("the file sink has no directory");
  }
  if (Status status = CheckWritable(options, disk, job_id); !status.ok()) {
    return Annotate(status, "the output folder cannot be written to");
  }
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> partitions,
                        ListPartitions(disk, options.directory, options.by_partition));
  for (const std::string& partition : partitions) {
    Part here;
    here.directory = options.directory;
    here.partition = partition;
    WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListIfThere(disk, here.Folder()));
    for (const std::string& name : names) {
      const std::optional<Part> part = ParseCommittedName(name);
      if (!part || part->job_id == job_id) continue;
      return absl::FailedPreconditionError(
          fmt::format("the output folder {} holds files of another job, '{}' ({}/{}); outputs of "
                      "two jobs must not mix: give this job another folder, or move or remove "
                      "those files",
                      options.directory, part->job_id, here.Folder(), name));
    }
  }
  return absl::OkStatus();
}

StatusOr<CheckpointId> LastCommittedCheckpoint(const FileSinkOptions& options, Environment& env,
                                               std::string_view job_id, std::string_view stage) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> partitions,
                        ListPartitions(env.disk, options.directory, options.by_partition));
  CheckpointId last = 0;
  for (const std::string& partition : partitions) {
    Part own;
    own.directory = options.directory;
    own.partition = partition;
    own.job_id = job_id;
    own.stage = stage;
    WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                          ListIfThere(env.disk, own.Folder()));
    for (const std::string& name : names) {
      const std::optional<Part> part = ParseCommittedName(name);
      if (Owns(own, part)) last = std::max<CheckpointId>(last, part->checkpoint);
    }
  }
  return last;
}

}  // namespace weir
