#include "state/checkpoint_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/check.h"
#include "state/content_files.h"

namespace weir {
namespace {

constexpr std::string_view kManifestFile = "manifest.pb";

std::optional<CheckpointId> ParseNumber(std::string_view digits) {
  CheckpointId number = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  if (digits.size() > 1 && digits[0] == '0') return std::nullopt;
  return number;
}

Status VerifyFiles(const Manifest& manifest, ContentReader& reader) {
  for (const StateFile& file : manifest.Files()) WEIR_RETURN_IF_ERROR(reader.Verify(file));
  return absl::OkStatus();
}

}  // namespace

class CheckpointStore::Writer final : public SnapshotWriter {
 public:
  Writer(CheckpointStore& store, CheckpointId checkpoint)
      : store_(store), checkpoint_(checkpoint) {}

  StatusOr<StateFile> AddFile(const std::string& local_path, std::string name) override {
    WEIR_ASSIGN_OR_RETURN(std::string content, store_.HashOf(local_path));
    WEIR_ASSIGN_OR_RETURN(FileInfo info, store_.env_.disk.Stat(local_path));
    WEIR_RETURN_IF_ERROR(store_.UploadOnce(checkpoint_, content, [&] {
      return store_.objects_.PutFile(store_.FileName(content), local_path);
    }));
    return StateFile{std::move(name), std::move(content), info.size};
  }
  StatusOr<StateFile> AddBytes(std::string_view bytes, std::string name) override {
    std::string content = ContentName(bytes);
    WEIR_RETURN_IF_ERROR(store_.UploadOnce(checkpoint_, content, [&] {
      return store_.objects_.Put(store_.FileName(content), bytes);
    }));
    return StateFile{std::move(name), std::move(content), bytes.size()};
  }

 private:
  CheckpointStore& store_;
  const CheckpointId checkpoint_;
};

CheckpointStore::CheckpointStore(ObjectStore& objects, Environment& env,
                                 CheckpointStoreOptions options)
    : objects_(objects),
      env_(env),
      options_(std::move(options)),
      files_prefix_(options_.job_id + "/files/") {}

std::string CheckpointStore::ManifestName(CheckpointId checkpoint) const {
  return fmt::format("{}/chk-{}/{}", options_.job_id, checkpoint, kManifestFile);
}

std::string CheckpointStore::Location(CheckpointId checkpoint) const {
  return objects_.Location(fmt::format("{}/chk-{}", options_.job_id, checkpoint));
}

std::unique_ptr<SnapshotWriter> CheckpointStore::MakeWriter(CheckpointId checkpoint) {
  return std::make_unique<Writer>(*this, checkpoint);
}

std::unique_ptr<SnapshotReader> CheckpointStore::MakeReader() {
  return std::make_unique<ContentReader>(objects_, env_.disk, files_prefix_);
}

StatusOr<std::string> CheckpointStore::HashOf(const std::string& local_path) {
  WEIR_ASSIGN_OR_RETURN(FileInfo info, env_.disk.Stat(local_path));
  {
    std::lock_guard lock(mutex_);
    auto at = hashed_.find(local_path);
    if (at != hashed_.end() && at->second.size == info.size &&
        at->second.modified == info.modified) {
      return at->second.content;
    }
  }
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> file, env_.disk.OpenForRead(local_path));
  WEIR_ASSIGN_OR_RETURN(std::string content, ContentNameOf(*file));
  std::lock_guard lock(mutex_);
  hashed_[local_path] = {info.size, info.modified, content};
  return content;
}

template <class Put>
Status CheckpointStore::UploadOnce(CheckpointId checkpoint, const std::string& content, Put put) {
  {
    std::unique_lock lock(mutex_);
    if (last_good_contents_.contains(content)) return absl::OkStatus();
    deleted_.wait(lock, [&] { return !being_deleted_.contains(content); });
    // From here on it is not collected, so that it is still there when the manifest is written.
    Upload& upload = uploads_[content];
    upload.checkpoint = std::max(upload.checkpoint, checkpoint);
  }
  WEIR_RETURN_IF_ERROR(put());
  std::lock_guard lock(mutex_);
  Upload& upload = uploads_[content];
  upload.checkpoint = std::max(upload.checkpoint, checkpoint);
  upload.done = true;
  return absl::OkStatus();
}

// An operator may list files that it uploaded for an earlier checkpoint.
Status CheckpointStore::CheckFilesAreThere(const Manifest& manifest) {
  for (const StateFile& file : manifest.Files()) {
    {
      std::lock_guard lock(mutex_);
      auto upload = uploads_.find(file.content);
      if (upload != uploads_.end() && upload->second.done) continue;
      if (last_good_contents_.contains(file.content)) continue;
    }
    WEIR_ASSIGN_OR_RETURN(bool exists, objects_.Exists(FileName(file.content)));
    if (!exists) {
      return absl::InternalError(fmt::format("checkpoint {} lists the file '{}', but {} is missing",
                                             manifest.checkpoint, file.name,
                                             objects_.Location(FileName(file.content))));
    }
  }
  return absl::OkStatus();
}

void CheckpointStore::Completed(const Manifest& manifest) {
  std::lock_guard lock(mutex_);
  unsettled_.erase(manifest.checkpoint);
  contents_[manifest.checkpoint] = manifest.Contents();
  if (last_good_ && *last_good_ > manifest.checkpoint) return;
  last_good_ = manifest.checkpoint;
  last_good_contents_ = contents_[manifest.checkpoint];
  std::erase_if(uploads_, [&](const auto& upload) {
    return upload.second.checkpoint <= manifest.checkpoint;
  });
}

Status CheckpointStore::WriteManifest(const Manifest& manifest) {
  WEIR_CHECK(manifest.job_id == options_.job_id);
  const std::string name = ManifestName(manifest.checkpoint);
  const std::string bytes = manifest.Serialize();
  const auto unknown = [&](const Status& why) -> Status {
    std::lock_guard lock(mutex_);
    unsettled_.insert(manifest.checkpoint);
    return absl::UnknownError(fmt::format("it is not known whether checkpoint {} is complete: {}",
                                          manifest.checkpoint, std::string(why.message())));
  };
  bool maybe_written;
  {
    std::lock_guard lock(mutex_);
    maybe_written = unsettled_.contains(manifest.checkpoint);
  }
  // OK: the manifest is there; NotFound: nothing is.
  const auto look = [&]() -> Status {
    StatusOr<std::string> found = objects_.Get(name);
    if (!found.ok()) return found.status();
    if (*found == bytes) return absl::OkStatus();
    return absl::FailedPreconditionError(
        fmt::format("checkpoint {} exists already, written by somebody else: {}",
                    manifest.checkpoint, objects_.Location(name)));
  };

  Status before = look();
  if (before.ok()) {
    Completed(manifest);
    return absl::OkStatus();
  }
  if (absl::IsFailedPrecondition(before)) return before;
  if (!absl::IsNotFound(before)) return maybe_written ? unknown(before) : before;

  Status put = CheckFilesAreThere(manifest);
  if (put.ok()) {
    put = objects_.Put(name, bytes);
    Status after = put.ok() ? put : look();
    if (after.ok()) {
      Completed(manifest);
      return absl::OkStatus();
    }
    if (!absl::IsNotFound(after)) return unknown(after);
  }
  std::lock_guard lock(mutex_);
  unsettled_.erase(manifest.checkpoint);
  return Annotate(put, fmt::format("checkpoint {} is not complete", manifest.checkpoint));
}

void CheckpointStore::Adopt(const Manifest& manifest) {
  Completed(manifest);
  std::lock_guard lock(mutex_);
  if (options_.follows) contents_.clear();  // who collects looks after them
}

Status CheckpointStore::Adopt(CheckpointId checkpoint) {
  {
    std::lock_guard lock(mutex_);
    if (last_good_ == checkpoint) return absl::OkStatus();
  }
  WEIR_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(checkpoint));
  Adopt(manifest);
  return absl::OkStatus();
}

StatusOr<std::string> CheckpointStore::KeepAsSavepoint(CheckpointId checkpoint) {
  std::lock_guard collecting(collect_mutex_);  // nothing of it goes meanwhile
  WEIR_ASSIGN_OR_RETURN(const Manifest manifest, LoadManifest(checkpoint));
  const std::string folder = SavepointFolder(checkpoint);
  for (const std::string& content : manifest.Contents()) {
    WEIR_RETURN_IF_ERROR(
        objects_.Copy(FileName(content), fmt::format("{}/files/{}", folder, content)));
  }
  WEIR_RETURN_IF_ERROR(
      objects_.Put(fmt::format("{}/{}", folder, kManifestFile), manifest.Serialize()));
  return objects_.Location(folder);
}

std::string CheckpointStore::SavepointLocation(CheckpointId checkpoint) const {
  return objects_.Location(SavepointFolder(checkpoint));
}

std::string CheckpointStore::SavepointFolder(CheckpointId checkpoint) const {
  return fmt::format("{}/sav-{}", options_.job_id, checkpoint);
}

StatusOr<Manifest> CheckpointStore::LoadSavepoint(CheckpointId checkpoint) {
  const std::string folder = SavepointFolder(checkpoint);
  const std::string name = fmt::format("{}/{}", folder, kManifestFile);
  StatusOr<std::string> bytes = objects_.Get(name);
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(fmt::format("there is no savepoint {}", objects_.Location(folder)));
  }
  WEIR_RETURN_IF_ERROR(bytes.status());
  return Manifest::Parse(*bytes, objects_.Location(name));
}

Status CheckpointStore::TakeUpSavepoint(CheckpointId checkpoint) {
  std::lock_guard collecting(collect_mutex_);
  WEIR_ASSIGN_OR_RETURN(const Manifest manifest, LoadSavepoint(checkpoint));
  WEIR_ASSIGN_OR_RETURN(const bool there, objects_.Exists(ManifestName(checkpoint)));
  if (there) return absl::OkStatus();
  for (const std::string& content : manifest.Contents()) {
    WEIR_RETURN_IF_ERROR(objects_.Copy(
        fmt::format("{}/files/{}", SavepointFolder(checkpoint), content), FileName(content)));
  }
  return objects_.Put(ManifestName(checkpoint), manifest.Serialize());
}

StatusOr<Manifest> CheckpointStore::TakeOver(Manifest manifest, const std::string& files) {
  manifest.job_id = options_.job_id;
  manifest.checkpoint = 1;
  for (const std::string& content : manifest.Contents()) {
    WEIR_RETURN_IF_ERROR(objects_.PutFile(FileName(content), files + "/" + content));
  }
  WEIR_RETURN_IF_ERROR(WriteManifest(manifest));
  return manifest;
}

StatusOr<std::vector<CheckpointId>> CheckpointStore::List() {
  const std::string prefix = options_.job_id + "/chk-";
  WEIR_ASSIGN_OR_RETURN(std::vector<ObjectInfo> objects, objects_.List(prefix));
  std::vector<CheckpointId> checkpoints;
  for (const ObjectInfo& object : objects) {
    std::string_view rest = std::string_view(object.name).substr(prefix.size());
    size_t slash = rest.find('/');
    if (slash == std::string_view::npos || rest.substr(slash + 1) != kManifestFile) continue;
    if (auto number = ParseNumber(rest.substr(0, slash))) checkpoints.push_back(*number);
  }
  std::sort(checkpoints.begin(), checkpoints.end());
  return checkpoints;
}

StatusOr<Manifest> CheckpointStore::LoadManifest(CheckpointId checkpoint) {
  const std::string name = ManifestName(checkpoint);
  const std::string where = objects_.Location(name);
  StatusOr<std::string> bytes = objects_.Get(name);
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(
        fmt::format("checkpoint {} is not complete: {} is missing", checkpoint, where));
  }
  WEIR_RETURN_IF_ERROR(bytes.status());
  WEIR_ASSIGN_OR_RETURN(Manifest manifest, Manifest::Parse(*bytes, where));
  if (manifest.checkpoint != checkpoint || manifest.job_id != options_.job_id) {
    return absl::DataLossError(fmt::format("{} is the manifest of checkpoint {} of job {}", where,
                                           manifest.checkpoint, manifest.job_id));
  }
  std::lock_guard lock(mutex_);
  contents_[checkpoint] = manifest.Contents();
  return manifest;
}

StatusOr<Manifest> CheckpointStore::LoadAndVerify(CheckpointId checkpoint) {
  WEIR_ASSIGN_OR_RETURN(Manifest manifest, LoadManifest(checkpoint));
  ContentReader reader(objects_, env_.disk, files_prefix_);
  WEIR_RETURN_IF_ERROR(VerifyFiles(manifest, reader));
  return manifest;
}

Status CheckpointStore::Verify(CheckpointId checkpoint) {
  return LoadAndVerify(checkpoint).status();
}

StatusOr<CheckpointStore::Newest> CheckpointStore::NewestVerified(const Wanted& wanted) {
  WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> checkpoints, List());
  Newest result;
  for (auto at = checkpoints.rbegin(); at != checkpoints.rend(); ++at) {
    if (wanted && !wanted(*at)) continue;
    StatusOr<Manifest> manifest = LoadAndVerify(*at);
    if (manifest.ok()) {
      Completed(*manifest);
      result.manifest = *std::move(manifest);
      break;
    }
    // What cannot be read now may be fine: going back to an older one would be rash.
    if (!absl::IsDataLoss(manifest.status()) && !absl::IsNotFound(manifest.status())) {
      return manifest.status();
    }
    result.skipped.push_back({*at, manifest.status()});
  }
  return result;
}

StatusOr<NamedCheckpoint> OpenCheckpointFolder(Environment& env, std::string folder) {
  while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
  size_t slash = folder.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : folder.substr(0, slash);
  NamedCheckpoint checkpoint;
  checkpoint.location = folder;
  const std::string path = fmt::format("{}/{}", folder, kManifestFile);
  StatusOr<std::string> bytes = ReadFile(env.disk, path);
  if (absl::IsNotFound(bytes.status())) {
    return absl::NotFoundError(
        fmt::format("{} holds no complete checkpoint: {} is missing", folder, kManifestFile));
  }
  WEIR_RETURN_IF_ERROR(bytes.status());
  WEIR_ASSIGN_OR_RETURN(checkpoint.manifest, Manifest::Parse(*bytes, path));
  // A savepoint has its files with it, a checkpoint shares them with its neighbours.
  const bool own_files = folder.substr(slash + 1).starts_with("sav-");
  checkpoint.objects = std::make_unique<LocalObjectStore>(env, own_files ? folder : parent);
  auto reader = std::make_unique<ContentReader>(*checkpoint.objects, env.disk, "files/");
  WEIR_RETURN_IF_ERROR(VerifyFiles(checkpoint.manifest, *reader));
  checkpoint.reader = std::move(reader);
  return checkpoint;
}

}  // namespace weir
