#include "operators/sources/input_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/hash.h"

namespace weir {
namespace {

constexpr size_t kHeadBytes = 4 << 10;
// Deeper is most likely a link that leads back up.
constexpr int kFolderDepthMax = 64;

bool IsJsonLinesName(std::string_view name) {
  for (std::string_view end : {".jsonl", ".jsonl.gz", ".jsonl.zst"}) {
    if (name.size() > end.size() && name.substr(name.size() - end.size()) == end) return true;
  }
  return false;
}

Status AddFolder(Disk& disk, const std::string& path, const std::string& prefix, int depth,
                 bool watched, std::vector<InputFile>& files, std::vector<std::string>& folders) {
  folders.push_back(path);
  if (depth > kFolderDepthMax) {
    return absl::InvalidArgumentError(fmt::format(
        "{} lies {} folders deep in the input, which a link to a folder above it may have caused: "
        "remove that link",
        path, kFolderDepthMax));
  }
  StatusOr<std::vector<std::string>> names = disk.List(path);
  if (watched && depth > 0 && absl::IsNotFound(names.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    if (name.empty() || name[0] == '.') continue;
    const std::string entry = path + "/" + name;
    const StatusOr<FileInfo> info = disk.Stat(entry);
    if (!info.ok()) {
      // A link that leads nowhere is an input only by its name.
      if (absl::IsNotFound(info.status()) && (watched || !IsJsonLinesName(name))) continue;
      return info.status();
    }
    if (info->is_directory) {
      WEIR_RETURN_IF_ERROR(
          AddFolder(disk, entry, prefix + name + "/", depth + 1, watched, files, folders));
    } else if (IsJsonLinesName(name)) {
      files.push_back({entry, prefix + name, CompressionOf(name), info->size, info->modified});
    }
  }
  return absl::OkStatus();
}

StatusOr<std::vector<InputFile>> Find(Disk& disk, const std::string& input, bool watched,
                                      std::vector<std::string>& folders) {
  if (input.empty())
    return absl::InvalidArgumentError("no input is named: name a file or a folder");
  const StatusOr<FileInfo> info = disk.Stat(input);
  if (absl::IsNotFound(info.status())) {
    return absl::NotFoundError(fmt::format("there is no file or folder '{}' to read", input));
  }
  WEIR_RETURN_IF_ERROR(info.status());
  std::vector<InputFile> files;
  if (!info->is_directory && watched) {
    return absl::FailedPreconditionError(
        fmt::format("'{}' is a file: only a folder can be watched for new files", input));
  }
  if (!info->is_directory) {
    const std::string name = input.substr(input.rfind('/') + 1);
    files.push_back({input, name, CompressionOf(name), info->size, info->modified});
    return files;
  }
  std::string folder = input;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  WEIR_RETURN_IF_ERROR(AddFolder(disk, folder, "", 0, watched, files, folders));
  if (files.empty() && !watched) {
    return absl::NotFoundError(fmt::format(
        "the folder '{}' has no file to read: none ends in .jsonl, .jsonl.gz or .jsonl.zst",
        input));
  }
  std::sort(files.begin(), files.end(),
            [](const InputFile& a, const InputFile& b) { return a.name < b.name; });
  return files;
}

}  // namespace

StatusOr<std::vector<InputFile>> FindInputFiles(Disk& disk, const std::string& input) {
  std::vector<std::string> folders;
  return Find(disk, input, /*watched=*/false, folders);
}

StatusOr<std::vector<InputFile>> FindFilesToWatch(Disk& disk, const std::string& folder) {
  std::vector<std::string> folders;
  return Find(disk, folder, /*watched=*/true, folders);
}

Status FindInputPaths(Disk& disk, const std::string& input, bool watched,
                      std::vector<std::string>& folders, std::vector<std::string>& files) {
  WEIR_ASSIGN_OR_RETURN(const std::vector<InputFile> found, Find(disk, input, watched, folders));
  for (std::string& folder : folders) {
    WEIR_ASSIGN_OR_RETURN(folder, disk.Canonical(folder));
  }
  for (const InputFile& file : found) {
    WEIR_ASSIGN_OR_RETURN(files.emplace_back(), disk.Canonical(file.path));
  }
  return absl::OkStatus();
}

StatusOr<uint64_t> HashOfHead(Disk& disk, const InputFile& file) {
  WEIR_ASSIGN_OR_RETURN(auto open, disk.OpenForRead(file.path));
  std::array<char, kHeadBytes> head;
  WEIR_ASSIGN_OR_RETURN(size_t got, open->ReadAt(0, head.data(), head.size()));
  return Hash64({head.data(), got});
}

Status CheckUnchanged(Disk& disk, const InputFile& file) {
  const StatusOr<FileInfo> info = disk.Stat(file.path);
  if (absl::IsNotFound(info.status())) return FileHasChanged(file.path, "it is gone");
  WEIR_RETURN_IF_ERROR(info.status());
  if (info->size != file.size) {
    return FileHasChanged(file.path,
                          fmt::format("it had {} bytes and has {}", file.size, info->size));
  }
  if (info->modified != file.modified) {
    return FileHasChanged(
        file.path, fmt::format("it was last modified at {}, now at {}",
                               FormatTimestamp(file.modified), FormatTimestamp(info->modified)));
  }
  return absl::OkStatus();
}

Status FileHasChanged(const std::string& path, const std::string& how) {
  return absl::FailedPreconditionError(fmt::format(
      "the input file '{}' has changed since the job began to read it: {}. Put the file back as it "
      "was, or start the job over (--fresh)",
      path, how));
}

}  // namespace weir
