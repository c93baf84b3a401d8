// RecordReader: what a version of a job would have written, as canonical text and key.
//
// Two records are equal under the rules exactly if their canonical texts are, but for tolerances
// (of numbers, of times), which only a comparison of the fields can apply (difference.h). The text
// is JSON: members sorted by name, no white space, ignored fields gone, unordered lists sorted,
// texts normalised. Numbers:
//   - 1 and 1.0 are an integer and a number, and differ in type, as schemas and readers tell them
//     apart.
//   - A number with a fraction or an exponent is the nearest double: 1.50, 15e-1 and 1.5 are one.
//   - An integer has all its digits, whatever their number; -0 is 0.
// What is no JSON, deeper than limits::kDepthMax, or has an object with two members of one name is
// taken as it is; what is no UTF-8 or longer than limits::kTextBytesMax is cut, with a hash of the
// whole behind it. None of these texts is canonical, so no record can pass for another.
//
// One per operator, one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "shadow/record_writer.h"
#include "shadow/rules.h"

namespace weir::shadow {

struct Record {
  std::string_view text;  // canonical
  // Its key, as a list in JSON: ["id-1",7]. Without one it is empty: the rules name none, or the
  // record lacks a field of it. Such records meet by text.
  std::string_view key;
  // Of the key, or of the text where there is no key: what the comparator is keyed by.
  uint64_t hash = 0;
};

class RecordReader {
 public:
  // The rules must outlive it.
  explicit RecordReader(const OutputRules& rules);

  // Views are valid until the next call. REQUIRES: padding behind the line (JsonParser::Parse).
  const Record& Read(std::string_view padded_line) {
    return Take(parser_.Parse(padded_line), padded_line);
  }
  // Of any line, at the price of a copy.
  const Record& ReadUnpadded(std::string_view line) {
    return Take(parser_.ParseUnpadded(line), line);
  }

 private:
  const Record& Take(const StatusOr<JsonValue>& root, std::string_view line);
  void TakeKey();
  void Shorten();

  const OutputRules& rules_;
  JsonParser parser_;
  RecordWriter writer_;
  std::vector<KeyPart> key_parts_;
  std::string text_;
  std::string key_;
  Record record_;
};

}  // namespace weir::shadow
