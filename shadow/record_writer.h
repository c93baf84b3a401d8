// RecordWriter: one JSON value as canonical text, under the rules of its fields.
//
// One per operator, one thread; it keeps its buffers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "shadow/field_rules.h"

namespace weir::shadow {

// Where the parts of a record's key stand in the text that was written.
struct KeyPart {
  size_t begin = 0;
  size_t end = 0;  // begin: not there
};

class RecordWriter {
 public:
  // Appends the value, whose rules begin at `state`. False: it is deeper than limits::kDepthMax, or
  // an object in it has two members of one name, and `out` holds a part of it. Notes the key's
  // parts in `key`, where it has room for their slots.
  bool Write(const JsonValue& value, const FieldRules& rules, FieldRules::State state,
             std::string& out, std::vector<KeyPart>* key = nullptr);

 private:
  struct Member {
    std::string_view name;
    JsonValue value;
    FieldRules::State state;
  };
  bool WriteValue(const JsonValue& value, FieldRules::State state, int depth);
  bool WriteObject(const JsonValue& value, FieldRules::State state, int depth);
  bool WriteList(const JsonValue& value, FieldRules::State state, int depth);
  void WriteNumber(const JsonValue& value);
  void WriteText(std::string_view text, const FieldRule& rule);
  void SortElements(size_t begin, size_t first_end);

  const FieldRules* rules_ = nullptr;
  std::string* out_ = nullptr;
  std::vector<KeyPart>* key_ = nullptr;
  std::vector<Member> members_;  // of all objects that are open, the innermost last
  std::vector<size_t> ends_;     // of elements of the unordered lists that are open, likewise
  std::string scratch_;
};

// A JSON string's text between its quotes. Halves of surrogate pairs (core/json.h) become \uXXXX.
void AppendEscaped(std::string_view text, std::string& out);
// As the rule wants it; the text itself where it wants nothing.
std::string_view Folded(std::string_view text, const FieldRule& rule, std::string& scratch);

}  // namespace weir::shadow
