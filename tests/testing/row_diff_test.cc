#include "testing/row_diff.h"

#include <boost/describe/class.hpp>

#include "testing/gtest.h"

namespace weir::testing {
namespace {

struct Place {
  std::string city;
  int64_t zip = 0;
  BOOST_DESCRIBE_CLASS(Place, (), (city, zip), (), ())
};
struct Order {
  std::string customer;
  double total = 0;
  Place to;
  std::vector<int64_t> items;
  BOOST_DESCRIBE_CLASS(Order, (), (customer, total, to, items), (), ())
};

const Order kAda{"ada", 10, {"Bern", 3000}, {1, 2}};
const Order kBob{"bob", 5, {"Rome", 100}, {}};
const Order kCy{"cy", 1, {"Oslo", 1}, {7}};

TEST(RowDiffTest, NothingIsSaidOfRowsThatAreTheSame) {
  EXPECT_TRUE(SameRows<Order>({}, {}));
  EXPECT_TRUE(SameRows<Order>({kAda, kBob, kAda}, {kAda, kAda, kBob}));
  EXPECT_TRUE(SameRowsInOrder<Order>({kAda, kBob}, {kAda, kBob}));
  EXPECT_TRUE(SameRowsPerKey<Order>("customer", {kAda, kBob, kAda}, {kAda, kAda, kBob}));
}

TEST(RowDiffTest, AChangedRowIsToldFieldByField) {
  Order changed = kAda;
  changed.total = 12;
  changed.to.zip = 3001;
  changed.items = {1, 3};
  EXPECT_EQ(RowDifference(ToJson<Order>({kBob, kAda}), ToJson<Order>({changed, kBob})),
            "rows differ: 2 expected, 2 found, 1 the same\n"
            "  changed  [0] {\"customer\":\"ada\",\"total\":12.0,\"to\":{\"city\":\"Bern\","
            "\"zip\":3001},\"items\":[1,3]}\n"
            "               items[1]: expected 2, found 3\n"
            "               to.zip: expected 3000, found 3001\n"
            "               total: expected 10.0, found 12.0\n");
}

TEST(RowDiffTest, MissingAndExtraRowsAreShownAndAMultipleCountsOnce) {
  EXPECT_EQ(RowDifference({R"({"a":1})", R"({"a":2})", R"({"a":2})"}, {R"({"a":2})", R"({"b":3})"}),
            "rows differ: 3 expected, 2 found, 1 the same\n"
            "  missing  [0] {\"a\":1}\n"
            "  missing  [2] {\"a\":2}\n"
            "  extra    [1] {\"b\":3}\n");
}

TEST(RowDiffTest, AMemberThatComesOrGoesIsNothingOnTheOtherSide) {
  EXPECT_EQ(RowDifference({R"({"a":1,"b":[2]})"}, {R"({"a":1,"c":null})"}),
            "rows differ: 1 expected, 1 found, 0 the same\n"
            "  changed  [0] {\"a\":1,\"c\":null}\n"
            "               b[0]: expected 2, found nothing\n"
            "               c: expected nothing, found null\n");
}

TEST(RowDiffTest, OrderCountsWhereItIsAskedFor) {
  EXPECT_EQ(RowDifference({"1", "2", "3"}, {"1", "3", "2"}), "");
  EXPECT_EQ(RowDifference({"1", "2", "3"}, {"1", "3", "2"}, {.order = RowOrder::kSame}),
            "the same rows in another order: at [1]\n  expected     2\n  found        3\n");
}

TEST(RowDiffTest, PerKeyOnlyTheOrderOfOneKeyCounts) {
  const std::vector<std::string> rows = {R"({"k":{"n":"a"},"v":1})", R"({"k":{"n":"b"},"v":1})",
                                         R"({"k":{"n":"a"},"v":2})"};
  const RowComparison by_key{.order = RowOrder::kSamePerKey, .key = "k.n"};
  EXPECT_EQ(RowDifference(rows, {rows[1], rows[0], rows[2]}, by_key), "");
  EXPECT_EQ(RowDifference(rows, {rows[1], rows[2], rows[0]}, by_key),
            "k.n \"a\": the same rows in another order: at [0]\n"
            "  expected     {\"k\":{\"n\":\"a\"},\"v\":1}\n"
            "  found        {\"k\":{\"n\":\"a\"},\"v\":2}\n");
}

TEST(RowDiffTest, WhatIsManyIsCountedAndWhatIsNoJsonIsComparedAsText) {
  std::vector<std::string> many;
  for (int i = 0; i < 1000; ++i) many.push_back(std::to_string(i));
  const std::string text = RowDifference(many, {"no json"}, {.shown = 2});
  EXPECT_NE(text.find("missing  [1] 1\n  extra    [0] no json\n  ... and 998 more missing\n"),
            std::string::npos)
      << text;
}

}  // namespace
}  // namespace weir::testing
