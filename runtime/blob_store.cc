#include "runtime/blob_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "jobs/parameters.h"

namespace weir {
namespace {

constexpr size_t kPlainNameBytesMax = 200;

}  // namespace

bool IsSha256(std::string_view text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

bool IsPlainName(std::string_view text) {
  return !text.empty() && text.size() <= kPlainNameBytesMax && text[0] != '.' &&
         std::all_of(text.begin(), text.end(), [](unsigned char c) {
           return std::isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

BlobStore::BlobStore(Environment& env, std::string folder)
    : env_(env), folder_(std::move(folder)) {}

Status BlobStore::Put(const std::string& sha256, std::string_view bytes) {
  if (!IsSha256(sha256) || Sha256Hex(bytes) != sha256) {
    return absl::InvalidArgumentError(
        fmt::format("the {} bytes that were sent do not have the SHA-256 '{}'", bytes.size(),
                    sha256.substr(0, 64)));
  }
  std::lock_guard lock(mutex_);
  if (Find(sha256).ok()) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(env_.disk.MakeDirectories(folder_));
  return WriteAtomically(env_.disk, folder_ + "/" + sha256, bytes);
}

StatusOr<std::string> BlobStore::Find(const std::string& sha256) {
  if (!IsSha256(sha256)) {
    return absl::InvalidArgumentError("a blob is named by 64 hexadecimal digits in lower case");
  }
  const std::string path = folder_ + "/" + sha256;
  if (!Exists(env_.disk, path)) {
    return absl::NotFoundError(fmt::format("there is no blob {}", sha256));
  }
  return path;
}

StatusOr<std::string> BlobStore::Read(const std::string& sha256) {
  WEIR_ASSIGN_OR_RETURN(const std::string path, Find(sha256));
  WEIR_ASSIGN_OR_RETURN(std::string bytes, ReadFile(env_.disk, path));
  if (Sha256Hex(bytes) != sha256) {
    return absl::DataLossError(
        fmt::format("{} has been changed: remove it, and send it again", path));
  }
  return bytes;
}

}  // namespace weir
