#include "state/checksummed_file.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "state/sub_key.h"
#include "weir/state/manifest.pb.h"

namespace weir {
namespace {

constexpr size_t kBytesMax = size_t{1} << 30;  // a protobuf message ends at 2 GiB

std::string ChecksumOf(std::string_view content) {
  Fingerprint hash = Hash128(content);
  std::string bytes;
  PutOrderedUint(hash.high, bytes);
  PutOrderedUint(hash.low, bytes);
  return bytes;
}

}  // namespace

std::string WrapWithChecksum(std::string_view content) {
  state::ChecksummedFile file;
  file.set_content(content.data(), content.size());
  file.set_checksum(ChecksumOf(content));
  return file.SerializeAsString();
}

StatusOr<std::string> UnwrapChecked(std::string_view bytes, std::string_view where) {
  state::ChecksummedFile file;
  if (bytes.empty()) return absl::DataLossError(fmt::format("{} is empty", where));
  if (bytes.size() > kBytesMax ||
      !file.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())) ||
      file.checksum().empty()) {
    return absl::DataLossError(
        fmt::format("{} is torn or is no such file ({} bytes)", where, bytes.size()));
  }
  if (file.checksum() != ChecksumOf(file.content())) {
    return absl::DataLossError(
        fmt::format("{} has changed since it was written: its checksum does not match", where));
  }
  // What this version writes, to the byte: a bit that flipped in a tag may go unnoticed otherwise.
  if (file.SerializeAsString() != bytes) {
    return absl::DataLossError(fmt::format("{} has bytes that nobody wrote there", where));
  }
  return std::move(*file.mutable_content());
}

}  // namespace weir
