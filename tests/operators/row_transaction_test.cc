#include "operators/transforms/row_transaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/codec.h"

namespace weir {
namespace {

using ::testing::ElementsAre;

class RowTransactionTest : public ::testing::Test {
 protected:
  RowTransactionTest() {
    state_ = row_.Register("m", Codec<int>::Describe(), Codec<std::string>::Describe(), {}).value();
    other_ = row_.Register("o", Codec<int>::Describe(), std::nullopt, {}).value();
  }
  std::string Get(const StateKey& key, std::string_view sub) {
    auto value = row_.Get(state_, key, sub);
    return value.value() ? std::string(**value) : "none";
  }
  std::string Scan(const StateKey& key, size_t at_most = 100, std::string_view from = {}) {
    std::string seen;
    size_t n = 0;
    EXPECT_TRUE(row_.Scan(state_, key, from,
                          [&](std::string_view sub, std::string_view value) {
                            seen.append(sub).append("=").append(value).append(" ");
                            return ++n < at_most;
                          })
                    .ok());
    return seen;
  }
  std::vector<std::string> ScanAll() {
    std::vector<std::string> seen;
    EXPECT_TRUE(
        row_.ScanAll(state_,
                     [&](std::string_view key, std::string_view sub, std::string_view value) {
                       std::string entry(key);
                       entry.append("/").append(sub).append("=").append(value);
                       seen.push_back(entry);
                       return true;
                     })
            .ok());
    return seen;
  }
  void Put(const StateKey& key, std::string_view sub, std::string_view value) {
    ASSERT_TRUE(row_.Put(state_, key, sub, value).ok());
  }
  void Delete(const StateKey& key, std::string_view sub) {
    ASSERT_TRUE(row_.Delete(state_, key, sub).ok());
  }

  std::unique_ptr<KeyedStore> store_ = *MakeHeapKeyedStore({"stage", {}}, Restore{});
  internal::RowTransaction row_{*store_};
  StateId state_ = 0, other_ = 0;
  const StateKey a_ = MakeStateKey("a"), b_ = MakeStateKey("b");
};

TEST_F(RowTransactionTest, ReadsSeeTheRowsOwnWrites) {
  Put(a_, "x", "1");
  ASSERT_TRUE(row_.Commit().ok());
  Put(a_, "y", "2");
  Put(a_, "x", "3");
  Delete(a_, "y");
  EXPECT_EQ(Get(a_, "x"), "3");
  EXPECT_EQ(Get(a_, "y"), "none");
  EXPECT_EQ(Get(b_, "x"), "none");
  EXPECT_FALSE(row_.Get(other_, a_, "x").value().has_value()) << "another state";
  row_.Abort();
  EXPECT_EQ(Get(a_, "x"), "1");
  Delete(a_, "x");
  Delete(a_, "never there");
  EXPECT_EQ(Get(a_, "x"), "none");
  ASSERT_TRUE(row_.Commit().ok());
  EXPECT_EQ(Get(a_, "x"), "none");
}

TEST_F(RowTransactionTest, ScansMergeInOrder) {
  for (const char* sub : {"b", "d", "f"}) Put(a_, sub, "old");
  ASSERT_TRUE(row_.Commit().ok());
  Put(a_, "g", "new");
  Put(a_, "a", "new");
  Put(a_, "d", "new");
  Put(a_, "c", "new");
  Delete(a_, "f");
  Delete(a_, "e");
  Put(b_, "zzz", "other");
  EXPECT_EQ(Scan(a_), "a=new b=old c=new d=new g=new ");
  for (size_t n = 1; n <= 5; ++n) {
    std::string seen = Scan(a_, n);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), ' '), static_cast<long>(n));
  }
  EXPECT_EQ(Scan(a_, 100, "b"), "b=old c=new d=new g=new ");
  EXPECT_EQ(Scan(a_, 2, "bb"), "c=new d=new ");
  EXPECT_EQ(Scan(a_, 100, "h"), "");
}

TEST_F(RowTransactionTest, ManyWritesOfOneRowAreFoundAndForgotten) {
  for (int round = 0; round < 2; ++round) {
    for (int i = 0; i < 5000; ++i) {
      const std::string sub = std::to_string(i % 2500);
      Put(a_, sub, std::to_string(i));
      if (i % 100 == 0) {
        EXPECT_EQ(Get(a_, sub), std::to_string(i));
      }
    }
    EXPECT_EQ(Get(a_, "17"), "2517");
    EXPECT_EQ(Get(a_, "2499"), "4999");
    row_.Abort();
    EXPECT_EQ(Get(a_, "17"), "none");
  }
}

TEST_F(RowTransactionTest, AScanOfEverythingGoesByKeyGroup) {
  std::map<std::string, std::string> expected;
  for (int i = 0; i < 300; ++i) {
    const std::string key = "k" + std::to_string(i % 150);
    Put(MakeStateKey(key), std::to_string(i % 3), "old");
    expected[key + "/" + std::to_string(i % 3)] = "old";
    ASSERT_TRUE(row_.Commit().ok());
  }
  for (int i = 0; i < 200; i += 3) {
    const std::string key = "k" + std::to_string(i), sub = std::to_string(i % 4);
    if (i % 5 == 0) {
      Delete(MakeStateKey(key), sub);
      expected.erase(key + "/" + sub);
    } else {
      Put(MakeStateKey(key), sub, "new");
      expected[key + "/" + sub] = "new";
    }
  }
  std::map<std::string, std::string> seen;
  int group = 0;
  for (const std::string& entry : ScanAll()) {
    const std::string key = entry.substr(0, entry.find('/'));
    const int its_group = KeyGroupOf(MakeStateKey(key).hash);
    EXPECT_GE(its_group, group);
    group = its_group;
    const size_t equals = entry.find('=');
    EXPECT_TRUE(seen.emplace(entry.substr(0, equals), entry.substr(equals + 1)).second) << entry;
  }
  EXPECT_EQ(seen, expected);
}

}  // namespace
}  // namespace weir
