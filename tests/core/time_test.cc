#include "core/time.h"

#include <gtest/gtest.h>

#include <cmath>

namespace weir {
namespace {

TEST(ParseRfc3339, ReadsEveryFormOfTheSameInstant) {
  const Timestamp want = 1'795'384'000'500'000;
  for (const char* text : {
           "2026-11-22T21:46:40.5Z",
           "2026-11-22t21:46:40.500z",
           "2026-11-22 21:46:40.500000Z",
           "2026-11-22T21:46:40.500000999Z",
           "2026-11-22T23:46:40.5+02:00",
           "2026-11-22T16:16:40.5-05:30",
           "2026-11-23T21:45:40.5+23:59",
       }) {
    EXPECT_EQ(ParseRfc3339(text), want) << text;
  }
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(ParseRfc3339("1970-01-01T00:00:00-00:00"), 0);
  EXPECT_EQ(ParseRfc3339("1969-12-31T23:59:59.25Z"), -750'000);
}

TEST(ParseRfc3339, KnowsTheCalendar) {
  EXPECT_TRUE(ParseRfc3339("2024-02-29T00:00:00Z"));
  EXPECT_TRUE(ParseRfc3339("2000-02-29T00:00:00Z"));
  EXPECT_FALSE(ParseRfc3339("1900-02-29T00:00:00Z"));
  EXPECT_FALSE(ParseRfc3339("2026-02-29T00:00:00Z"));
  EXPECT_FALSE(ParseRfc3339("2026-04-31T00:00:00Z"));
  EXPECT_EQ(ParseRfc3339("0000-01-01T00:00:00Z"), -Seconds(62'167'219'200));
  EXPECT_EQ(ParseRfc3339("9999-12-31T23:59:59Z"), Seconds(253'402'300'799));
}

TEST(ParseRfc3339, TakesTheLeapSecondForTheEndOfTheSecondBefore) {
  EXPECT_EQ(ParseRfc3339("2016-12-31T23:59:60Z"), *ParseRfc3339("2016-12-31T23:59:59.999999Z"));
  EXPECT_EQ(ParseRfc3339("2016-12-31T23:59:60.7Z"), *ParseRfc3339("2016-12-31T23:59:59.999999Z"));
}

TEST(ParseRfc3339, RefusesEverythingElse) {
  for (const char* text : {
           "",
           "2026",
           "2026-11-22",
           "2026-11-22T21:46:40",
           "2026-11-22T21:46Z",
           "2026-11-22T21:46:40.Z",
           "2026-11-22T21:46:40.1234567890Z",
           "2026-11-22T21:46:40,5Z",
           "2026-11-22T21:46:40Z ",
           " 2026-11-22T21:46:40Z",
           "2026-11-22T21:46:40+0200",
           "2026-11-22T21:46:40+2:00",
           "2026-11-22T21:46:40+24:00",
           "2026-11-22T21:46:40+02:60",
           "2026-11-22T24:00:00Z",
           "2026-11-22T21:60:40Z",
           "2026-11-22T21:46:61Z",
           "2026-00-22T21:46:40Z",
           "2026-13-22T21:46:40Z",
           "2026-11-00T21:46:40Z",
           "2026-1a-22T21:46:40Z",
           "2026/11/22T21:46:40Z",
           "+2026-11-22T21:46:40Z",
           "202x-11-22T21:46:40Z",
           "2026-11-22T21:46:40\xFFZ",
       }) {
    EXPECT_FALSE(ParseRfc3339(text)) << text;
  }
}

TEST(FromEpochNumber, TellsTheUnitFromTheSize) {
  const Timestamp want = Seconds(1'795'384'000);
  EXPECT_EQ(FromEpochNumber(int64_t{1'795'384'000}), want);
  EXPECT_EQ(FromEpochNumber(int64_t{1'795'384'000'000}), want);
  EXPECT_EQ(FromEpochNumber(int64_t{1'795'384'000'000'000}), want);
  EXPECT_EQ(FromEpochNumber(int64_t{-1}), -Seconds(1));
  EXPECT_EQ(FromEpochNumber(int64_t{99'999'999'999}), Seconds(99'999'999'999));
  EXPECT_EQ(FromEpochNumber(int64_t{100'000'000'000}), Milliseconds(100'000'000'000));
  EXPECT_EQ(FromEpochNumber(std::numeric_limits<int64_t>::min()), kMinTimestamp);
  EXPECT_EQ(FromEpochNumber(1'795'384'000.25), want + 250'000);
  EXPECT_EQ(FromEpochNumber(1'795'384'000'250.0), want + 250'000);
}

TEST(FromEpochNumber, RefusesWhatIsNoTime) {
  EXPECT_FALSE(FromEpochNumber(std::nan("")));
  EXPECT_FALSE(FromEpochNumber(HUGE_VAL));
  EXPECT_FALSE(FromEpochNumber(-HUGE_VAL));
  EXPECT_FALSE(FromEpochNumber(1e300));
  EXPECT_FALSE(FromEpochNumber(9'223'372'036'854'775'808.0));
}

TEST(FormatTimestamp, IsReadBackAsTheSameTime) {
  EXPECT_EQ(FormatTimestamp(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(FormatTimestamp(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(FormatTimestamp(kMinTimestamp), "-inf");
  EXPECT_EQ(FormatTimestamp(kMaxTimestamp), "+inf");
  FormatTimestamp(kMinTimestamp + 1);  // far outside of the calendar, but defined
  FormatTimestamp(kMaxTimestamp - 1);
  for (Timestamp time = -Seconds(62'167'219'200); time < Seconds(253'402'300'799);
       time += Hours(24 * 97) + 12'345'678'901) {
    EXPECT_EQ(ParseRfc3339(FormatTimestamp(time)), time);
  }
}

TEST(Durations, AreReadWithTheirUnit) {
  EXPECT_EQ(*ParseDuration("200ms"), Milliseconds(200));
  EXPECT_EQ(*ParseDuration("10s"), Seconds(10));
  EXPECT_EQ(*ParseDuration("24h"), Hours(24));
  EXPECT_EQ(*ParseDuration("7us"), 7);
  EXPECT_EQ(*ParseDuration("3m"), Minutes(3));
  EXPECT_EQ(*ParseDuration("2d"), Hours(48));
  for (const char* text : {"", "10", "s", "-1s", "1.5s", "1 s", "1s ", "1h30m", "10S",
                           "99999999999999999999s", "9223372036854775807s"}) {
    EXPECT_EQ(ParseDuration(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_NE(ParseDuration("soon").status().message().find("'soon'"), std::string::npos);
  for (Duration duration :
       {Duration{0}, Seconds(90), Hours(24), Milliseconds(1), Duration{1'001}}) {
    EXPECT_EQ(*ParseDuration(FormatDuration(duration)), duration);
  }
  EXPECT_EQ(FormatDuration(Seconds(90)), "90s");
  EXPECT_EQ(FormatDuration(-Seconds(90)), "-90s");
  EXPECT_NE(FormatDuration(kMinTimestamp), "");
}

TEST(Sizes, AreReadWithTheirUnit) {
  EXPECT_EQ(*ParseSize("64KiB"), 65'536u);
  EXPECT_EQ(*ParseSize("2GiB"), 2ull << 30);
  EXPECT_EQ(*ParseSize("1TiB"), 1ull << 40);
  EXPECT_EQ(*ParseSize("5MB"), 5'000'000u);
  EXPECT_EQ(*ParseSize("17"), 17u);
  EXPECT_EQ(*ParseSize("17B"), 17u);
  for (const char* text : {"", "KiB", "-1", "1.5GiB", "1kib", "1 KiB", "16777216TiB"}) {
    EXPECT_EQ(ParseSize(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_EQ(FormatSize(0), "0B");
  EXPECT_EQ(FormatSize(65'536), "64KiB");
  EXPECT_EQ(FormatSize(1'500'000), "1.4MiB");
}

}  // namespace
}  // namespace weir
