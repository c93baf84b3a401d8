#include "core/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/codec.h"
#include "core/event.h"

namespace weir {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

Schema Struct(std::vector<Schema::Field> fields, std::string name = "") {
  return {Schema::Kind::kStruct, std::move(name), std::move(fields)};
}
const Schema kInt = Codec<int>::Describe();
const Schema kString = Codec<std::string>::Describe();

TEST(SchemaTest, TextNamesEveryPart) {
  EXPECT_EQ(Struct({{"origin", kString}, {"delay", kInt}}, "Departure").ToText(),
            "struct Departure{origin:string,delay:int}");
  using Deep = std::map<std::string, std::vector<std::optional<std::tuple<bool, double>>>>;
  EXPECT_EQ(Codec<Deep>::Describe().ToText(), "map<string,list<optional<tuple<bool,double>>>>");
  EXPECT_EQ(Struct({}).ToText(), "struct{}");
  EXPECT_EQ(Codec<std::tuple<>>::Describe().ToText(), "tuple<>");
}

TEST(SchemaTest, TheFingerprintIsTheSameInEveryProcess) {
  EXPECT_EQ(kInt.Fingerprint(), 0x97211c6082923b47ULL);
  EXPECT_NE(kInt.Fingerprint(), kString.Fingerprint());
  EXPECT_NE(Struct({{"a", kInt}, {"b", kInt}}).Fingerprint(),
            Struct({{"b", kInt}, {"a", kInt}}).Fingerprint());
}

TEST(SchemaTest, SerializedSchemasComeBack) {
  for (const Schema& schema :
       {Codec<Event>::Describe(), kInt,
        Codec<std::map<int, std::vector<std::optional<std::tuple<Event, bool>>>>>::Describe()}) {
    StatusOr<Schema> read = Schema::Parse(schema.Serialize());
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->ToText(), schema.ToText());
  }
}

TEST(SchemaTest, HostileBytesAreRefused) {
  EXPECT_FALSE(Schema::Parse("").ok()) << "kind 0";
  EXPECT_FALSE(Schema::Parse("\xff\xff\xff").ok());
  EXPECT_FALSE(Schema::Parse(std::string("\x08\x63", 2)).ok()) << "kind 99";
  Schema list_of_nothing{Schema::Kind::kList, "", {}};
  EXPECT_FALSE(Schema::Parse(list_of_nothing.Serialize()).ok());
  Schema bool_with_field{Schema::Kind::kBool, "", {{"x", kInt}}};
  EXPECT_FALSE(Schema::Parse(bool_with_field.Serialize()).ok());

  Schema deep = kInt;
  for (int i = 0; i < 1000; ++i) deep = {Schema::Kind::kList, "", {{"", std::move(deep)}}};
  EXPECT_FALSE(Schema::Parse(deep.Serialize()).ok());

  const std::string good = Codec<Event>::Describe().Serialize();
  std::mt19937 random(1);
  for (int round = 0; round < 5000; ++round) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    if (!bytes.empty()) bytes[random() % bytes.size()] = static_cast<char>(random());
    StatusOr<Schema> read = Schema::Parse(bytes);
    if (read.ok()) read->ToText();
  }
}

TEST(SchemaTest, MembersMayComeAndGoAndChangeTheirOrder) {
  EXPECT_THAT(IncompatibleFields(Struct({{"a", kInt}, {"b", kString}}),
                                 Struct({{"b", kString}, {"c", kInt}}), "s"),
              IsEmpty());
  EXPECT_THAT(IncompatibleFields(Struct({}, "Old"), Struct({}, "New"), "s"), IsEmpty());
}

TEST(SchemaTest, EveryIncompatibleFieldIsNamedByItsPath) {
  auto list = [](Schema s) { return Schema{Schema::Kind::kList, "", {{"", s}}}; };
  auto map = [](Schema k, Schema v) {
    return Schema{Schema::Kind::kMap, "", {{"key", k}, {"value", v}}};
  };
  Schema was = Struct({{"count", kString},
                       {"list", list(Struct({{"total", kString}}))},
                       {"map", map(kString, Struct({{"x", kInt}}))},
                       {"pair", Codec<std::tuple<int, int>>::Describe()},
                       {"maybe", Codec<std::optional<int>>::Describe()},
                       {"same", kInt}});
  Schema is = Struct({{"count", kInt},
                      {"list", list(Struct({{"total", kInt}}))},
                      {"map", map(kInt, Struct({{"x", kString}}))},
                      {"pair", Codec<std::tuple<int>>::Describe()},
                      {"maybe", kInt},
                      {"same", kInt}});
  EXPECT_THAT(
      IncompatibleFields(was, is, "counts"),
      ElementsAre("counts.count: was string, is int", "counts.list[].total: was string, is int",
                  "counts.map.key: was string, is int", "counts.map.value.x: was int, is string",
                  "counts.pair: was a tuple of 2, is a tuple of 1",
                  "counts.maybe: was optional, is int"));
}

MATCHER_P3(Change, kind, path, text, "") {
  return arg.kind == kind && arg.path == path && arg.text == text;
}

TEST(SchemaTest, EveryChangeIsToldWithWhatBecomesOfTheField) {
  using Kind = FieldChange::Kind;
  Schema is = Struct({{"total", kInt, {"oldest", "sum"}},
                      {"note", Codec<std::optional<int>>::Describe()},
                      {"more", kString}});
  EXPECT_THAT(
      CompareSchemas(Struct({{"sum", kInt}, {"note", kInt}, {"gone", kString}}), is, "t"),
      ElementsAre(Change(Kind::kRenamed, "t.total", "was 'sum'"),
                  Change(Kind::kMadeOptional, "t.note", "is optional now"),
                  Change(Kind::kAdded, "t.more", "is new, and gets its default"),
                  Change(Kind::kRemoved, "t.gone", "is no more, and its values are dropped")));
}

TEST(SchemaTest, AFieldsOwnNameGoesBeforeAnEarlierOne) {
  Schema is = Struct({{"b", kInt, {"a"}}});
  EXPECT_THAT(CompareSchemas(Struct({{"a", kString}, {"b", kInt}}), is, "t"),
              ElementsAre(Change(FieldChange::Kind::kRemoved, "t.a",
                                 "is no more, and its values are dropped")));
  EXPECT_THAT(IncompatibleFields(Struct({{"a", kString}}), is, "t"),
              ElementsAre("t.b: was string, is int"));
}

TEST(SchemaTest, AFieldThatTellsKeysOfAMapApartCannotGo) {
  auto map = [](Schema key) { return Schema{Schema::Kind::kMap, "", {{"", key}, {"", kInt}}}; };
  Schema both = Struct({{"a", kInt}, {"b", kInt}});
  Schema one = Struct({{"a", kInt}});
  EXPECT_THAT(IncompatibleFields(map(both), map(one), "t"),
              ElementsAre("t.key.b: is no more, and without it keys of the map could be the same"));
  EXPECT_THAT(IncompatibleFields(map(one), map(both), "t"), IsEmpty());
}

TEST(SchemaTest, EarlierNamesAreInNoTextAndNoBytes) {
  Schema plain = Struct({{"b", kInt}});
  Schema renamed = Struct({{"b", kInt, {"a"}}});
  EXPECT_EQ(plain.Fingerprint(), renamed.Fingerprint());
  EXPECT_EQ(plain.Serialize(), renamed.Serialize());
}

TEST(SchemaTest, SignedAndUnsignedAreNotTheSame) {
  EXPECT_THAT(IncompatibleFields(Codec<uint32_t>::Describe(), kInt, "n"),
              ElementsAre("n: was uint, is int"));
  EXPECT_THAT(IncompatibleFields(Codec<int8_t>::Describe(), kInt, "n"), IsEmpty());
}

}  // namespace
}  // namespace weir
