// Schema: what a row or a state value looks like, derived from the same description as its codec.
//
// It is written into checkpoints, compared before a restore, and its fingerprint identifies a type
// between processes.
#pragma once

#include <cstdint>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"

namespace weir {

struct Schema {
  enum class Kind : uint8_t {
    kBool = 1,
    kInt,     // any signed integer or enum; encoded as a zigzag varint
    kUint,    // any unsigned integer; a varint
    kDouble,  // float or double
    kString,
    kOptional,  // fields[0]
    kList,      // fields[0]
    kMap,       // fields[0] -> fields[1]
    kTuple,     // fields by position
    kStruct,    // fields by name, in the order of their encoding
  };
  struct Field;

  Kind kind = Kind::kBool;
  std::string name;  // of a struct
  std::vector<Field> fields;

  const Field* FindField(std::string_view field) const;  // of a struct; null if it has none

  // "struct Departure{origin:string,delay:int}"; equal texts are equal schemas.
  std::string ToText() const;
  uint64_t Fingerprint() const;
  std::string Serialize() const;
  static StatusOr<Schema> Parse(std::string_view bytes);
};

struct Schema::Field {
  std::string name;
  Schema type;
  std::vector<std::string> was = {};  // earlier names (WEIR_RENAMED); in no text and no bytes
};

// What becomes of a field when bytes written with one schema are read as another.
struct FieldChange {
  enum class Kind : uint8_t {
    kAdded,         // it gets its default
    kRemoved,       // its values are dropped
    kRenamed,       // it is read from the field that had its earlier name
    kMadeOptional,  // its values are all present
    kIncompatible,  // the bytes cannot be read
  };
  Kind kind = Kind::kIncompatible;
  std::string path;  // "counts.value.total", below what the caller calls the whole
  std::string text;  // "was string, is int"
};
std::string_view ToString(FieldChange::Kind kind);

// Everything that differs between bytes as they were written and as they are wanted. Fields of
// structs meet by name, or by an earlier name; they may come and go; a value may become optional;
// everything else must keep its kind.
std::vector<FieldChange> CompareSchemas(const Schema& written, const Schema& wanted,
                                        std::string_view where);

// What of that keeps the bytes from being read, a line each ("counts.value.total: was string, is
// int"). Empty: readable.
std::vector<std::string> IncompatibleFields(const Schema& written, const Schema& wanted,
                                            std::string_view where);

// Whether the written field `field` is what a member is read from: its own name goes first, then
// its earlier names, in their order.
template <class Names>
bool IsReadFrom(const Schema& written, std::string_view field, std::string_view member,
                const Names& earlier) {
  if (field == member) return true;
  if (std::empty(earlier) || written.FindField(member) != nullptr) return false;
  for (std::string_view name : earlier) {
    if (written.FindField(name) != nullptr) return name == field;
  }
  return false;
}

}  // namespace weir
