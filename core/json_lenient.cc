#include "core/json_lenient.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "core/limits.h"

namespace weir::internal {
namespace {

static_assert(limits::kJsonDepthMax == 16'384, "the message of LenientJson::Open names it");

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The value of four hexadecimal digits; -1 if they are none.
int Hex4(const char* p) {
  int value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    int digit;
    if (IsDigit(c)) {
      digit = c - '0';
    } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
      digit = (c | 0x20) - 'a' + 10;
    } else {
      return -1;
    }
    value = value * 16 + digit;
  }
  return value;
}

void PutUtf8(uint32_t code, std::string& out) {
  auto put = [&](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 0x3F));
    put(0x80 | (code >> 6 & 0x3F));
    put(0x80 | (code & 0x3F));
  }
}

// The first byte that does not belong to a well-formed character.
size_t FirstNonUtf8Byte(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const unsigned char lead = text[i];
    size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (length > 1 && !IsValidUtf8(text.substr(i, length))) return i;
    i += length;
  }
  return text.size();
}

}  // namespace

Status LenientJson::Parse(std::string_view text) {
  nodes_.clear();
  open_.clear();
  unescaped_ = std::string();
  key_ = {};
  tape_ = 1;  // simdjson keeps a word of its own in front
  error_ = nullptr;
  begin_ = p_ = text.data();
  end_ = begin_ + text.size();
  // A node takes at least a byte of text.
  if (text.size() >= std::numeric_limits<uint32_t>::max()) {
    return absl::InvalidArgumentError("not JSON that can be read: 4 GiB or longer");
  }
  if (!IsValidUtf8(text)) {
    return absl::InvalidArgumentError(
        fmt::format("not JSON: invalid UTF-8 at byte {}", FirstNonUtf8Byte(text)));
  }

  bool ok = Value();
  while (ok && !open_.empty()) {
    const bool object = nodes_[open_.back()].kind == JsonValue::Kind::kObject;
    SkipSpace();
    if (Consume(object ? '}' : ']')) {
      Close();
    } else if (Consume(',')) {
      ok = (!object || Key()) && Value();
    } else {
      ok = Fail(object ? "wanted ',' or '}'" : "wanted ',' or ']'");
    }
  }
  if (ok) {
    SkipSpace();
    if (p_ != end_) ok = Fail("something follows the value");
  }
  if (ok) return absl::OkStatus();
  if (error_at_ == end_) {
    return absl::InvalidArgumentError(
        fmt::format("not JSON: it ends too early, at byte {}: {}", text.size(), error_));
  }
  return absl::InvalidArgumentError(
      fmt::format("not JSON: {}, at byte {}", error_, error_at_ - begin_));
}

const LenientNode* LenientJson::FindByTape(uint64_t tape) const {
  auto it = std::lower_bound(nodes_.begin(), nodes_.end(), tape,
                             [](const LenientNode& node, uint64_t t) { return node.tape < t; });
  return it != nodes_.end() && it->tape == tape ? &*it : nullptr;
}

// One value, but of a container that is not empty only the start and what comes in front of the
// first scalar in it.
bool LenientJson::Value() {
  for (;;) {
    SkipSpace();
    if (p_ == end_) return Fail("wanted a value");
    switch (*p_) {
      case '{':
        if (!Open(JsonValue::Kind::kObject)) return false;
        SkipSpace();
        if (Consume('}')) return Close(), true;
        if (!Key()) return false;
        break;
      case '[':
        if (!Open(JsonValue::Kind::kArray)) return false;
        SkipSpace();
        if (Consume(']')) return Close(), true;
        break;
      case '"': {
        std::string_view text;
        if (!String(text)) return false;
        Add(JsonValue::Kind::kString, text, 1);
        return true;
      }
      case 't':
        return Literal("true", JsonValue::Kind::kBool);
      case 'f':
        return Literal("false", JsonValue::Kind::kBool);
      case 'n':
        return Literal("null", JsonValue::Kind::kNull);
      default:
        return Number();
    }
  }
}

bool LenientJson::Key() {
  SkipSpace();
  if (p_ == end_ || *p_ != '"') return Fail("wanted a key in double quotes");
  if (!String(key_)) return false;
  ++tape_;
  SkipSpace();
  return Consume(':') || Fail("wanted ':' behind a key");
}

bool LenientJson::String(std::string_view& text) {
  const char* const quote = p_++;
  const char* const first = p_;
  bool escaped = false;
  for (;; ++p_) {
    if (p_ == end_) return Fail("a string that is not closed");
    if (*p_ == '"') break;
    if (static_cast<unsigned char>(*p_) < 0x20) {
      return Fail("a control character that must be escaped");
    }
    if (*p_ != '\\') continue;
    escaped = true;
    if (++p_ == end_) return FailAt("a string that is not closed", quote);
  }
  text = {first, static_cast<size_t>(p_ - first)};
  ++p_;
  return !escaped || Unescape(text, text);
}

bool LenientJson::Unescape(std::string_view raw, std::string_view& text) {
  // No escape stands for more bytes than it takes, so this never grows again.
  if (unescaped_.capacity() < static_cast<size_t>(end_ - begin_)) unescaped_.reserve(end_ - begin_);
  const size_t start = unescaped_.size();
  const char* p = raw.data();
  const char* const end = p + raw.size();
  while (p != end) {
    if (*p != '\\') {
      unescaped_.push_back(*p++);
      continue;
    }
    const char* const escape = p;
    const char c = p[1];
    p += 2;
    if (c != 'u') {
      constexpr std::string_view kNames = "\"\\/bfnrt";
      constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
      const size_t i = kNames.find(c);
      if (i == kNames.npos) return FailAt("an unknown escape in a string", escape);
      unescaped_.push_back(kBytes[i]);
      continue;
    }
    int code = end - p < 4 ? -1 : Hex4(p);
    if (code < 0) return FailAt("\\u without four hexadecimal digits", escape);
    p += 4;
    if (code >= 0xD800 && code < 0xDC00) {
      const int low = end - p >= 6 && p[0] == '\\' && p[1] == 'u' ? Hex4(p + 2) : -1;
      if (low >= 0xDC00 && low <= 0xDFFF) {
        p += 6;
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      }
    }
    // Half of a surrogate pair is allowed by the grammar. It becomes what its number would be in
    // UTF-8 (WTF-8): no UTF-8, but different for different halves, and nothing else looks like it.
    PutUtf8(static_cast<uint32_t>(code), unescaped_);
  }
  text = std::string_view(unescaped_).substr(start);
  return true;
}

bool LenientJson::Number() {
  const char* const first = p_;
  auto digits = [this] {
    const char* const start = p_;
    while (p_ != end_ && IsDigit(*p_)) ++p_;
    return p_ != start;
  };
  Consume('-');
  if (p_ == end_ || !IsDigit(*p_)) {
    return p_ == first ? Fail("wanted a value") : Fail("wanted a digit");
  }
  if (!Consume('0')) digits();
  if (Consume('.') && !digits()) return Fail("wanted a digit behind the point");
  if (Consume('e') || Consume('E')) {
    if (!Consume('+')) Consume('-');
    if (!digits()) return Fail("wanted a digit in the exponent");
  }
  Add(JsonValue::Kind::kNumber, {first, static_cast<size_t>(p_ - first)}, 2);
  return true;
}

bool LenientJson::Literal(std::string_view word, JsonValue::Kind kind) {
  if (std::string_view(p_, end_ - p_).substr(0, word.size()) != word) return Fail("wanted a value");
  Add(kind, word, 1);
  p_ += word.size();
  return true;
}

bool LenientJson::Open(JsonValue::Kind kind) {
  if (open_.size() >= static_cast<size_t>(limits::kJsonDepthMax)) {
    return Fail("nested deeper than 16,384");
  }
  ++p_;
  Add(kind, {}, 1);
  open_.push_back(static_cast<uint32_t>(nodes_.size() - 1));
  return true;
}

void LenientJson::Close() {
  nodes_[open_.back()].end = static_cast<uint32_t>(nodes_.size());
  open_.pop_back();
  ++tape_;
}

void LenientJson::Add(JsonValue::Kind kind, std::string_view text, int tape_words) {
  if (!open_.empty()) ++nodes_[open_.back()].children;
  LenientNode& node = nodes_.emplace_back();
  node.kind = kind;
  node.end = static_cast<uint32_t>(nodes_.size());
  node.tape = tape_;
  node.text = text;
  node.key = std::exchange(key_, {});
  tape_ += tape_words;
}

void LenientJson::SkipSpace() {
  while (p_ != end_ && (*p_ == ' ' || *p_ == '\t' || *p_ == '\r' || *p_ == '\n')) ++p_;
}

bool LenientJson::Consume(char c) {
  if (p_ == end_ || *p_ != c) return false;
  ++p_;
  return true;
}

bool LenientJson::Fail(const char* what) { return FailAt(what, p_); }

bool LenientJson::FailAt(const char* what, const char* where) {
  error_ = what;
  error_at_ = where;
  return false;
}

}  // namespace weir::internal
