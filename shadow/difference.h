// RecordDiffer: in which fields two records differ under the rules.
//
// It reads canonical texts (record.h). Lists are compared by index, or as multisets where they are
// unordered; whatever their length they are one field, items[*].price, that differs once in a
// record. A member or element that only one side has differs as a whole: what is below it is not
// told.
//
// One per operator, one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/json.h"
#include "core/time.h"
#include "shadow/record_writer.h"
#include "shadow/rules.h"

namespace weir::shadow {

enum class Change : uint8_t {
  kValue,    // another value of the same type
  kType,     // another type: integer, number, text, true or false, list, object
  kNull,     // null on one side
  kAdded,    // only on the right
  kRemoved,  // only on the left
  kOrder,    // a list with the same elements in another order
};
inline constexpr size_t kChanges = 6;
std::string_view NameOf(Change change);
// Another shape of the record, not only another value.
inline bool IsShape(Change change) { return change != Change::kValue && change != Change::kOrder; }

// One side of a field.
struct FieldValue {
  // In an order over all values: missing, null, true or false, number, text, list, object.
  enum class Rank : uint8_t { kMissing, kNull, kBool, kNumber, kText, kList, kObject };
  Rank rank = Rank::kMissing;
  double number = 0;              // of kNumber
  std::optional<Timestamp> time;  // of a text that is a time, and a number that may well be
  std::string shown;              // JSON, cut to limits::kValueBytesMax; empty if missing

  // < 0, 0, > 0: in which order they stand. Of texts that were cut the beginning counts.
  static int Compare(const FieldValue& a, const FieldValue& b);
};

struct FieldDifference {
  std::string path;  // or kLinePath, kRootPath, kOtherFieldsPath
  Change change = Change::kValue;
  FieldValue left;
  FieldValue right;
  bool known = false;  // expected by the rules
  // Of values that are shown alike, since they begin alike, the part that is not.
  std::pair<std::string, std::string> apart;
};

class RecordDiffer {
 public:
  // The rules must outlive it.
  explicit RecordDiffer(const OutputRules& rules);

  // By path, each once: of several elements the first that differs, and likewise of all that is
  // below a field whose differences are known, by that field's path. Empty: equal under the rules.
  // At most limits::kRecordFieldsMax, and then kOtherFieldsPath. Valid until the next call.
  const std::vector<FieldDifference>& Compare(std::string_view left, std::string_view right);

 private:
  using State = FieldRules::State;
  struct Member {
    std::string_view name;
    JsonValue value;
  };
  void CompareValues(const JsonValue& left, const JsonValue& right, State state, int depth);
  void CompareObjects(const JsonValue& left, const JsonValue& right, State state, int depth);
  void CompareLists(const JsonValue& left, const JsonValue& right, State state, int depth);
  void CompareMultisets(const std::vector<JsonValue>& left, const std::vector<JsonValue>& right,
                        State state, int depth);
  // Pairs as many as are equal under the rules: by left element, kUnmatched if it has no like.
  std::vector<size_t> MatchElements(const std::vector<JsonValue>& left,
                                    const std::vector<JsonValue>& right, State state, int depth);
  bool SameElements(const std::vector<JsonValue>& left, const std::vector<JsonValue>& right);
  bool ScalarsMatch(const JsonValue& left, const JsonValue& right, const FieldRule& rule) const;
  void Add(Change change, const JsonValue* left, const JsonValue* right, State state);
  void AddLines(std::string_view left, std::string_view right);
  // Goes from a field to what path_ now names; what comes back is known_length_ as it was.
  size_t Enter(State outer, State inner);
  bool Told(std::string_view path) const;
  FieldValue ValueOf(const JsonValue* value);
  std::string TextOf(const JsonValue& value);
  bool HasFields(const JsonValue& root);

  const OutputRules& rules_;
  const bool tolerant_;
  JsonParser left_parser_;
  JsonParser right_parser_;
  RecordWriter writer_;
  const FieldRules plain_;  // no rules: canonical texts have gone through the output's
  std::string path_;
  size_t known_length_ = 0;  // of path_, up to the field that a known difference names
  std::string scratch_;
  bool count_only_ = false;  // whether values are equal is all that is asked
  bool differs_ = false;
  size_t match_work_ = 0;  // done to match elements of this record
  std::vector<FieldDifference> found_;
};

// Cut to a number of bytes at a whole character, with "..." where something is missing, and with
// U+FFFD for what is no UTF-8: fit for JSON and for people.
std::string Shown(std::string_view text, size_t bytes_max);

// Likewise of two texts that differ, from shortly before they do so on where that is far behind.
std::pair<std::string, std::string> ShownApart(std::string_view left, std::string_view right,
                                               size_t bytes_max);

}  // namespace weir::shadow
