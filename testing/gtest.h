// What GoogleTest adds to the kit: assertions that print a Status, and what rows have apart. The
// rest of testing/ does without GoogleTest.
//
//   WEIR_ASSERT_OK(job.Run());
//   EXPECT_TRUE(SameRows({Spent{"ada", 12}}, spent.Rows()));           // in any order
//   EXPECT_TRUE(SameRowsInOrder({Spent{"ada", 12}}, spent.Rows()));
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "testing/row_diff.h"

namespace weir::testing {

inline ::testing::AssertionResult IsOk(const Status& status) {
  if (status.ok()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << status.ToString();
}
template <class T>
::testing::AssertionResult IsOk(const StatusOr<T>& result) {
  return IsOk(result.status());
}

// Success if a text that describes what is wrong is empty.
inline ::testing::AssertionResult NothingWrong(const std::string& what_is_wrong) {
  if (what_is_wrong.empty()) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << what_is_wrong;
}

template <class T>
::testing::AssertionResult SameRows(const std::vector<T>& expected, const std::vector<T>& actual) {
  return NothingWrong(RowDifference(ToJson(expected), ToJson(actual)));
}
template <class T>
::testing::AssertionResult SameRowsInOrder(const std::vector<T>& expected,
                                           const std::vector<T>& actual) {
  return NothingWrong(RowDifference(ToJson(expected), ToJson(actual), {.order = RowOrder::kSame}));
}
// key: the member that is the key, dotted where it is nested.
template <class T>
::testing::AssertionResult SameRowsPerKey(const std::string& key, const std::vector<T>& expected,
                                          const std::vector<T>& actual) {
  return NothingWrong(RowDifference(ToJson(expected), ToJson(actual),
                                    {.order = RowOrder::kSamePerKey, .key = key}));
}

}  // namespace weir::testing

#define WEIR_ASSERT_OK(expression) ASSERT_TRUE(::weir::testing::IsOk(expression))
#define WEIR_EXPECT_OK(expression) EXPECT_TRUE(::weir::testing::IsOk(expression))
