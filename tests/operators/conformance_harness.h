// What a test of a stage that is to conform expects of the kit's report.
#pragma once

#include <gtest/gtest.h>

#include "testing/conformance.h"

namespace weir::testing {

inline void ExpectConforms(const StageCase& stage, size_t rows) {
  const ConformanceReport report = CheckConformance(stage);
  EXPECT_TRUE(report.ok()) << report.ToText();
  EXPECT_EQ(report.rows, rows) << report.ToText();
  EXPECT_GE(report.runs, 6);
  ::testing::Test::RecordProperty(stage.name, report.ToText());
}

}  // namespace weir::testing
