// FieldPath: where a value stands in a record, or a pattern of such places.
//
//   user.address.zip      members, from the record's root
//   items[*].price        of every element of a list; a path never tells elements apart
//   prices.*              of every member
//   labels."a.b"          a name with more than letters, digits, _ - $ @ : / is quoted, as in JSON
//
// Paths of differences are written like this too, so a path can be copied from a report into a
// rules file. Values without thread or owner.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace weir::shadow {

// Of a record that is no JSON, too deep or too long to be compared by its fields: the whole line.
inline constexpr std::string_view kLinePath = "(line)";
// The record itself, where it is no object.
inline constexpr std::string_view kRootPath = "(record)";
// All fields beyond those that are told apart.
inline constexpr std::string_view kOtherFieldsPath = "(other fields)";

struct PathStep {
  enum class Kind : uint8_t { kMember, kAnyMember, kElements };
  Kind kind = Kind::kMember;
  std::string name;  // of kMember
  bool operator==(const PathStep&) const = default;
};
using FieldPath = std::vector<PathStep>;

// InvalidArgument says what is wrong, and at which character.
StatusOr<FieldPath> ParseFieldPath(std::string_view text);

// How a path goes on: "", "a" -> "a"; "a", "b.c" -> a."b.c".
void AppendMember(std::string_view name, std::string& path);
void AppendElements(std::string& path);

}  // namespace weir::shadow
