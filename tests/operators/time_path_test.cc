#include "operators/sinks/time_path.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::HasSubstr;

Timestamp At(std::string_view text) { return *ParseRfc3339(text); }

std::string FolderOf(std::string_view pattern, std::string_view time) {
  const auto span = TimePath::Parse(pattern)->Of(At(time));
  return span ? span->path : "none";
}

TEST(TimePath, NamesFoldersByUtc) {
  EXPECT_EQ(FolderOf("hourly", "2026-11-22T09:59:59.999999Z"), "date=2026-11-22/hour=09");
  EXPECT_EQ(FolderOf("hourly", "2026-11-22T01:30:00+05:00"), "date=2026-11-21/hour=20");
  EXPECT_EQ(FolderOf("daily", "2024-02-29T23:00:00Z"), "date=2024-02-29");
  EXPECT_EQ(FolderOf("monthly", "2024-02-29T23:00:00Z"), "month=2024-02");
  EXPECT_EQ(FolderOf("year=%Y", "2024-02-29T23:00:00Z"), "year=2024");
  EXPECT_EQ(FolderOf("y=%Y/m=%m/d=%d/t=%H-%M", "2024-02-29T23:07:00Z"), "y=2024/m=02/d=29/t=23-07");
  EXPECT_EQ(FolderOf("", "2024-02-29T23:07:00Z"), "");
  EXPECT_EQ(FolderOf("none", "2024-02-29T23:07:00Z"), "");
}

TEST(TimePath, KnowsYearsBefore1970AndAfter2262AndNoneWithoutFourDigits) {
  EXPECT_EQ(FolderOf("hourly", "1969-12-31T23:59:59.999999Z"), "date=1969-12-31/hour=23");
  EXPECT_EQ(FolderOf("daily", "0000-01-01T00:00:00Z"), "date=0000-01-01");
  EXPECT_EQ(FolderOf("daily", "2263-01-01T00:00:00Z"), "date=2263-01-01");
  EXPECT_EQ(FolderOf("year=%Y", "9999-12-31T23:59:59Z"), "year=9999");
  for (const char* pattern : {"hourly", "daily", "monthly", "year=%Y"}) {
    const TimePath path = *TimePath::Parse(pattern);
    EXPECT_FALSE(path.Of(At("0000-01-01T00:00:00Z") - 1));
    EXPECT_FALSE(path.Of(At("9999-12-31T23:59:59.999999Z") + 1));
    EXPECT_FALSE(path.Of(kMinTimestamp));
    EXPECT_FALSE(path.Of(kMaxTimestamp));
  }
}

TEST(TimePath, ASpanIsAllTimesOfItsFolderAndNoOther) {
  for (const char* pattern : {"hourly", "daily", "monthly", "year=%Y", "t=%Y%m%d%H%M"}) {
    const TimePath path = *TimePath::Parse(pattern);
    for (const char* text :
         {"1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z", "1600-02-29T12:00:00Z",
          "2024-12-31T23:59:59.999999Z", "2026-11-22T09:31:07Z", "0000-01-01T00:00:00Z",
          "9999-12-31T23:59:59.999999Z", "9998-12-31T23:59:59.999999Z", "2400-01-31T00:00:00Z"}) {
      const Timestamp time = At(text);
      const TimePath::Span span = *path.Of(time);
      EXPECT_LE(span.first, time) << pattern << " " << text;
      EXPECT_GE(span.last, time) << pattern << " " << text;
      EXPECT_EQ(path.Of(span.first)->path, span.path) << pattern << " " << text;
      EXPECT_EQ(path.Of(span.last)->path, span.path) << pattern << " " << text;
      for (const auto& beside : {path.Of(span.first - 1), path.Of(span.last + 1)}) {
        if (beside) {
          EXPECT_NE(beside->path, span.path) << pattern << " " << text;
        }
      }
    }
  }
}

TEST(TimePath, WithoutAPatternAllTimesAreOneSpan) {
  const TimePath path = *TimePath::Parse("");
  for (Timestamp time : {kMinTimestamp, Timestamp{0}, kMaxTimestamp}) {
    EXPECT_EQ(path.Of(time)->first, kMinTimestamp);
    EXPECT_EQ(path.Of(time)->last, kMaxTimestamp);
  }
}

TEST(TimePath, RefusesPatternsThatWouldLeaveTheFolderOrMixTimes) {
  for (const char* pattern :
       {"/date=%Y", "date=%Y/", "a//date=%Y", "..", "../date=%Y", ".date=%Y", "%Y-%m-%d", "date=%y",
        "date=%Y %m", "date=%", "date=", "=%Y", "date=%Y\xc3\xa4", "a=1/b=2/c=3/d=4/date=%Y",
        "hour=%H", "date=%Y-%d", "date=%m", "weekly"}) {
    const Status status = TimePath::Parse(pattern).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << pattern;
    EXPECT_THAT(std::string(status.message()), HasSubstr(pattern));
    EXPECT_THAT(std::string(status.message()), HasSubstr("hourly"));
  }
}

TEST(TimePath, SegmentsAreNoLabelsAndCannotHide) {
  EXPECT_TRUE(IsTimePath("date=2026-11-22/hour=09"));
  EXPECT_TRUE(IsTimePath(""));
  for (const char* path : {"date", "/", "date=1/", "../date=1", ".a=1", "a=1/..", "a=1/b",
                           "a=1/b=1/c=1/d=1/e=1", "a=", "=a", "a=b c"}) {
    EXPECT_FALSE(IsTimePath(path)) << path;
  }
}

}  // namespace
}  // namespace weir
