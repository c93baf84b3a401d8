#include "operators/sinks/part_recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "operators/partition_label.h"
#include "operators/sinks/file_sink.h"
#include "operators/sinks/time_path.h"

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

bool Owns(const Part& own, const Part& part) {
  return part.job_id == own.job_id && part.stage == own.stage;
}

// The committed name of a name in .revoked/: without the number of FreeRevokedPath().
std::string_view WithoutNumber(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || dot + 1 == name.size()) return name;
  const std::string_view number = name.substr(dot + 1);
  const bool digits =
      std::all_of(number.begin(), number.end(), [](char c) { return c >= '0' && c <= '9'; });
  return digits ? name.substr(0, dot) : name;
}

// A file in `folder` that holds at least the part's bytes of the same part, committed by another
// checkpoint; "": none.
StatusOr<std::string> FindLonger(Disk& disk, const std::string& folder, const Part& part) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListIfThere(disk, folder));
  for (const std::string& name : names) {
    const std::optional<Part> other = ParseCommittedName(WithoutNumber(name));
    if (!other || !IsSamePart(*other, part)) continue;
    std::string path = folder + "/" + name;
    WEIR_ASSIGN_OR_RETURN(const FileInfo info, disk.Stat(path));
    if (info.size >= part.bytes) return path;
  }
  return std::string();
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

Status CommitPart(Disk& disk, const Part& part, bool may_be_taken_away, SyncBatch& sync) {
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
    if (info.ok() && absl::IsNotFound(status) && !part.time_path.empty()) {
      // Somebody has tidied up a folder that was still empty.
      WEIR_RETURN_IF_ERROR(MakePartFolders(disk, part, sync));
      status = disk.Rename(pending, committed);
    }
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
  sync.AddDirectory(part.Folder());
  sync.AddDirectory(part.PendingFolder());
  return absl::OkStatus();
}

namespace {

// The first `bytes` of one file as another one.
Status CopyPrefix(Disk& disk, const std::string& from, const std::string& to, uint64_t bytes) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> in, disk.OpenForRead(from));
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> out, disk.Create(to));
  std::string buffer(std::min<uint64_t>(bytes, 1 << 20), '\0');
  for (uint64_t at = 0; at < bytes;) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), bytes - at);
    WEIR_ASSIGN_OR_RETURN(const size_t got, in->ReadAt(at, buffer.data(), wanted));
    if (got == 0) return absl::OutOfRangeError(fmt::format("{} became shorter", from));
    WEIR_RETURN_IF_ERROR(out->Append(std::string_view(buffer).substr(0, got)));
    at += got;
  }
  return out->Close();
}

// What there is of a part that was open at a checkpoint.
struct Found {
  bool committed = false;  // by that checkpoint: its end has been made already
  uint64_t pending_bytes = 0;
  bool pending = false;  // with at least the bytes that are needed
  std::string later;     // committed by another checkpoint, or ""
  std::string revoked;   // the same in .revoked/
};
StatusOr<Found> Find(Disk& disk, const Part& part) {
  Found found;
  WEIR_ASSIGN_OR_RETURN(found.committed, IsThere(disk, part.CommittedPath()));
  if (found.committed) return found;
  const StatusOr<FileInfo> pending = disk.Stat(part.PendingPath());
  if (!pending.ok() && !absl::IsNotFound(pending.status())) return pending.status();
  if (pending.ok()) found.pending_bytes = pending->size;
  found.pending = pending.ok() && pending->size >= part.bytes;
  if (found.pending) return found;
  WEIR_ASSIGN_OR_RETURN(found.later, FindLonger(disk, part.Folder(), part));
  WEIR_ASSIGN_OR_RETURN(found.revoked, FindLonger(disk, part.RevokedFolder(), part));
  return found;
}

// Taken away it can only be after its commit, of which the folder of what is pending is the sign.
StatusOr<bool> WasTakenAway(Disk& disk, const Part& part, const Found& found,
                            bool may_be_taken_away) {
  if (!may_be_taken_away) return false;
  if (!found.later.empty()) return true;
  return IsThere(disk, part.PendingFolder());
}

Status ExplainMissingOpen(const Part& part, const Found& found) {
  return absl::OutOfRangeError(
      fmt::format("checkpoint {} knows {} bytes of {}, which was still being written: it has {}, "
                  "and no committed or revoked file holds them; put the file back, or go back "
                  "behind that checkpoint: --from with an older one, or --fresh",
                  part.checkpoint, part.bytes, part.PendingPath(),
                  found.pending_bytes == 0 ? "none" : fmt::format("{}", found.pending_bytes)));
}

}  // namespace

Status CheckOpenPart(Disk& disk, const Part& part, bool may_be_taken_away) {
  WEIR_ASSIGN_OR_RETURN(const Found found, Find(disk, part));
  if (found.committed || found.pending || !found.later.empty() || !found.revoked.empty()) {
    return absl::OkStatus();
  }
  WEIR_ASSIGN_OR_RETURN(const bool gone, WasTakenAway(disk, part, found, may_be_taken_away));
  return gone ? absl::OkStatus() : ExplainMissingOpen(part, found);
}

StatusOr<bool> CutOpenPart(Disk& disk, const Part& part, const Part& copy, bool may_be_taken_away,
                           SyncBatch& sync) {
  WEIR_ASSIGN_OR_RETURN(const Found found, Find(disk, part));
  if (found.committed) {
    sync.AddDirectory(part.Folder());
    return false;
  }
  if (!found.pending && found.revoked.empty()) {
    WEIR_ASSIGN_OR_RETURN(const bool gone, WasTakenAway(disk, part, found, may_be_taken_away));
    if (gone) return false;
    return ExplainMissingOpen(part, found);
  }
  if (!found.pending) WEIR_RETURN_IF_ERROR(MakePartFolders(disk, part, sync));
  // A file of its own: whoever has written the other one may not know yet that its attempt is over,
  // and goes on writing, whatever the name of its file is by then.
  const std::string from = found.pending ? part.PendingPath() : found.revoked;
  WEIR_RETURN_IF_ERROR(CopyPrefix(disk, from, copy.PendingPath(), part.bytes));
  sync.AddFile(copy.PendingPath());
  return true;
}

Status MakePartFolders(Disk& disk, const Part& part, SyncBatch& sync) {
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(part.PendingFolder()));
  if (!part.time_path.empty()) WEIR_RETURN_IF_ERROR(disk.MakeDirectories(part.Folder()));
  // Each folder's name is in the one above it.
  sync.AddDirectory(part.PartitionFolder());
  if (!part.partition.empty()) sync.AddDirectory(part.directory);
  for (size_t slash = part.time_path.find('/'); slash != std::string::npos;
       slash = part.time_path.find('/', slash + 1)) {
    sync.AddDirectory(part.PartitionFolder() + "/" + part.time_path.substr(0, slash));
  }
  return absl::OkStatus();
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

namespace {

// Calls fn(time path, names) for `folder`, whose path is "", and for the folders of time below it.
Status ForEachTimePath(
    Disk& disk, const std::string& folder, const std::string& path, int depth,
    const std::function<void(const std::string&, const std::vector<std::string>&)>& fn) {
  const std::string here = path.empty() ? folder : folder + "/" + path;
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names, ListIfThere(disk, here));
  fn(path, names);
  if (depth == limits::kSinkTimeSegmentsMax) return absl::OkStatus();
  for (const std::string& name : names) {
    if (!IsTimeSegment(name)) continue;
    const StatusOr<FileInfo> info = disk.Stat(here + "/" + name);
    if (absl::IsNotFound(info.status())) continue;
    WEIR_RETURN_IF_ERROR(info.status());
    if (!info->is_directory) continue;
    WEIR_RETURN_IF_ERROR(
        ForEachTimePath(disk, folder, path.empty() ? name : path + "/" + name, depth + 1, fn));
  }
  return absl::OkStatus();
}

}  // namespace

StatusOr<std::vector<Part>> ListCommitted(Disk& disk, const std::string& directory,
                                          const std::string& partition) {
  Part here;
  here.directory = directory;
  here.partition = partition;
  std::vector<Part> parts;
  WEIR_RETURN_IF_ERROR(
      ForEachTimePath(disk, here.PartitionFolder(), "", 0,
                      [&](const std::string& path, const std::vector<std::string>& names) {
                        for (const std::string& name : names) {
                          std::optional<Part> part = ParseCommittedName(name);
                          if (!part) continue;
                          part->directory = directory;
                          part->partition = partition;
                          part->time_path = path;
                          parts.push_back(*std::move(part));
                        }
                      }));
  return parts;
}

Status RemovePending(Disk& disk, const Part& own) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                        ListIfThere(disk, own.PendingFolder()));
  for (const std::string& name : names) {
    const std::optional<Part> part = ParsePendingName(name);
    if (!part || !Owns(own, *part) || part->attempt > own.attempt) continue;
    const Status removed = disk.Remove(own.PendingFolder() + "/" + name);
    if (!absl::IsNotFound(removed)) WEIR_RETURN_IF_ERROR(removed);
  }
  return absl::OkStatus();
}

Status RevokePart(Disk& disk, const Part& part, SyncBatch& sync) {
  WEIR_RETURN_IF_ERROR(disk.MakeDirectories(part.RevokedFolder()));
  WEIR_ASSIGN_OR_RETURN(const std::string to, FreeRevokedPath(disk, part));
  sync.AddDirectory(part.RevokedFolder());
  sync.AddDirectory(part.Folder());
  return disk.Rename(part.CommittedPath(), to);
}

Status AddRevokedFolders(Disk& disk, const std::string& directory, const std::string& partition,
                         SyncBatch& sync) {
  Part here;
  here.directory = directory;
  here.partition = partition;
  const std::string revoked = here.RevokedFolder();
  WEIR_ASSIGN_OR_RETURN(const bool any, IsThere(disk, revoked));
  if (!any) return absl::OkStatus();
  return ForEachTimePath(disk, revoked, "", 0,
                         [&](const std::string& path, const std::vector<std::string>&) {
                           here.time_path = path;
                           sync.AddDirectory(here.RevokedFolder());
                           sync.AddDirectory(here.Folder());
                         });
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
  WEIR_RETURN_IF_ERROR(TimePath::Parse(options.time_partition).status());
  if (Status status = CheckWritable(options, disk, job_id); !status.ok()) {
    return Annotate(status, "the output folder cannot be written to");
  }
  WEIR_ASSIGN_OR_RETURN(const std::vector<std::string> partitions,
                        ListPartitions(disk, options.directory, options.by_partition));
  for (const std::string& partition : partitions) {
    WEIR_ASSIGN_OR_RETURN(const std::vector<Part> parts,
                          ListCommitted(disk, options.directory, partition));
    for (const Part& part : parts) {
      if (part.job_id == job_id) continue;
      return absl::FailedPreconditionError(
          fmt::format("the output folder {} holds files of another job, '{}' ({}/{}); outputs of "
                      "two jobs must not mix: give this job another folder, or move or remove "
                      "those files",
                      options.directory, part.job_id, part.Folder(), part.CommittedName()));
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
    WEIR_ASSIGN_OR_RETURN(const std::vector<Part> parts,
                          ListCommitted(env.disk, options.directory, partition));
    for (const Part& part : parts) {
      if (part.job_id == job_id && part.stage == stage) {
        last = std::max<CheckpointId>(last, part.checkpoint);
      }
    }
  }
  return last;
}

}  // namespace weir
