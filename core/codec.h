// Codec<T>: how a value of type T becomes bytes, JSON and a Schema, derived once from a
// description.
//
//   struct Departure {
//     std::string_view origin;
//     int64_t delay = 0;
//     BOOST_DESCRIBE_CLASS(Departure, (), (origin, delay), (), ())
//   };
//
// Built in: bool, integers, enums, float and double, string, string_view, optional, vector, map,
// tuple, and structs described by Boost.Describe (a vector of structs without members is refused by
// the compiler). A decoded string_view points into the bytes it was decoded from: keep their slab.
// Members may be added to a struct and removed from it; bytes written before are read by name
// (DecodeAs), and a member that they do not have keeps its initialiser. Behind the struct, in its
// namespace,
//
//   WEIR_RENAMED(Departure, delay, "delay_minutes")
//
// has a member read from what it was called before, where the bytes have no field of its own name;
// of several earlier names the first one that they have. A value may become optional.
//
// Every Codec<T> has
//
//   static Schema Describe();
//   static void Encode(const T&, std::string& out);
//   // False: the bytes are not such a value.
//   static bool Decode(ByteReader&, T&);
//   // The same for bytes of an older, compatible schema.
//   static bool DecodeAs(const Schema& written, ByteReader&, T&);
//   // Bytes outside the value that it points to.
//   static size_t ViewBytes(const T&);
//   static void WriteJson(const T&, JsonWriter&);
//   // Missing members keep their defaults; a wrong kind is InvalidArgument.
//   static Status ReadJson(const JsonValue&, T&, SlabArena&);
#pragma once

#include <array>
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "core/json.h"
#include "core/schema.h"
#include "core/slab.h"

namespace weir {

// Reads what Encode() wrote. Bounded: never reads past the end, never trusts a length.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : p_(bytes.data()), end_(p_ + bytes.size()) {}
  bool Varint(uint64_t& value);
  bool Signed(int64_t& value);  // zigzag
  bool Fixed64(uint64_t& value);
  bool Bytes(std::string_view& value);  // length, then that many bytes
  bool done() const { return p_ == end_; }
  size_t remaining() const { return static_cast<size_t>(end_ - p_); }

 private:
  const char* p_;
  const char* end_;
};

void PutVarint(uint64_t value, std::string& out);
void PutSigned(int64_t value, std::string& out);
void PutFixed64(uint64_t value, std::string& out);
void PutBytes(std::string_view value, std::string& out);

// Steps over one value of the given schema; false if the bytes are not such a value.
bool SkipValue(const Schema& schema, ByteReader& in);

// "member 'delay' is a string, wanted a number".
Status WrongJsonKind(const JsonValue& value, std::string_view wanted);

template <class T>
struct Codec;

// Names a member of a described struct, for overloads.
template <auto Pointer>
struct MemberTag {};

template <class T>
std::string EncodeToString(const T& value) {
  std::string out;
  Codec<T>::Encode(value, out);
  return out;
}

}  // namespace weir

// Found by the struct's namespace, so that it stands for structs in unnamed ones as well.
#define WEIR_RENAMED(Type, member, ...)                                                \
  [[maybe_unused]] constexpr auto WeirEarlierNames(const Type*,                        \
                                                   ::weir::MemberTag<&Type::member>) { \
    return std::to_array<std::string_view>({__VA_ARGS__});                             \
  }

#include "core/codec_inl.h"
