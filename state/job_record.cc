#include "state/job_record.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "core/check.h"
#include "core/limits.h"
#include "state/checksummed_file.h"
#include "weir/state/manifest.pb.h"

namespace weir {
namespace {

constexpr std::string_view kRecordFile = "job.pb";
constexpr size_t kNameBytesMax = 40;
constexpr size_t kReadBytes = 1 << 20;

void CompareMaps(std::string_view kind, const std::map<std::string, std::string>& was,
                 const std::map<std::string, std::string>& is, std::vector<std::string>& lines) {
  for (const auto& [key, value] : was) {
    auto at = is.find(key);
    if (at == is.end()) {
      lines.push_back(fmt::format("{} {}: was {}, is not given", kind, key, value));
    } else if (at->second != value) {
      lines.push_back(fmt::format("{} {}: was {}, is {}", kind, key, value, at->second));
    }
  }
  for (const auto& [key, value] : is) {
    if (!was.contains(key)) {
      lines.push_back(fmt::format("{} {}: was not given, is {}", kind, key, value));
    }
  }
}

void PutMap(const std::map<std::string, std::string>& map,
            google::protobuf::RepeatedPtrField<state::Entry>& out) {
  for (const auto& [key, value] : map) {
    state::Entry& entry = *out.Add();
    entry.set_key(key);
    entry.set_value(value);
  }
}

std::map<std::string, std::string> MapOf(
    const google::protobuf::RepeatedPtrField<state::Entry>& entries) {
  std::map<std::string, std::string> map;
  for (const state::Entry& entry : entries) map[entry.key()] = entry.value();
  return map;
}

}  // namespace

std::string_view ToString(RunState state) {
  switch (state) {
    case RunState::kRunning:
      return "RUNNING";
    case RunState::kSuspended:
      return "SUSPENDED";
    case RunState::kFailed:
      return "FAILED";
    case RunState::kCanceled:
      return "CANCELED";
    case RunState::kFinished:
      return "FINISHED";
  }
  return "UNKNOWN";
}

std::vector<std::string> Differences(const JobIdentity& was, const JobIdentity& is) {
  std::vector<std::string> lines;
  if (was.job_name != is.job_name) {
    lines.push_back(fmt::format("job name: was {}, is {}", was.job_name, is.job_name));
  }
  if (was.library_sha256 != is.library_sha256) {
    lines.push_back(fmt::format("job library: was {:.12}..., is {:.12}... (SHA-256)",
                                was.library_sha256, is.library_sha256));
  }
  CompareMaps("resource", was.resources, is.resources, lines);
  CompareMaps("parameter", was.parameters, is.parameters, lines);
  return lines;
}

void JobRecord::GoBackTo(CheckpointId checkpoint) {
  std::erase_if(superseded, [&](const Superseded& range) { return range.after >= checkpoint; });
  if (checkpoint < last_checkpoint) superseded.push_back({checkpoint, last_checkpoint});
  last_completed = std::min(last_completed, checkpoint);
}

bool JobRecord::CountCrash(std::string left) {
  if (crashed_attempt == attempt) return false;
  ++crashes;
  crashed_attempt = attempt;
  crash = std::move(left);
  return true;
}

bool JobRecord::CrashedTooOften() const {
  return crashes >= static_cast<uint32_t>(limits::kCrashesMax);
}

bool JobRecord::IsSuperseded(CheckpointId checkpoint) const {
  return std::any_of(superseded.begin(), superseded.end(), [&](const Superseded& range) {
    return checkpoint > range.after && checkpoint <= range.until;
  });
}

bool JobRecord::MustRevokeAfter(CheckpointId checkpoint) const {
  return std::any_of(superseded.begin(), superseded.end(),
                     [&](const Superseded& range) { return range.after >= checkpoint; });
}

std::string JobRecord::Serialize() const {
  state::JobRecord out;
  out.set_version(kVersion);
  out.set_job_id(job_id);
  out.set_job_name(identity.job_name);
  out.set_library_sha256(identity.library_sha256);
  PutMap(identity.resources, *out.mutable_resources());
  PutMap(identity.parameters, *out.mutable_parameters());
  out.set_state(static_cast<uint32_t>(state));
  out.set_attempt(attempt);
  out.set_last_checkpoint(last_checkpoint);
  out.set_last_completed(last_completed);
  out.set_crashes(crashes);
  out.set_crashed_attempt(crashed_attempt);
  out.set_crash(crash);
  out.set_result(result);
  out.set_failure(failure);
  out.set_created(created);
  out.set_updated(updated);
  PutMap(sinks, *out.mutable_sinks());
  for (const Superseded& range : superseded) {
    state::CheckpointRange& r = *out.add_superseded();
    r.set_after(range.after);
    r.set_until(range.until);
  }
  return WrapWithChecksum(out.SerializeAsString());
}

StatusOr<JobRecord> JobRecord::Parse(std::string_view bytes, std::string_view where) {
  WEIR_ASSIGN_OR_RETURN(std::string content, UnwrapChecked(bytes, where));
  state::JobRecord in;
  if (!in.ParseFromString(content)) {
    return absl::DataLossError(fmt::format("{} is not the record of a job", where));
  }
  if (in.version() != kVersion) {
    return absl::FailedPreconditionError(
        fmt::format("{} is a job's record of format {}, this version of weir reads {}", where,
                    in.version(), kVersion));
  }
  if (in.state() < 1 || in.state() > 5) {
    return absl::DataLossError(fmt::format("{}: no state of a run is {}", where, in.state()));
  }
  JobRecord record;
  record.job_id = in.job_id();
  record.identity.job_name = in.job_name();
  record.identity.library_sha256 = in.library_sha256();
  record.identity.resources = MapOf(in.resources());
  record.identity.parameters = MapOf(in.parameters());
  record.state = static_cast<RunState>(in.state());
  record.attempt = in.attempt();
  record.last_checkpoint = in.last_checkpoint();
  record.last_completed = in.last_completed();
  record.crashes = in.crashes();
  record.crashed_attempt = in.crashed_attempt();
  record.crash = in.crash();
  record.result = in.result();
  record.failure = in.failure();
  record.created = in.created();
  record.updated = in.updated();
  record.sinks = MapOf(in.sinks());
  for (const state::CheckpointRange& r : in.superseded()) {
    record.superseded.push_back({r.after(), r.until()});
  }
  return record;
}

JobRecords::JobRecords(Disk& disk, std::string data_folder)
    : disk_(disk), data_folder_(std::move(data_folder)) {}

std::string JobRecords::FolderOf(const std::string& job_id) const {
  return fmt::format("{}/jobs/{}", data_folder_, job_id);
}

Status JobRecords::Save(const JobRecord& record) {
  WEIR_CHECK(!record.job_id.empty());
  const std::string folder = FolderOf(record.job_id);
  if (!Exists(disk_, folder)) {
    WEIR_RETURN_IF_ERROR(disk_.MakeDirectories(folder));
    WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(data_folder_ + "/jobs"));
    WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(data_folder_));
  }
  return WriteAtomically(disk_, fmt::format("{}/{}", folder, kRecordFile), record.Serialize());
}

StatusOr<JobRecord> JobRecords::Load(const std::string& job_id) {
  const std::string path = fmt::format("{}/{}", FolderOf(job_id), kRecordFile);
  WEIR_ASSIGN_OR_RETURN(std::string bytes, ReadFile(disk_, path));
  WEIR_ASSIGN_OR_RETURN(JobRecord record, JobRecord::Parse(bytes, path));
  if (record.job_id != job_id) {
    return absl::DataLossError(fmt::format("{} is the record of job {}", path, record.job_id));
  }
  return record;
}

StatusOr<std::vector<JobRecord>> JobRecords::LoadAll() {
  std::vector<JobRecord> records;
  StatusOr<std::vector<std::string>> ids = disk_.List(data_folder_ + "/jobs");
  if (absl::IsNotFound(ids.status())) return records;
  WEIR_RETURN_IF_ERROR(ids.status());
  for (const std::string& id : *ids) {
    StatusOr<JobRecord> record = Load(id);
    if (absl::IsNotFound(record.status())) continue;  // its first Save() did not get so far
    WEIR_RETURN_IF_ERROR(record.status());
    records.push_back(*std::move(record));
  }
  std::stable_sort(records.begin(), records.end(),
                   [](const JobRecord& a, const JobRecord& b) { return a.created < b.created; });
  return records;
}

std::string NewJobId(std::string_view job_name, Random& random) {
  std::string id;
  for (char c : job_name.substr(0, kNameBytesMax)) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    id.push_back(plain ? c : '-');
  }
  if (id.empty()) id = "job";
  return fmt::format("{}-{:012x}", id, random.Next() >> 16);
}

StatusOr<std::string> Sha256OfFile(Disk& disk, const std::string& path) {
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, disk.OpenForRead(path));
  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  WEIR_CHECK(EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1);
  std::string buffer(kReadBytes, '\0');
  for (uint64_t offset = 0;;) {
    WEIR_ASSIGN_OR_RETURN(size_t n, file->ReadAt(offset, buffer.data(), buffer.size()));
    WEIR_CHECK(EVP_DigestUpdate(context.get(), buffer.data(), n) == 1);
    offset += n;
    if (n < buffer.size()) break;
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  WEIR_CHECK(EVP_DigestFinal_ex(context.get(), digest, &length) == 1);
  return fmt::format("{:02x}", fmt::join(digest, digest + length, ""));
}

}  // namespace weir
