#include "state/keyed_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/describe/class.hpp>
#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "tests/state/keyed_backends.h"

namespace weir {
namespace {

using ::testing::HasSubstr;
using testing::KeyedBackend;
using testing::KeyedStoreMaker;
using testing::MemorySnapshots;

template <class K>
std::string Encoded(const K& key) {
  std::string out;
  SubKey<K>::Encode(key, out);
  return out;
}

// The bytes must sort as the keys do, come back as the keys, and never run into what follows.
template <class K>
void ExpectOrdered(const std::vector<K>& rising) {
  for (size_t i = 0; i < rising.size(); ++i) {
    std::string bytes = Encoded(rising[i]) + "tail";
    std::string_view in = bytes;
    K back{};
    ASSERT_TRUE(SubKey<K>::Take(in, back)) << i;
    EXPECT_EQ(in, "tail");
    EXPECT_EQ(back, rising[i]) << i;
    EXPECT_TRUE(i == 0 || Encoded(rising[i - 1]) < Encoded(rising[i])) << i;
  }
}

TEST(SubKeyTest, SortsAsTheKeysDo) {
  ExpectOrdered<int64_t>({std::numeric_limits<int64_t>::min(), -256, -1, 0, 1, 255, 256,
                          std::numeric_limits<int64_t>::max()});
  ExpectOrdered<uint32_t>({0, 1, 255, 256, std::numeric_limits<uint32_t>::max()});
  ExpectOrdered<int8_t>({-128, -1, 0, 127});
  ExpectOrdered<double>({-std::numeric_limits<double>::infinity(), -1.5, -1e-300, 0.0, 1e-300, 2.5,
                         std::numeric_limits<double>::infinity()});
  using namespace std::string_literals;
  ExpectOrdered<std::string>({""s, "\0"s, "\0\0"s, "\0a"s, "\0\xff"s, "a"s, "a\0"s, "a\0b"s, "aa"s,
                              "b"s, "\xff"s, "\xff\xff"s});
  ExpectOrdered<std::tuple<std::string, int>>(
      {{"", 5}, {"a", -1}, {"a", 1}, {"a\0"s, -7}, {"ab", -9}});
  EXPECT_EQ(Encoded(-0.0), Encoded(0.0));
  EXPECT_LT(Encoded(std::numeric_limits<double>::infinity()), Encoded(std::nan("")));
}

TEST(SubKeyTest, RefusesBytesOfAnotherKind) {
  std::string text;
  int64_t number;
  int8_t small;
  for (std::string_view bytes : {"", "abc", "a\0"}) {
    std::string_view in = bytes;
    EXPECT_FALSE(SubKey<std::string>::Take(in, text)) << bytes;
    in = bytes;
    EXPECT_FALSE(SubKey<int64_t>::Take(in, number)) << bytes;
  }
  std::string wide = Encoded<int64_t>(1000);
  std::string_view in = wide;
  EXPECT_FALSE(SubKey<int8_t>::Take(in, small));
}

struct TotalV1 {
  std::string city;
  int64_t count = 0;
  bool seen = false;
  BOOST_DESCRIBE_CLASS(TotalV1, (), (city, count, seen), (), ())
};
struct TotalV2 {  // `seen` is gone, `limit` is new
  int64_t limit = 42;
  std::string city;
  int64_t count = 0;
  BOOST_DESCRIBE_CLASS(TotalV2, (), (limit, city, count), (), ())
};
struct TotalV3 {  // `count` has become a text
  std::string city;
  std::string count;
  BOOST_DESCRIBE_CLASS(TotalV3, (), (city, count), (), ())
};

class KeyedStateTest : public ::testing::TestWithParam<KeyedBackend> {
 protected:
  std::unique_ptr<KeyedStore> NewStore(const std::vector<StateSnapshot>& from = {}) {
    return maker_.Make("totals", 0, 1, from, snapshots_);
  }
  StateSnapshot SnapshotOf(KeyedStore& store) {
    auto snapshot = store.Freeze(++checkpoint_)->Write(snapshots_);
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    return *std::move(snapshot);
  }

  KeyedStoreMaker maker_{GetParam()};
  MemorySnapshots snapshots_;
  CheckpointId checkpoint_ = 0;
  const StateKey a_ = MakeStateKey("a");
  const StateKey b_ = MakeStateKey("b");
};

INSTANTIATE_TEST_SUITE_P(Backends, KeyedStateTest,
                         ::testing::Values(KeyedBackend::kHeap, KeyedBackend::kRocks),
                         testing::BackendName);

TEST_P(KeyedStateTest, KeepsOneValueForEachKey) {
  auto store = NewStore();
  auto count = ValueState<int64_t>::Register(*store, "count");
  auto name = ValueState<std::string>::Register(*store, "name");
  ASSERT_TRUE(count.ok() && name.ok());

  EXPECT_EQ(*count->Get(a_), std::nullopt);
  ASSERT_TRUE(count->Set(a_, 7).ok());
  ASSERT_TRUE(name->Set(a_, "Ada").ok());
  ASSERT_TRUE(count->Set(b_, -1).ok());
  EXPECT_EQ(**count->Get(a_), 7);
  EXPECT_EQ(**name->Get(a_), "Ada");
  ASSERT_TRUE(count->Clear(a_).ok());
  EXPECT_EQ(*count->Get(a_), std::nullopt);
  EXPECT_EQ(**count->Get(b_), -1);
  EXPECT_EQ(**name->Get(a_), "Ada");

  std::map<std::string, int64_t> all;
  ASSERT_TRUE(count
                  ->ForEach([&](std::string_view key, int64_t value) {
                    all.emplace(key, value);
                    return true;
                  })
                  .ok());
  EXPECT_EQ(all, (std::map<std::string, int64_t>{{"b", -1}}));
}

TEST_P(KeyedStateTest, VisitsAMapInTheOrderOfItsKeysAcrossAllTiers) {
  auto store = NewStore();
  auto map = MapState<int64_t, std::string>::Register(*store, "map");
  ASSERT_TRUE(map.ok());
  for (int64_t k : {300, -5, 0}) ASSERT_TRUE(map->Put(a_, k, std::to_string(k)).ok());
  SnapshotOf(*store);
  for (int64_t k : {-256, 7}) ASSERT_TRUE(map->Put(a_, k, std::to_string(k)).ok());
  ASSERT_TRUE(map->Put(b_, 1, "other key").ok());
  auto out = store->Freeze(++checkpoint_);  // stays out: three tiers
  ASSERT_TRUE(map->Put(a_, 0, "zero").ok());
  ASSERT_TRUE(map->Remove(a_, 300).ok());

  std::vector<std::pair<int64_t, std::string>> seen;
  ASSERT_TRUE(map->ForEach(a_,
                           [&](int64_t k, std::string v) {
                             seen.emplace_back(k, v);
                             return true;
                           })
                  .ok());
  EXPECT_EQ(seen, (std::vector<std::pair<int64_t, std::string>>{
                      {-256, "-256"}, {-5, "-5"}, {0, "zero"}, {7, "7"}}));
  seen.clear();
  ASSERT_TRUE(map->ForEach(a_,
                           [&](int64_t k, std::string v) {
                             seen.emplace_back(k, v);
                             return seen.size() < 2;
                           })
                  .ok());
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_EQ(*map->Get(a_, 300), std::nullopt);
  for (const auto& [from, expected] : std::vector<std::pair<int64_t, std::vector<int64_t>>>{
           {-5, {-5, 0, 7}}, {-4, {0, 7}}, {7, {7}}, {8, {}}}) {
    std::vector<int64_t> keys;
    ASSERT_TRUE(map->ForEachFrom(a_, from,
                                 [&](int64_t k, std::string) {
                                   keys.push_back(k);
                                   return true;
                                 })
                    .ok());
    EXPECT_EQ(keys, expected) << "from " << from;
  }
}

TEST_P(KeyedStateTest, KeysAndSubKeysDoNotRunIntoEachOther) {
  auto store = NewStore();
  auto map = MapState<std::string, int64_t>::Register(*store, "map");
  auto other = MapState<std::string, int64_t>::Register(*store, "other");
  ASSERT_TRUE(map.ok() && other.ok());
  using namespace std::string_literals;
  const std::vector<std::string> parts{"",
                                       "a",
                                       "aa",
                                       "\0"s,
                                       "a\0"s,
                                       "\x01",
                                       "\x02"
                                       "aa"};
  int64_t n = 0;
  for (const std::string& key : parts) {
    for (const std::string& sub_key : parts) {
      ASSERT_TRUE(map->Put(MakeStateKey(key), sub_key, ++n).ok());
    }
  }
  n = 0;
  for (const std::string& key : parts) {
    size_t entries = 0;
    for (const std::string& sub_key : parts) {
      EXPECT_EQ(**map->Get(MakeStateKey(key), sub_key), ++n);
      EXPECT_EQ(*other->Get(MakeStateKey(key), sub_key), std::nullopt);
    }
    ASSERT_TRUE(
        map->ForEach(MakeStateKey(key), [&](std::string, int64_t) { return ++entries > 0; }).ok());
    EXPECT_EQ(entries, parts.size());
  }
}

TEST_P(KeyedStateTest, ReadsOldValuesBesideNewOnesWhenMembersComeAndGo) {
  auto first = NewStore();
  auto v1 = ValueState<TotalV1>::Register(*first, "total");
  ASSERT_TRUE(v1.ok());
  ASSERT_TRUE(v1->Set(a_, {"Rome", 3, true}).ok());
  ASSERT_TRUE(v1->Set(b_, {"Oslo", 4, false}).ok());
  StateSnapshot snapshot = SnapshotOf(*first);

  // Several times over: old bytes survive checkpoints of the new version as they are.
  for (int round = 0; round < 3; ++round) {
    auto second = NewStore({snapshot});
    auto v2 = ValueState<TotalV2>::Register(*second, "total");
    ASSERT_TRUE(v2.ok()) << v2.status();
    auto rome = *v2->Get(a_);
    EXPECT_EQ(rome->city, "Rome");
    EXPECT_EQ(rome->count, 3 + round);
    EXPECT_EQ(rome->limit, round == 0 ? 42 : round);
    auto oslo = *v2->Get(b_);
    EXPECT_EQ(oslo->city, "Oslo");
    EXPECT_EQ(oslo->limit, 42);
    ASSERT_TRUE(v2->Set(a_, {round + 1, "Rome", 4 + round}).ok());
    EXPECT_EQ((*v2->Get(a_))->limit, round + 1);
    size_t seen = 0;
    ASSERT_TRUE(v2->ForEach([&](std::string_view, TotalV2 v) { return ++seen, v.count > 0; }).ok());
    EXPECT_EQ(seen, 2u);
    snapshot = SnapshotOf(*second);
  }
}

TEST_P(KeyedStateTest, RefusesAnIncompatibleChangeByStageStateAndField) {
  auto first = NewStore();
  auto v1 = ValueState<TotalV1>::Register(*first, "total");
  auto map = MapState<int64_t, int64_t>::Register(*first, "map");
  ASSERT_TRUE(v1.ok() && map.ok());
  ASSERT_TRUE(v1->Set(a_, {"Rome", 3, true}).ok());
  ASSERT_TRUE(map->Put(a_, 1, 1).ok());
  StateSnapshot snapshot = SnapshotOf(*first);

  Status status = ValueState<TotalV3>::Register(*NewStore({snapshot}), "total").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("'totals'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'total'"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("total.count"));

  status = ValueState<int64_t>::Register(*NewStore({snapshot}), "map").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("was a map"));
  status = MapState<std::string, int64_t>::Register(*NewStore({snapshot}), "map").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("keys of the map"));
}

TEST_P(KeyedStateTest, RefusesToRegisterAStateTwice) {
  auto store = NewStore();
  ASSERT_TRUE(ValueState<int64_t>::Register(*store, "count").ok());
  EXPECT_TRUE(absl::IsInvalidArgument(ValueState<int64_t>::Register(*store, "count").status()));
}

TEST_P(KeyedStateTest, CarriesStatesAlongThatTheJobNoLongerRegisters) {
  auto first = NewStore();
  auto old = ValueState<int64_t>::Register(*first, "old");
  ASSERT_TRUE(old->Set(a_, 5).ok());
  StateSnapshot snapshot = SnapshotOf(*first);

  auto second = NewStore({snapshot});
  auto fresh = ValueState<int64_t>::Register(*second, "fresh");
  ASSERT_TRUE(fresh->Set(a_, 6).ok());
  snapshot = SnapshotOf(*second);

  auto third = NewStore({snapshot});
  EXPECT_EQ(**ValueState<int64_t>::Register(*third, "old")->Get(a_), 5);
  EXPECT_EQ(**ValueState<int64_t>::Register(*third, "fresh")->Get(a_), 6);
}

TEST_P(KeyedStateTest, SaysWhatIsBrokenWhenAValueDoesNotDecode) {
  auto store = NewStore();
  auto state = ValueState<int64_t>::Register(*store, "count");
  ASSERT_TRUE(store->Put(0, a_, {}, "\xff").ok());
  Status status = state->Get(a_).status();
  EXPECT_TRUE(absl::IsDataLoss(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("'count'"));
  EXPECT_TRUE(absl::IsDataLoss(state->ForEach([](std::string_view, int64_t) { return true; })));
}

}  // namespace
}  // namespace weir
