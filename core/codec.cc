#include "core/codec.h"

#include <fmt/format.h>

#include <cstring>

namespace weir {

bool ByteReader::Varint(uint64_t& value) {
  uint64_t result = 0;
  for (int shift = 0; shift < 64 && p_ < end_; shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(*p_++);
    // The tenth byte has room for one bit.
    if (shift == 63 && byte > 1) return false;
    result |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) {
      value = result;
      return true;
    }
  }
  return false;
}

bool ByteReader::Signed(int64_t& value) {
  uint64_t zigzag;
  if (!Varint(zigzag)) return false;
  value = static_cast<int64_t>((zigzag >> 1) ^ (~(zigzag & 1) + 1));
  return true;
}

bool ByteReader::Fixed64(uint64_t& value) {
  if (remaining() < 8) return false;
  uint64_t result = 0;
  for (int i = 0; i < 8; ++i) {
    result |= static_cast<uint64_t>(static_cast<uint8_t>(p_[i])) << (8 * i);
  }
  p_ += 8;
  value = result;
  return true;
}

bool ByteReader::Bytes(std::string_view& value) {
  uint64_t size;
  if (!Varint(size) || size > remaining()) return false;
  value = {p_, static_cast<size_t>(size)};
  p_ += size;
  return true;
}

void PutVarint(uint64_t value, std::string& out) {
  char bytes[10];
  size_t n = 0;
  while (value >= 0x80) {
    bytes[n++] = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  bytes[n++] = static_cast<char>(value);
  out.append(bytes, n);
}

void PutSigned(int64_t value, std::string& out) {
  const uint64_t bits = static_cast<uint64_t>(value);
  PutVarint((bits << 1) ^ (value < 0 ? ~uint64_t{0} : 0), out);
}

void PutFixed64(uint64_t value, std::string& out) {
  char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  out.append(bytes, 8);
}

void PutBytes(std::string_view value, std::string& out) {
  PutVarint(value.size(), out);
  out.append(value);
}

bool SkipValue(const Schema& schema, ByteReader& in) {
  uint64_t n;
  int64_t number;
  std::string_view bytes;
  switch (schema.kind) {
    case Schema::Kind::kBool:
      return in.Varint(n) && n <= 1;
    case Schema::Kind::kInt:
      return in.Signed(number);
    case Schema::Kind::kUint:
      return in.Varint(n);
    case Schema::Kind::kDouble:
      return in.Fixed64(n);
    case Schema::Kind::kString:
      return in.Bytes(bytes);
    case Schema::Kind::kOptional:
      if (!in.Varint(n) || n > 1) return false;
      return n == 0 || SkipValue(schema.fields[0].type, in);
    case Schema::Kind::kList:
    case Schema::Kind::kMap:
      if (!in.Varint(n) || n > in.remaining()) return false;
      for (uint64_t i = 0; i < n; ++i) {
        for (const Schema::Field& part : schema.fields) {
          if (!SkipValue(part.type, in)) return false;
        }
      }
      return true;
    case Schema::Kind::kTuple:
    case Schema::Kind::kStruct:
      for (const Schema::Field& part : schema.fields) {
        if (!SkipValue(part.type, in)) return false;
      }
      return true;
  }
  return false;
}

Status WrongJsonKind(const JsonValue& value, std::string_view wanted) {
  std::string_view is;
  switch (value.kind()) {
    case JsonValue::Kind::kNull:
      is = "null";
      break;
    case JsonValue::Kind::kBool:
      is = "true or false";
      break;
    case JsonValue::Kind::kNumber:
      is = "a number";
      break;
    case JsonValue::Kind::kString:
      is = "a string";
      break;
    case JsonValue::Kind::kArray:
      is = "an array";
      break;
    case JsonValue::Kind::kObject:
      is = "an object";
      break;
  }
  if (value.kind() == JsonValue::Kind::kNumber) {
    if (auto text = value.GetText()) {
      return absl::InvalidArgumentError(
          fmt::format("is the number {}, wanted {}", text->substr(0, 64), wanted));
    }
  }
  return absl::InvalidArgumentError(fmt::format("is {}, wanted {}", is, wanted));
}

}  // namespace weir
