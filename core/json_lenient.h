// The lenient JSON parser: RFC 8259 with no limits but depth. Slower than simdjson, it is asked
// where simdjson gives up (numbers beyond 64 bits or double, halves of surrogate pairs), for the
// text of numbers, and for the byte at which a broken text is broken. Internal to core/json*.cc.
//
// It is written here because RapidJSON 1.1 refuses 1e400 even with kParseNumbersAsStringsFlag.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"

namespace weir::internal {

struct LenientNode {
  JsonValue::Kind kind = JsonValue::Kind::kNull;
  uint32_t end = 0;       // index behind this node and all that it contains
  uint32_t children = 0;  // of an array or object; the first is the next node
  uint64_t tape = 0;      // where simdjson has the same value on its tape
  std::string_view text;  // a string unescaped, a literal as written
  std::string_view key;   // if it is a member, unescaped
};

// Not thread-safe. Nodes are in document order and point into the text and into this object, until
// the next Parse().
class LenientJson {
 public:
  Status Parse(std::string_view text);
  const std::vector<LenientNode>& nodes() const { return nodes_; }
  const LenientNode* FindByTape(uint64_t tape) const;

 private:
  bool Value();
  bool Key();
  bool String(std::string_view& text);
  bool Unescape(std::string_view raw, std::string_view& text);
  bool Number();
  bool Literal(std::string_view word, JsonValue::Kind kind);
  bool Open(JsonValue::Kind kind);
  void Close();
  void Add(JsonValue::Kind kind, std::string_view text, int tape_words);
  void SkipSpace();
  bool Consume(char c);
  bool Fail(const char* what);
  bool FailAt(const char* what, const char* where);

  const char* begin_ = nullptr;
  const char* p_ = nullptr;
  const char* end_ = nullptr;
  uint64_t tape_ = 0;
  std::string_view key_;
  const char* error_ = nullptr;
  const char* error_at_ = nullptr;
  std::vector<LenientNode> nodes_;
  std::vector<uint32_t> open_;
  std::string unescaped_;  // reserved once for a text, so that views into it hold
};

}  // namespace weir::internal
