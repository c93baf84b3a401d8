#include "operators/sinks/part_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/codec.h"
#include "operators/partition_label.h"

namespace weir {
namespace {

constexpr std::string_view kHandleFormat = "file-sink/1";
constexpr std::string_view kPrefix = "part-";
constexpr std::string_view kSuffix = ".jsonl.zst";
constexpr std::string_view kPendingSuffix = ".jsonl.zst.pending";

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

std::optional<Part> ParseName(std::string_view name, std::string_view suffix, bool committed) {
  if (!name.ends_with(suffix)) return std::nullopt;
  name.remove_suffix(suffix.size());
  Part part;
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
  return fmt::format("{}{}.{}.s{}.a{}.{}{}", kPrefix, job_id, stage, subtask, attempt, sequence,
                     kPendingSuffix);
}
std::string Part::CommittedName() const {
  return fmt::format("{}{}.{}.s{}.a{}.c{}.{}{}", kPrefix, job_id, stage, subtask, attempt,
                     checkpoint, sequence, kSuffix);
}
std::string Part::Folder() const {
  return partition.empty() ? directory : directory + "/" + partition;
}
std::string Part::PendingFolder() const { return Folder() + "/.pending"; }
std::string Part::RevokedFolder() const { return Folder() + "/.revoked"; }

std::optional<Part> ParsePendingName(std::string_view name) {
  return ParseName(name, kPendingSuffix, false);
}
std::optional<Part> ParseCommittedName(std::string_view name) {
  return ParseName(name, kSuffix, true);
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
  if (format != kHandleFormat) {
    return absl::DataLossError(
        fmt::format("a file sink's handle is of format '{}'; this version of Weir reads '{}'",
                    format.substr(0, 32), kHandleFormat));
  }
  Part part;
  const bool sound = Codec<Part>::Decode(in, part) && in.done() && !part.directory.empty() &&
                     (part.partition.empty() || IsPartitionLabel(part.partition)) &&
                     IsPartNameWord(part.job_id) && IsPartNameWord(part.stage) &&
                     part.checkpoint != 0;
  if (!sound) return absl::DataLossError("a file sink's handle is damaged");
  return part;
}

}  // namespace weir
