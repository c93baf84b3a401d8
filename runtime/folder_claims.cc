#include "runtime/folder_claims.h"

#include <fmt/format.h>

#include <string>

namespace weir {
namespace {

bool IsBelow(std::string_view path, std::string_view folder) {
  if (folder == "/") return path != "/";
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}

// `written` and what was read are canonical.
Status CheckApart(const FoldersRead& read, const std::string& written) {
  for (const std::string& folder : read.folders) {
    if (folder != written && !IsBelow(folder, written) && !IsBelow(written, folder)) continue;
    return absl::FailedPreconditionError(fmt::format(
        "the output folder {} and the input folder {} are the same, or one lies in the other, so "
        "the job would read its own results: choose an output folder beside the input",
        written, folder));
  }
  for (const std::string& file : read.files) {
    // A file in the output folder itself is in nobody's way: results lie in its folders, under
    // names of their own.
    const std::string folder = file.substr(0, file.rfind('/'));
    if (!IsBelow(folder, written)) continue;
    return absl::FailedPreconditionError(
        fmt::format("the input file {} lies where results are written to, below the output folder "
                    "{}: choose another output folder",
                    file, written));
  }
  return absl::OkStatus();
}

// For the user to mend, whatever it is; a full disk alone is no wrong configuration.
absl::StatusCode CodeOf(const Status& status) {
  return absl::IsResourceExhausted(status) ? status.code() : absl::StatusCode::kFailedPrecondition;
}

Status AtStage(const BuiltJob& job, size_t stage, const Status& what) {
  return Status(CodeOf(what), fmt::format("stage '{}': {}", job.graph.stages[stage].name,
                                          std::string(what.message())));
}

Status CannotBeWrittenTo(const Status& why) {
  return Status(CodeOf(why), fmt::format("the output folder cannot be written to: {}",
                                         std::string(why.message())));
}

}  // namespace

StatusOr<FolderClaims> FolderClaims::Take(const BuiltJob& job, std::string_view job_id,
                                          Environment& env) {
  std::vector<FoldersRead> reads;
  for (size_t s = 0; s < job.stages.size(); ++s) {
    if (!job.stages[s].reads) continue;
    StatusOr<FoldersRead> read = job.stages[s].reads(env);
    if (!read.ok()) return AtStage(job, s, read.status());
    reads.push_back(*std::move(read));
  }
  // All are judged before the first folder is made.
  for (size_t s = 0; s < job.stages.size(); ++s) {
    if (job.stages[s].writes.empty()) continue;
    StatusOr<std::string> written = env.disk.Canonical(job.stages[s].writes);
    if (!written.ok()) return AtStage(job, s, written.status());
    for (const FoldersRead& read : reads) {
      Status apart = CheckApart(read, *written);
      if (!apart.ok()) return AtStage(job, s, apart);
    }
  }
  FolderClaims claims;
  for (size_t s = 0; s < job.stages.size(); ++s) {
    if (job.stages[s].writes.empty()) continue;
    const Status added = claims.Add(job.stages[s].writes, job_id, env);
    if (!added.ok()) return AtStage(job, s, added);
  }
  return claims;
}

StatusOr<FolderClaims> FolderClaims::Hold(const std::vector<std::string>& folders,
                                          std::string_view job_id, Environment& env) {
  FolderClaims claims;
  for (const std::string& folder : folders) {
    WEIR_RETURN_IF_ERROR(claims.Add(folder, job_id, env));
  }
  return claims;
}

std::vector<std::string> FolderClaims::folders() const {
  std::vector<std::string> folders;
  for (const auto& [folder, lock] : locks_) folders.push_back(folder);
  return folders;
}

Status FolderClaims::Add(const std::string& folder, std::string_view job_id, Environment& env) {
  Status made = env.disk.MakeDirectories(folder);
  StatusOr<std::string> canonical = env.disk.Canonical(folder);
  made.Update(canonical.status());
  if (!made.ok()) return CannotBeWrittenTo(made);
  if (locks_.contains(*canonical)) return absl::OkStatus();  // two sinks of a job may share one
  StatusOr<std::unique_ptr<FileLock>> lock =
      FileLock::Acquire(*canonical, fmt::format("which runs job {}", job_id));
  if (absl::IsUnavailable(lock.status())) {
    return absl::FailedPreconditionError(
        fmt::format("another run writes to the output folder {}: {}. Wait for its end, or choose "
                    "another folder",
                    folder, std::string(lock.status().message())));
  }
  if (!lock.ok()) return CannotBeWrittenTo(lock.status());
  locks_[*canonical] = *std::move(lock);
  return absl::OkStatus();
}

}  // namespace weir
