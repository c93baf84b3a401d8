// JSON as Weir reads and writes it: RFC 8259, whole documents only, any number, any depth up to
// limits::kJsonDepthMax, the first of duplicate keys.
//
// JsonParser checks the whole text and gives access to its values. It reads with simdjson; where
// that reports a number or a depth beyond its own limits, or half of a surrogate pair, a second,
// lenient parser decides. Such a half (\ud800 alone) becomes three bytes that are no UTF-8. Not
// thread-safe; keep one per operator. Values are valid until the next Parse() of the same parser
// and as long as the text is, and so are the strings they return, which need not point into the
// text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace weir {

// Dotted paths that are looked up together, by JsonValue::FindAll(). Immutable.
class JsonPaths {
 public:
  JsonPaths() = default;
  explicit JsonPaths(std::vector<std::string> paths);
  size_t size() const { return paths_.size(); }
  const std::string& operator[](size_t i) const { return paths_[i].whole.text; }

 private:
  friend class JsonValue;
  struct Key {
    std::string text;
    uint64_t prefix = 0;  // its first eight bytes, zeros behind its end
    bool Is(std::string_view key, uint64_t key_prefix) const {
      return key_prefix == prefix && key.size() == text.size() && (key.size() <= 8 || key == text);
    }
  };
  struct Path {
    Key whole;
    Key head;          // up to the first dot
    std::string tail;  // what follows it; empty where there is no dot
  };
  static uint64_t Prefix(std::string_view key);

  std::vector<Path> paths_;
  uint64_t lengths_ = 0;  // bit n: some key that counts has n bytes (63: or more)
};

class JsonValue {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  Kind kind() const;
  // The value behind the first key `name` of an object; nullopt if this is no object or has no such
  // key.
  std::optional<JsonValue> Find(std::string_view name) const;
  // "a.b.c": the member of that very name, else FindPath("b.c") of the member "a".
  std::optional<JsonValue> FindPath(std::string_view dotted) const;
  // found[i] = FindPath(paths[i]) for all paths, in one walk over this object's members. REQUIRES:
  // found.size() == paths.size().
  void FindAll(const JsonPaths& paths, std::span<std::optional<JsonValue>> found) const;
  std::optional<std::string_view> GetString() const;  // unescaped
  std::optional<bool> GetBool() const;
  std::optional<int64_t> GetInt() const;    // a number without fraction that fits
  std::optional<uint64_t> GetUint() const;  // likewise
  std::optional<double> GetDouble() const;  // any number that a double holds as a finite value
  // A number's or a string's text: a string unescaped, an integer as written (but -0 is "0"). A
  // number with a fraction or an exponent, or beyond 64 bits, is as written too, at a price.
  std::optional<std::string_view> GetText() const;
  size_t size() const;               // elements of an array or members of an object
  JsonValue At(size_t index) const;  // REQUIRES: an array, index < size(). Linear in index.

  // Calls fn(key, value) for each member of an object, in order, duplicates included.
  template <class Fn>
  void ForEachMember(Fn fn) const {
    struct Thunk {
      static void Call(void* context, std::string_view key, const JsonValue& value) {
        (*static_cast<Fn*>(context))(key, value);
      }
    };
    VisitMembers(&Thunk::Call, &fn);
  }
  template <class Fn>
  void ForEachElement(Fn fn) const {
    struct Thunk {
      static void Call(void* context, std::string_view, const JsonValue& value) {
        (*static_cast<Fn*>(context))(value);
      }
    };
    VisitElements(&Thunk::Call, &fn);
  }

 private:
  friend class JsonParser;
  friend struct JsonAccess;
  using Visitor = void (*)(void* context, std::string_view key, const JsonValue& value);
  void VisitMembers(Visitor visitor, void* context) const;
  void VisitElements(Visitor visitor, void* context) const;

  // Whose document it is; in simdjson's document the position on its tape, or, without one, the
  // node's index in the lenient tree.
  class JsonParser* parser_ = nullptr;
  const void* document_ = nullptr;
  uint64_t node_ = 0;
};

class JsonParser {
 public:
  JsonParser();
  ~JsonParser();
  JsonParser(const JsonParser&) = delete;
  JsonParser& operator=(const JsonParser&) = delete;

  // The text's root value. REQUIRES: limits::kSlabPaddingBytes readable bytes behind the text (a
  // view into a slab has them). InvalidArgument says what is wrong, and at which byte.
  StatusOr<JsonValue> Parse(std::string_view padded_text);
  // The same for any text, at the price of a copy; the text may go at once.
  StatusOr<JsonValue> ParseUnpadded(std::string_view text);

 private:
  friend class JsonValue;
  friend struct JsonAccess;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Writes one JSON document, compact. Calls must nest properly; strings must be UTF-8 (invalid bytes
// become U+FFFD).
class JsonWriter {
 public:
  JsonWriter();
  ~JsonWriter();
  JsonWriter(const JsonWriter&) = delete;
  JsonWriter& operator=(const JsonWriter&) = delete;

  void StartObject();
  void Key(std::string_view name);
  void EndObject();
  void StartArray();
  void EndArray();
  void String(std::string_view text);
  void Int(int64_t number);
  void Uint(uint64_t number);
  void Double(double number);  // null where it is not finite, which JSON cannot say
  void Bool(bool value);
  void Null();
  // The text so far; valid until the next call.
  std::string_view text() const;
  void Clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

bool IsValidUtf8(std::string_view bytes);

}  // namespace weir
