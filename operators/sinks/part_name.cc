#include "operators/sinks/part_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/codec.h"
#include "operators/partition_label.h"
#include "operators/sinks/time_path.h"

namespace weir {
namespace {

constexpr std::string_view kHandleFormat = "file-sink/2";
constexpr std::string_view kEarlierHandleFormat = "file-sink/1";
constexpr std::string_view kPrefix = "part-";
constexpr std::string_view kPending = ".pending";

// What "file-sink/1" holds.
struct EarlierPart {
  std::string directory;
  std::string partition;
  std::string job_id;
  std::string stage;
  uint32_t subtask = 0;
  uint32_t attempt = 0;
  uint64_t sequence = 0;
  uint64_t checkpoint = 0;
  uint64_t bytes = 0;

  BOOST_DESCRIBE_CLASS(EarlierPart, (),
                       (directory, partition, job_id, stage, subtask, attempt, sequence, checkpoint,
                        bytes),
                       (), ())
};

bool TakePrefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// The text up to the next '.', which is taken too; all of it if there is none.
std::string_view TakeWord(std::string_view& text) {
  const size_t dot = std::min(text.find('.'), text.size());
  const std::string_view word = text.substr(0, dot);
  text.remove_prefix(std::min(dot + 1, text.size()));
  return word;
}

// A decimal number as fmt writes it: no sign, no leading zeros.
template <class T>
bool ParseNumber(std::string_view text, T& number) {
  if (text.empty() || (text.size() > 1 && text.front() == '0')) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

std::optional<Part> ParseName(std::string_view name, bool committed) {
  Part part;
  bool known = false;
  for (PartCompression compression : kPartCompressions) {
    // No ending is the end of another.
    const std::string_view suffix = SuffixOf(compression);
    if (!name.ends_with(suffix)) continue;
    name.remove_suffix(suffix.size());
    part.compression = compression;
    known = true;
    break;
  }
  if (!known) return std::nullopt;
  if (!TakePrefix(name, kPrefix)) return std::nullopt;
  part.job_id = std::string(TakeWord(name));
  part.stage = std::string(TakeWord(name));
  if (!IsPartNameWord(part.job_id) || !IsPartNameWord(part.stage)) return std::nullopt;
  auto number = [&](std::string_view letter, auto& value) {
    std::string_view word = TakeWord(name);
    return TakePrefix(word, letter) && ParseNumber(word, value);
  };
  if (!number("s", part.subtask) || !number("a", part.attempt)) return std::nullopt;
  if (committed && (!number("c", part.checkpoint) || part.checkpoint == 0)) return std::nullopt;
  if (!ParseNumber(name, part.sequence)) return std::nullopt;
  return part;
}

}  // namespace

bool IsPartNameWord(std::string_view word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

std::string Part::PendingName() const {
  return fmt::format("{}{}.{}.s{}.a{}.{}{}{}", kPrefix, job_id, stage, subtask, attempt, sequence,
                     SuffixOf(compression), kPending);
}
std::string Part::CommittedName() const {
  return fmt::format("{}{}.{}.s{}.a{}.c{}.{}{}", kPrefix, job_id, stage, subtask, attempt,
                     checkpoint, sequence, SuffixOf(compression));
}
std::string Part::PartitionFolder() const {
  return partition.empty() ? directory : directory + "/" + partition;
}
std::string Part::Folder() const {
  return time_path.empty() ? PartitionFolder() : PartitionFolder() + "/" + time_path;
}
std::string Part::PendingFolder() const { return PartitionFolder() + "/.pending"; }
std::string Part::RevokedFolder() const {
  const std::string folder = PartitionFolder() + "/.revoked";
  return time_path.empty() ? folder : folder + "/" + time_path;
}

std::optional<Part> ParsePendingName(std::string_view name) {
  if (!name.ends_with(kPending)) return std::nullopt;
  name.remove_suffix(kPending.size());
  return ParseName(name, false);
}
std::optional<Part> ParseCommittedName(std::string_view name) { return ParseName(name, true); }

bool IsSamePart(const Part& a, const Part& b) {
  return a.subtask == b.subtask && a.attempt == b.attempt && a.sequence == b.sequence &&
         a.job_id == b.job_id && a.stage == b.stage && a.compression == b.compression;
}

std::string EncodeHandle(const Part& part) {
  std::string bytes;
  PutBytes(kHandleFormat, bytes);
  Codec<Part>::Encode(part, bytes);
  return bytes;
}

StatusOr<Part> DecodeHandle(std::string_view handle) {
  ByteReader in(handle);
  std::string_view format;
  if (!in.Bytes(format)) return absl::DataLossError("a file sink's handle is damaged");
  Part part;
  bool read = false;
  if (format == kHandleFormat) {
    read = Codec<Part>::Decode(in, part);
  } else if (format == kEarlierHandleFormat) {
    EarlierPart earlier;
    read = Codec<EarlierPart>::Decode(in, earlier);
    part.directory = earlier.directory;
    part.partition = earlier.partition;
    part.job_id = earlier.job_id;
    part.stage = earlier.stage;
    part.subtask = earlier.subtask;
    part.attempt = earlier.attempt;
    part.sequence = earlier.sequence;
    part.checkpoint = earlier.checkpoint;
    part.bytes = earlier.bytes;
  } else {
    return absl::DataLossError(
        fmt::format("a file sink's handle is of format '{}'; this version of Weir reads '{}' and "
                    "'{}'",
                    format.substr(0, 32), kHandleFormat, kEarlierHandleFormat));
  }
  const bool sound = read && in.done() && !part.directory.empty() &&
                     (part.partition.empty() || IsPartitionLabel(part.partition)) &&
                     IsTimePath(part.time_path) && part.compression <= PartCompression::kNone &&
                     IsPartNameWord(part.job_id) && IsPartNameWord(part.stage) &&
                     part.checkpoint != 0;
  if (!sound) return absl::DataLossError("a file sink's handle is damaged");
  return part;
}

}  // namespace weir
