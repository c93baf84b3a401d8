#include "operators/sinks/output_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "core/json.h"
#include "core/limits.h"

namespace weir {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr std::string_view kEnding = ".jsonl";
constexpr std::string_view kBaseEnding = ".base.jsonl";
constexpr std::string_view kTemporaryEnding = ".tmp";
constexpr int kTriesMax = 10;

// One line of a file of the manifest.
struct Entry {
  bool header = false;
  uint64_t checkpoint = 0;  // of a header
  bool revoked = false;
  std::string path;
};

StatusOr<Entry> ParseEntry(JsonParser& parser, std::string_view line) {
  WEIR_ASSIGN_OR_RETURN(const JsonValue value, parser.ParseUnpadded(line));
  Entry entry;
  if (value.Find("manifest")) {
    entry.header = true;
    if (auto checkpoint = value.Find("checkpoint")) {
      entry.checkpoint = checkpoint->GetUint().value_or(0);
    }
    return entry;
  }
  std::optional<JsonValue> path = value.Find("part");
  if (!path) {
    path = value.Find("revoked");
    entry.revoked = true;
  }
  const std::optional<std::string_view> text = path ? path->GetString() : std::nullopt;
  if (!text) return absl::DataLossError("a line names no part");
  entry.path = std::string(*text);
  return entry;
}

// Calls fn(line, entry) for each line; false from it ends the walk.
Status ForEachEntry(Disk& disk, const std::string& path,
                    const std::function<bool(std::string_view, const Entry&)>& fn) {
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file, disk.OpenForRead(path));
  JsonParser parser;
  std::string text;
  uint64_t offset = 0;
  for (;;) {
    const size_t kept = text.size();
    text.resize(kept + kChunkBytes);
    WEIR_ASSIGN_OR_RETURN(const size_t got, file->ReadAt(offset, text.data() + kept, kChunkBytes));
    text.resize(kept + got);
    offset += got;
    size_t at = 0;
    for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
      const std::string_view line = std::string_view(text).substr(at, end - at);
      StatusOr<Entry> entry = ParseEntry(parser, line);
      if (!entry.ok()) return Annotate(entry.status(), path);
      if (!fn(line, *entry)) return absl::OkStatus();
    }
    text.erase(0, at);
    if (got < kChunkBytes) return absl::OkStatus();
  }
}

std::string RelativePath(const Part& part) {
  const std::string path = part.CommittedPath();
  return path.substr(path.find_first_not_of('/', part.directory.size()));
}

void AppendPart(const Part& part, std::string& text) {
  JsonWriter json;
  json.StartObject();
  json.Key("part");
  json.String(RelativePath(part));
  json.Key("bytes");
  json.Uint(part.bytes);
  if (part.rows != 0) {
    json.Key("rows");
    json.Uint(part.rows);
    json.Key("min_time");
    json.String(FormatTimestamp(part.min_time));
    json.Key("max_time");
    json.String(FormatTimestamp(part.max_time));
  }
  json.Key("checkpoint");
  json.Uint(part.checkpoint);
  json.EndObject();
  text += json.text();
  text += '\n';
}

}  // namespace

OutputManifest::OutputManifest(Disk& disk, std::string directory, std::string job_id,
                               std::string stage, uint32_t attempt)
    : disk_(disk),
      folder_(directory + "/.manifest"),
      directory_(std::move(directory)),
      job_id_(std::move(job_id)),
      stage_(std::move(stage)),
      attempt_(attempt) {}

// Of this attempt or an earlier one.
bool OutputManifest::IsTemporary(std::string_view name) const {
  if (!name.ends_with(kTemporaryEnding)) return false;
  name.remove_suffix(kTemporaryEnding.size());
  const size_t at = name.rfind(".a");
  uint32_t attempt = 0;
  if (at == std::string_view::npos) return false;
  const auto [end, error] =
      std::from_chars(name.data() + at + 2, name.data() + name.size(), attempt);
  return error == std::errc() && end == name.data() + name.size() && attempt <= attempt_;
}

std::string OutputManifest::TemporaryOf(const std::string& path) const {
  return fmt::format("{}.a{}{}", path, attempt_, kTemporaryEnding);
}

std::string OutputManifest::PathOf(File file) const {
  return fmt::format("{}/{}.{}.{:010}{}", folder_, job_id_, stage_, file.number,
                     file.base ? kBaseEnding : kEnding);
}

std::string OutputManifest::Header(uint64_t checkpoint) const {
  JsonWriter json;
  json.StartObject();
  json.Key("manifest");
  json.Int(1);
  json.Key("job");
  json.String(job_id_);
  json.Key("stage");
  json.String(stage_);
  json.Key("checkpoint");
  json.Uint(checkpoint);
  json.EndObject();
  return std::string(json.text()) + '\n';
}

Status OutputManifest::Open() {
  files_.clear();
  StatusOr<std::vector<std::string>> names = disk_.List(folder_);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(names.status());
  const std::string prefix = fmt::format("{}.{}.", job_id_, stage_);
  for (std::string_view name : *names) {
    if (!name.starts_with(prefix)) continue;
    if (IsTemporary(name)) {
      const Status removed = disk_.Remove(fmt::format("{}/{}", folder_, name));
      if (!absl::IsNotFound(removed)) WEIR_RETURN_IF_ERROR(removed);
    }
    if (!name.ends_with(kEnding)) continue;
    name.remove_prefix(prefix.size());
    File file;
    file.base = name.ends_with(kBaseEnding);
    name.remove_suffix(file.base ? kBaseEnding.size() : kEnding.size());
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), file.number);
    if (error == std::errc() && end == name.data() + name.size()) files_.push_back(file);
  }
  std::sort(files_.begin(), files_.end());
  auto base = std::find_if(files_.rbegin(), files_.rend(), [](const File& f) { return f.base; });
  return base == files_.rend() ? absl::OkStatus() : RemoveBefore(*base);
}

Status OutputManifest::RemoveBefore(File base) {
  while (files_.front() != base) {
    const Status removed = disk_.Remove(PathOf(files_.front()));
    if (!absl::IsNotFound(removed)) WEIR_RETURN_IF_ERROR(removed);
    files_.erase(files_.begin());
  }
  return absl::OkStatus();
}

template <class Change>
Status OutputManifest::Try(Change change) {
  for (int tries = 1;; ++tries) {
    const Status status = change();
    // A file that it knows of may have been merged and removed.
    const bool met = absl::IsAborted(status) || absl::IsNotFound(status);
    if (!met || tries == kTriesMax) return status;
    WEIR_RETURN_IF_ERROR(Open());
  }
}

Status OutputManifest::Add(uint64_t checkpoint, std::vector<Part> parts) {
  return Try([&] { return AddOnce(checkpoint, parts); });
}

Status OutputManifest::AddOnce(uint64_t checkpoint, std::vector<Part> parts) {
  // What is listed of a checkpoint is in the files that it and what follows it have written.
  std::map<std::string, bool> listed;  // false: revoked since
  for (auto file = files_.rbegin(); file != files_.rend() && !parts.empty(); ++file) {
    uint64_t of = 0;
    WEIR_RETURN_IF_ERROR(
        ForEachEntry(disk_, PathOf(*file), [&](std::string_view, const Entry& entry) {
          if (entry.header) of = entry.checkpoint;
          if (of < checkpoint) return false;
          if (!entry.header) listed.emplace(entry.path, !entry.revoked);  // the newest entry counts
          return true;
        }));
    if (of < checkpoint) break;
  }
  std::erase_if(parts, [&](const Part& part) {
    auto found = listed.find(RelativePath(part));
    return found != listed.end() && found->second;
  });
  if (parts.empty()) return absl::OkStatus();
  std::string text = Header(checkpoint);
  for (const Part& part : parts) AppendPart(part, text);
  return Write(text);
}

Status OutputManifest::Revoke(uint64_t checkpoint, const std::vector<Part>& parts) {
  if (parts.empty()) return absl::OkStatus();
  std::string text = Header(checkpoint);
  for (const Part& part : parts) {
    JsonWriter json;
    json.StartObject();
    json.Key("revoked");
    json.String(RelativePath(part));
    json.EndObject();
    text += json.text();
    text += '\n';
  }
  return Try([&] { return Write(text); });
}

Status OutputManifest::Write(std::string_view text) {
  if (files_.empty()) {
    WEIR_RETURN_IF_ERROR(disk_.MakeDirectories(folder_));
    WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(directory_));
  }
  const File file{files_.empty() ? 1 : files_.back().number + 1, false};
  const std::string path = PathOf(file);
  const std::string temporary = TemporaryOf(path);
  const auto write = [&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> out, disk_.Create(temporary));
    WEIR_RETURN_IF_ERROR(out->Append(text));
    WEIR_RETURN_IF_ERROR(out->Sync());
    return out->Close();
  };
  WEIR_RETURN_IF_ERROR(write());
  // Unlike a rename, a link replaces nothing.
  const Status linked = disk_.HardLink(temporary, path);
  if (absl::IsAlreadyExists(linked) || (!linked.ok() && Exists(disk_, path))) {
    WEIR_RETURN_IF_ERROR(disk_.Remove(temporary));
    return absl::AbortedError(path + " was written by another attempt");
  }
  WEIR_RETURN_IF_ERROR(linked.ok() ? disk_.Remove(temporary) : disk_.Rename(temporary, path));
  WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(folder_));
  files_.push_back(file);
  const auto changes = std::count_if(files_.begin(), files_.end(), [](File f) { return !f.base; });
  return changes < limits::kOutputManifestFilesMax ? absl::OkStatus() : Merge();
}

Status OutputManifest::Merge() {
  std::map<std::string, File> revoked;  // where last
  uint64_t checkpoint = 0;
  for (const File& file : files_) {
    WEIR_RETURN_IF_ERROR(
        ForEachEntry(disk_, PathOf(file), [&](std::string_view, const Entry& entry) {
          if (entry.header) checkpoint = entry.checkpoint;
          if (entry.revoked) revoked[entry.path] = file;
          return true;
        }));
  }
  const File base{files_.back().number, true};
  const std::string path = PathOf(base);
  WEIR_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> out, disk_.Create(TemporaryOf(path)));
  std::string text = Header(checkpoint);
  Status written;
  for (const File& file : files_) {
    WEIR_RETURN_IF_ERROR(
        ForEachEntry(disk_, PathOf(file), [&](std::string_view line, const Entry& entry) {
          if (entry.header || entry.revoked) return true;
          auto taken = revoked.find(entry.path);
          if (taken != revoked.end() && file < taken->second) return true;
          text += line;
          text += '\n';
          if (text.size() < kChunkBytes) return true;
          written = out->Append(text);
          text.clear();
          return written.ok();
        }));
    WEIR_RETURN_IF_ERROR(written);
  }
  WEIR_RETURN_IF_ERROR(out->Append(text));
  WEIR_RETURN_IF_ERROR(out->Sync());
  WEIR_RETURN_IF_ERROR(out->Close());
  WEIR_RETURN_IF_ERROR(disk_.Rename(TemporaryOf(path), path));
  WEIR_RETURN_IF_ERROR(disk_.SyncDirectory(folder_));
  files_.push_back(base);
  return RemoveBefore(base);
}

Status OutputManifest::Remove() {
  // The newest first: what is left is a manifest of an earlier time, never one with a hole.
  while (!files_.empty()) {
    const Status removed = disk_.Remove(PathOf(files_.back()));
    if (!absl::IsNotFound(removed)) WEIR_RETURN_IF_ERROR(removed);
    files_.pop_back();
  }
  return absl::OkStatus();
}

}  // namespace weir
