#include "state/content_files.h"

#include <fmt/format.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace weir {
namespace {

constexpr size_t kReadBytes = 1 << 20;

std::string Name(const XXH128_hash_t& hash, uint64_t bytes) {
  return fmt::format("{:016x}{:016x}-{}", hash.high64, hash.low64, bytes);
}

}  // namespace

std::string ContentName(std::string_view bytes) {
  return Name(XXH3_128bits(bytes.data(), bytes.size()), bytes.size());
}

StatusOr<std::string> ContentNameOf(ReadableFile& file) {
  std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                        XXH3_freeState);
  XXH3_128bits_reset(state.get());
  std::string buffer(kReadBytes, '\0');
  for (uint64_t offset = 0;;) {
    WEIR_ASSIGN_OR_RETURN(size_t n, file.ReadAt(offset, buffer.data(), buffer.size()));
    XXH3_128bits_update(state.get(), buffer.data(), n);
    offset += n;
    if (n < buffer.size()) return Name(XXH3_128bits_digest(state.get()), offset);
  }
}

Status ContentReader::Broken(const StateFile& file, const Status& why) const {
  const std::string where = fmt::format("file '{}' of the checkpoint, {}", file.name,
                                        objects_.Location(prefix_ + file.content));
  if (absl::IsNotFound(why)) return absl::DataLossError(where + ", is missing");
  if (absl::IsInvalidArgument(why)) {
    return absl::DataLossError(fmt::format("{}: {}", where, std::string(why.message())));
  }
  return Annotate(why, where);
}

Status ContentReader::Check(const StateFile& file, std::string_view content) const {
  if (content == file.content) return absl::OkStatus();
  return absl::DataLossError(fmt::format(
      "file '{}' of the checkpoint, {}, has changed since it was written: its content is {} now",
      file.name, objects_.Location(prefix_ + file.content), content));
}

StatusOr<std::string> ContentReader::ReadBytes(const StateFile& file) {
  StatusOr<std::string> bytes = objects_.Get(prefix_ + file.content);
  if (!bytes.ok()) return Broken(file, bytes.status());
  WEIR_RETURN_IF_ERROR(Check(file, ContentName(*bytes)));
  return bytes;
}

Status ContentReader::Fetch(const StateFile& file, const std::string& local_path) {
  Status fetched = objects_.Fetch(prefix_ + file.content, local_path);
  if (absl::IsAlreadyExists(fetched)) return fetched;
  if (!fetched.ok()) return Broken(file, fetched);
  Status status = [&]() -> Status {
    WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ReadableFile> local, disk_.OpenForRead(local_path));
    WEIR_ASSIGN_OR_RETURN(std::string content, ContentNameOf(*local));
    return Check(file, content);
  }();
  if (!status.ok()) disk_.Remove(local_path).IgnoreError();  // the first error is the result
  return status;
}

Status ContentReader::Verify(const StateFile& file) {
  auto opened = objects_.OpenForRead(prefix_ + file.content);
  if (!opened.ok()) return Broken(file, opened.status());
  StatusOr<std::string> content = ContentNameOf(**opened);
  if (!content.ok()) return Broken(file, content.status());
  return Check(file, *content);
}

}  // namespace weir
