#include "core/utf8.h"

#include <fmt/format.h>

#include "core/json.h"

namespace weir {

std::string ReplaceInvalidUtf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + 16);
  size_t i = 0;
  while (i < bytes.size()) {
    const unsigned char lead = bytes[i];
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    const std::string_view character = bytes.substr(i, length);
    if (length == 1 || IsValidUtf8(character)) {
      out.append(character);
      i += character.size();
    } else {
      out.append("\xEF\xBF\xBD");
      ++i;
    }
  }
  return out;
}

std::string WithoutDirections(std::string_view text) {
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool may_be = i + 2 < text.size() && text[i] == '\xE2' && (text[i + 1] & 0xFE) == 0x80;
    const int code = may_be ? 0x2000 | (text[i + 1] & 0x3F) << 6 | (text[i + 2] & 0x3F) : 0;
    const bool mark = code == 0x200E || code == 0x200F;
    const bool embedding = code >= 0x202A && code <= 0x202E;
    const bool isolate = code >= 0x2066 && code <= 0x2069;
    if (mark || embedding || isolate) {
      shown += fmt::format("\\u{:04x}", code);
      i += 2;
    } else {
      shown.push_back(text[i]);
    }
  }
  return shown;
}

std::string Printable(std::string_view bytes) {
  const bool utf8 = IsValidUtf8(bytes);
  const std::string text = utf8 ? WithoutDirections(bytes) : std::string(bytes);
  std::string shown;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    // U+0080 to U+009F are control characters too.
    const bool c1 = utf8 && c == 0xC2 && static_cast<unsigned char>(text[i + 1]) < 0xA0;
    if (c1) {
      shown += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[++i]));
    } else if (c < 0x20 || c == 0x7F || (!utf8 && c >= 0x80)) {
      shown += fmt::format("\\x{:02x}", c);
    } else {
      shown.push_back(text[i]);
    }
  }
  return shown;
}

}  // namespace weir
