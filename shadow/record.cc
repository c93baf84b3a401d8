#include "shadow/record.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "core/utf8.h"
#include "shadow/limits.h"

namespace weir::shadow {
namespace {

// The beginning of a text, at a whole character.
std::string_view Beginning(std::string_view text, size_t bytes_max) {
  if (text.size() <= bytes_max) return text;
  size_t end = bytes_max;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string Hashed(std::string_view text) {
  const Fingerprint hash = Hash128(text);
  return fmt::format("{} bytes, hash {:016x}{:016x}", text.size(), hash.high, hash.low);
}

}  // namespace

RecordReader::RecordReader(const OutputRules& rules) : rules_(rules) {}

const Record& RecordReader::Take(const StatusOr<JsonValue>& root, std::string_view line) {
  text_.clear();
  key_.clear();
  key_parts_.assign(rules_.key.size(), KeyPart());
  const bool read =
      root.ok() && writer_.Write(*root, rules_.fields, rules_.fields.root(), text_, &key_parts_);
  if (read) {
    TakeKey();
  } else if (IsValidUtf8(line)) {
    text_ = line;
  } else {
    text_ = fmt::format("{} ... (not UTF-8, {})", Printable(line.substr(0, limits::kTextBytesKept)),
                        Hashed(line));
  }
  Shorten();
  record_.text = text_;
  record_.key = key_;
  record_.hash = Hash64(key_.empty() ? text_ : key_);
  return record_;
}

void RecordReader::TakeKey() {
  if (key_parts_.empty()) return;
  key_ = "[";
  for (const KeyPart& part : key_parts_) {
    if (part.begin == part.end) return key_.clear();
    if (key_.size() > 1) key_ += ',';
    key_.append(text_, part.begin, part.end - part.begin);
  }
  key_ += ']';
  if (key_.size() > limits::kKeyBytesMax) {
    key_ = fmt::format("{} ... ({})", Beginning(key_, limits::kKeyBytesMax), Hashed(key_));
  }
}

void RecordReader::Shorten() {
  if (text_.size() <= limits::kTextBytesMax) return;
  text_ = fmt::format("{} ... ({})", Beginning(text_, limits::kTextBytesKept), Hashed(text_));
  text_.shrink_to_fit();
}

}  // namespace weir::shadow
