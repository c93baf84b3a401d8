// Schema: what a row or a state value looks like, derived from the same description as its codec.
//
// It is written into checkpoints, compared before a restore, and its fingerprint identifies a type
// between processes.
#pragma once

#include <cstdint>
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

  // "struct Departure{origin:string,delay:int}"; equal texts are equal schemas.
  std::string ToText() const;
  uint64_t Fingerprint() const;
  std::string Serialize() const;
  static StatusOr<Schema> Parse(std::string_view bytes);
};

struct Schema::Field {
  std::string name;
  Schema type;
};

// What keeps bytes written with `written` from being read as `wanted`, one line per reason, each
// naming the path of the field that differs below `where` ("counts.value.total: was string, is
// int"). Empty: readable. Fields of structs meet by name, and may come and go; everything else must
// keep its kind.
std::vector<std::string> IncompatibleFields(const Schema& written, const Schema& wanted,
                                            std::string_view where);

}  // namespace weir
