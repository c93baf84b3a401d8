// The built-in codecs. Included by core/codec.h only.
#pragma once

#include <bit>
#include <limits>

#include "core/codec.h"

namespace weir {

template <>
struct Codec<bool> {
  static Schema Describe() { return {Schema::Kind::kBool, "", {}}; }
  static void Encode(bool value, std::string& out) { out.push_back(value ? 1 : 0); }
  static bool Decode(ByteReader& in, bool& value) {
    uint64_t n;
    if (!in.Varint(n) || n > 1) return false;
    value = n == 1;
    return true;
  }
  static bool DecodeAs(const Schema&, ByteReader& in, bool& value) { return Decode(in, value); }
  static size_t ViewBytes(bool) { return 0; }
  static void WriteJson(bool value, JsonWriter& out) { out.Bool(value); }
  static Status ReadJson(const JsonValue& json, bool& value, SlabArena&) {
    auto read = json.GetBool();
    if (!read) return WrongJsonKind(json, "true or false");
    value = *read;
    return absl::OkStatus();
  }
};

template <class T>
requires(std::integral<T> || std::is_enum_v<T>) struct Codec<T> {
  static constexpr bool kSigned = std::is_enum_v<T> || std::is_signed_v<T>;
  static Schema Describe() { return {kSigned ? Schema::Kind::kInt : Schema::Kind::kUint, "", {}}; }
  static void Encode(T value, std::string& out) {
    if constexpr (kSigned) {
      PutSigned(static_cast<int64_t>(value), out);
    } else {
      PutVarint(value, out);
    }
  }
  static bool Decode(ByteReader& in, T& value) {
    std::conditional_t<kSigned, int64_t, uint64_t> n;
    if constexpr (kSigned) {
      if (!in.Signed(n)) return false;
    } else {
      if (!in.Varint(n)) return false;
    }
    value = static_cast<T>(n);
    return static_cast<decltype(n)>(value) == n;
  }
  static bool DecodeAs(const Schema&, ByteReader& in, T& value) { return Decode(in, value); }
  static size_t ViewBytes(T) { return 0; }
  static void WriteJson(T value, JsonWriter& out) {
    if constexpr (kSigned) {
      out.Int(static_cast<int64_t>(value));
    } else {
      out.Uint(value);
    }
  }
  static Status ReadJson(const JsonValue& json, T& value, SlabArena&) {
    if constexpr (kSigned) {
      auto read = json.GetInt();
      if (read) value = static_cast<T>(*read);
      if (!read || static_cast<int64_t>(value) != *read)
        return WrongJsonKind(json, "an integer that fits");
    } else {
      auto read = json.GetUint();
      if (read) value = static_cast<T>(*read);
      if (!read || static_cast<uint64_t>(value) != *read) {
        return WrongJsonKind(json, "an unsigned integer that fits");
      }
    }
    return absl::OkStatus();
  }
};

template <std::floating_point T>
struct Codec<T> {
  static Schema Describe() { return {Schema::Kind::kDouble, "", {}}; }
  static void Encode(T value, std::string& out) {
    PutFixed64(std::bit_cast<uint64_t>(static_cast<double>(value)), out);
  }
  static bool Decode(ByteReader& in, T& value) {
    uint64_t bits;
    if (!in.Fixed64(bits)) return false;
    value = static_cast<T>(std::bit_cast<double>(bits));
    return true;
  }
  static bool DecodeAs(const Schema&, ByteReader& in, T& value) { return Decode(in, value); }
  static size_t ViewBytes(T) { return 0; }
  static void WriteJson(T value, JsonWriter& out) { out.Double(value); }
  static Status ReadJson(const JsonValue& json, T& value, SlabArena&) {
    auto read = json.GetDouble();
    if (!read) return WrongJsonKind(json, "a number");
    value = static_cast<T>(*read);
    return absl::OkStatus();
  }
};

template <class T>
requires(std::same_as<T, std::string> || std::same_as<T, std::string_view>) struct Codec<T> {
  static Schema Describe() { return {Schema::Kind::kString, "", {}}; }
  static void Encode(std::string_view value, std::string& out) { PutBytes(value, out); }
  static bool Decode(ByteReader& in, T& value) {
    std::string_view bytes;
    if (!in.Bytes(bytes)) return false;
    value = T(bytes);
    return true;
  }
  static bool DecodeAs(const Schema&, ByteReader& in, T& value) { return Decode(in, value); }
  static size_t ViewBytes(const T& value) { return value.size(); }
  static void WriteJson(const T& value, JsonWriter& out) { out.String(value); }
  static Status ReadJson(const JsonValue& json, T& value, SlabArena& arena) {
    auto read = json.GetString();
    if (!read) return WrongJsonKind(json, "a string");
    if constexpr (std::same_as<T, std::string>) {
      value = std::string(*read);
    } else {
      value = arena.Copy(*read);
    }
    return absl::OkStatus();
  }
};

template <class T>
struct Codec<std::optional<T>> {
  static Schema Describe() { return {Schema::Kind::kOptional, "", {{"", Codec<T>::Describe()}}}; }
  static void Encode(const std::optional<T>& value, std::string& out) {
    out.push_back(value ? 1 : 0);
    if (value) Codec<T>::Encode(*value, out);
  }
  static bool Decode(ByteReader& in, std::optional<T>& value) {
    bool present;
    if (!Codec<bool>::Decode(in, present)) return false;
    if (!present) return value.reset(), true;
    return Codec<T>::Decode(in, value.emplace());
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, std::optional<T>& value) {
    if (written.kind != Schema::Kind::kOptional) {
      return Codec<T>::DecodeAs(written, in, value.emplace());
    }
    bool present;
    if (!Codec<bool>::Decode(in, present)) return false;
    if (!present) return value.reset(), true;
    return Codec<T>::DecodeAs(written.fields[0].type, in, value.emplace());
  }
  static size_t ViewBytes(const std::optional<T>& value) {
    return value ? Codec<T>::ViewBytes(*value) : 0;
  }
  static void WriteJson(const std::optional<T>& value, JsonWriter& out) {
    value ? Codec<T>::WriteJson(*value, out) : out.Null();
  }
  static Status ReadJson(const JsonValue& json, std::optional<T>& value, SlabArena& arena) {
    if (json.kind() == JsonValue::Kind::kNull) return value.reset(), absl::OkStatus();
    return Codec<T>::ReadJson(json, value.emplace(), arena);
  }
};

template <class T>
concept Described = boost::describe::has_describe_members<T>::value && !std::is_enum_v<T>;
template <class T>
using DescribedMembers = boost::describe::describe_members<T, boost::describe::mod_public |
                                                                  boost::describe::mod_inherited>;

// Whether values of a type are encoded as no bytes at all: a struct or tuple with nothing in it
// that is.
template <class T>
struct TakesNoBytes : std::false_type {};
template <class... Ts>
struct TakesNoBytes<std::tuple<Ts...>> : std::conjunction<TakesNoBytes<Ts>...> {};
template <Described T>
struct TakesNoBytes<T> {
  static constexpr bool value = [] {
    bool none = true;
    boost::mp11::mp_for_each<DescribedMembers<T>>([&](auto d) {
      none &= TakesNoBytes<std::decay_t<decltype(std::declval<T&>().*d.pointer)>>::value;
    });
    return none;
  }();
};

template <class T>
struct Codec<std::vector<T>> {
  static Schema Describe() { return {Schema::Kind::kList, "", {{"", Codec<T>::Describe()}}}; }
  static void Encode(const std::vector<T>& value, std::string& out) {
    PutVarint(value.size(), out);
    for (const T& element : value) Codec<T>::Encode(element, out);
  }
  template <class DecodeOne>
  static bool DecodeElements(ByteReader& in, std::vector<T>& value, DecodeOne decode_one) {
    static_assert(!TakesNoBytes<T>::value, "keep how many there are: nothing else is in the list");
    uint64_t n;
    // Every element takes at least a byte, so a longer claim is a lie.
    if (!in.Varint(n) || n > in.remaining()) return false;
    value.clear();
    for (uint64_t i = 0; i < n; ++i) {
      T element{};
      if (!decode_one(element)) return false;
      value.push_back(std::move(element));
    }
    return true;
  }
  static bool Decode(ByteReader& in, std::vector<T>& value) {
    return DecodeElements(in, value, [&](T& e) { return Codec<T>::Decode(in, e); });
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, std::vector<T>& value) {
    return DecodeElements(in, value,
                          [&](T& e) { return Codec<T>::DecodeAs(written.fields[0].type, in, e); });
  }
  static size_t ViewBytes(const std::vector<T>& value) {
    size_t bytes = value.size() * sizeof(T);
    for (const T& element : value) bytes += Codec<T>::ViewBytes(element);
    return bytes;
  }
  static void WriteJson(const std::vector<T>& value, JsonWriter& out) {
    out.StartArray();
    for (const T& element : value) Codec<T>::WriteJson(element, out);
    out.EndArray();
  }
  static Status ReadJson(const JsonValue& json, std::vector<T>& value, SlabArena& arena) {
    if (json.kind() != JsonValue::Kind::kArray) return WrongJsonKind(json, "an array");
    value.clear();
    Status status;
    json.ForEachElement([&](const JsonValue& element) {
      if (status.ok()) status = Codec<T>::ReadJson(element, value.emplace_back(), arena);
    });
    return status;
  }
};

template <class K, class V>
struct Codec<std::map<K, V>> {
  static Schema Describe() {
    return {
        Schema::Kind::kMap, "", {{"key", Codec<K>::Describe()}, {"value", Codec<V>::Describe()}}};
  }
  static void Encode(const std::map<K, V>& value, std::string& out) {
    PutVarint(value.size(), out);
    for (const auto& [k, v] : value) {
      Codec<K>::Encode(k, out);
      Codec<V>::Encode(v, out);
    }
  }
  template <class DecodeOne>
  static bool DecodeEntries(ByteReader& in, std::map<K, V>& value, DecodeOne decode_one) {
    static_assert(!TakesNoBytes<std::tuple<K, V>>::value, "such a map has one entry at most");
    uint64_t n;
    if (!in.Varint(n) || n > in.remaining()) return false;
    value.clear();
    for (uint64_t i = 0; i < n; ++i) {
      K k{};
      V v{};
      if (!decode_one(k, v)) return false;
      value.insert_or_assign(std::move(k), std::move(v));
    }
    return true;
  }
  static bool Decode(ByteReader& in, std::map<K, V>& value) {
    return DecodeEntries(
        in, value, [&](K& k, V& v) { return Codec<K>::Decode(in, k) && Codec<V>::Decode(in, v); });
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, std::map<K, V>& value) {
    return DecodeEntries(in, value, [&](K& k, V& v) {
      return Codec<K>::DecodeAs(written.fields[0].type, in, k) &&
             Codec<V>::DecodeAs(written.fields[1].type, in, v);
    });
  }
  static size_t ViewBytes(const std::map<K, V>& value) {
    size_t bytes = 0;
    for (const auto& [k, v] : value)
      bytes += sizeof(K) + sizeof(V) + Codec<K>::ViewBytes(k) + Codec<V>::ViewBytes(v);
    return bytes;
  }
  // An object where the keys are strings, else an array of [key, value].
  static constexpr bool kObject = std::convertible_to<const K&, std::string_view>;
  static void WriteJson(const std::map<K, V>& value, JsonWriter& out) {
    kObject ? out.StartObject() : out.StartArray();
    for (const auto& [k, v] : value) {
      if constexpr (kObject) {
        out.Key(k);
        Codec<V>::WriteJson(v, out);
      } else {
        Codec<std::tuple<K, V>>::WriteJson({k, v}, out);
      }
    }
    kObject ? out.EndObject() : out.EndArray();
  }
  static Status ReadJson(const JsonValue& json, std::map<K, V>& value, SlabArena& arena) {
    value.clear();
    Status status;
    if constexpr (kObject) {
      if (json.kind() != JsonValue::Kind::kObject) return WrongJsonKind(json, "an object");
      json.ForEachMember([&](std::string_view key, const JsonValue& member) {
        V v{};
        if (status.ok()) status = Codec<V>::ReadJson(member, v, arena);
        if constexpr (std::same_as<K, std::string>) {
          value.try_emplace(std::string(key), std::move(v));
        } else {
          value.try_emplace(arena.Copy(key), std::move(v));
        }
      });
    } else {
      if (json.kind() != JsonValue::Kind::kArray) return WrongJsonKind(json, "an array of pairs");
      json.ForEachElement([&](const JsonValue& element) {
        std::tuple<K, V> entry;
        if (status.ok()) status = Codec<std::tuple<K, V>>::ReadJson(element, entry, arena);
        value.try_emplace(std::move(std::get<0>(entry)), std::move(std::get<1>(entry)));
      });
    }
    return status;
  }
};

template <class... Ts>
struct Codec<std::tuple<Ts...>> {
  using Tuple = std::tuple<Ts...>;
  static Schema Describe() {
    Schema schema{Schema::Kind::kTuple, "", {}};
    (schema.fields.push_back({"", Codec<Ts>::Describe()}), ...);
    return schema;
  }
  static void Encode(const Tuple& value, std::string& out) {
    std::apply([&](const Ts&... parts) { (Codec<Ts>::Encode(parts, out), ...); }, value);
  }
  static bool Decode(ByteReader& in, Tuple& value) {
    return std::apply([&](Ts&... parts) { return (Codec<Ts>::Decode(in, parts) && ...); }, value);
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, Tuple& value) {
    size_t i = 0;
    return std::apply(
        [&](Ts&... parts) {
          return (Codec<Ts>::DecodeAs(written.fields[i++].type, in, parts) && ...);
        },
        value);
  }
  static size_t ViewBytes(const Tuple& value) {
    return std::apply(
        [](const Ts&... parts) { return (size_t{0} + ... + Codec<Ts>::ViewBytes(parts)); }, value);
  }
  static void WriteJson(const Tuple& value, JsonWriter& out) {
    out.StartArray();
    std::apply([&](const Ts&... parts) { (Codec<Ts>::WriteJson(parts, out), ...); }, value);
    out.EndArray();
  }
  static Status ReadJson(const JsonValue& json, Tuple& value, SlabArena& arena) {
    if (json.kind() != JsonValue::Kind::kArray || json.size() != sizeof...(Ts)) {
      return WrongJsonKind(json, "an array of as many elements as the tuple");
    }
    Status status;
    size_t i = 0;
    auto read = [&](auto& part) {
      if (status.ok()) {
        status = Codec<std::decay_t<decltype(part)>>::ReadJson(json.At(i++), part, arena);
      }
    };
    std::apply([&](Ts&... parts) { (read(parts), ...); }, value);
    return status;
  }
};

template <Described T>
struct Codec<T> {
  using Members = DescribedMembers<T>;
  template <class D>
  using MemberType = std::decay_t<decltype(std::declval<T&>().*D::pointer)>;

  // The names that WEIR_RENAMED gives a member besides its own.
  template <class D>
  static constexpr auto EarlierNames() {
    if constexpr (requires {
                    WeirEarlierNames(static_cast<const T*>(nullptr), MemberTag<D::pointer>{});
                  }) {
      return WeirEarlierNames(static_cast<const T*>(nullptr), MemberTag<D::pointer>{});
    } else {
      return std::array<std::string_view, 0>{};
    }
  }
  // How many members have the name, as their own or as an earlier one.
  static constexpr int MembersNamed(std::string_view name) {
    int count = 0;
    boost::mp11::mp_for_each<Members>([&](auto d) {
      count += name == d.name;
      for (std::string_view earlier : EarlierNames<decltype(d)>()) count += name == earlier;
    });
    return count;
  }
  static constexpr bool EarlierNamesAreFree() {
    bool free = true;
    boost::mp11::mp_for_each<Members>([&](auto d) {
      for (std::string_view name : EarlierNames<decltype(d)>()) free &= MembersNamed(name) == 1;
    });
    return free;
  }

  // Calls fn(description) for each member while it returns true.
  template <class Fn>
  static bool EachMember(Fn fn) {
    bool go_on = true;
    boost::mp11::mp_for_each<Members>([&](auto d) {
      if (go_on) go_on = fn(d);
    });
    return go_on;
  }

  static Schema Describe() {
    static_assert(EarlierNamesAreFree(), "WEIR_RENAMED: the name is another member's as well");
    Schema schema{Schema::Kind::kStruct, "", {}};
    EachMember([&](auto d) {
      Schema::Field& field = schema.fields.emplace_back();
      field.name = d.name;
      field.type = Codec<MemberType<decltype(d)>>::Describe();
      for (std::string_view name : EarlierNames<decltype(d)>()) field.was.emplace_back(name);
      return true;
    });
    return schema;
  }
  static void Encode(const T& value, std::string& out) {
    EachMember([&](auto d) {
      Codec<MemberType<decltype(d)>>::Encode(value.*d.pointer, out);
      return true;
    });
  }
  static bool Decode(ByteReader& in, T& value) {
    return EachMember(
        [&](auto d) { return Codec<MemberType<decltype(d)>>::Decode(in, value.*d.pointer); });
  }
  static bool DecodeAs(const Schema& written, ByteReader& in, T& value) {
    for (const Schema::Field& field : written.fields) {
      bool known = false;
      bool ok = EachMember([&](auto d) {
        if (!IsReadFrom(written, field.name, d.name, EarlierNames<decltype(d)>())) return true;
        known = true;
        return Codec<MemberType<decltype(d)>>::DecodeAs(field.type, in, value.*d.pointer);
      });
      if (!known) ok = SkipValue(field.type, in);
      if (!ok) return false;
    }
    return true;
  }
  static size_t ViewBytes(const T& value) {
    size_t bytes = 0;
    EachMember([&](auto d) {
      bytes += Codec<MemberType<decltype(d)>>::ViewBytes(value.*d.pointer);
      return true;
    });
    return bytes;
  }
  static void WriteJson(const T& value, JsonWriter& out) {
    out.StartObject();
    EachMember([&](auto d) {
      out.Key(d.name);
      Codec<MemberType<decltype(d)>>::WriteJson(value.*d.pointer, out);
      return true;
    });
    out.EndObject();
  }
  static Status ReadJson(const JsonValue& json, T& value, SlabArena& arena) {
    if (json.kind() != JsonValue::Kind::kObject) return WrongJsonKind(json, "an object");
    Status status;
    EachMember([&](auto d) {
      auto member = json.Find(d.name);
      if (!member) return true;
      status = Codec<MemberType<decltype(d)>>::ReadJson(*member, value.*d.pointer, arena);
      if (!status.ok()) status = Annotate(status, d.name);
      return status.ok();
    });
    return status;
  }
};

}  // namespace weir
