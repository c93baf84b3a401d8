// Lines of a log: both forms whole whatever a message holds, no secrets, and no floods.
#include "runtime/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "core/json.h"
#include "runtime/limits.h"
#include "runtime/secrets_in_text.h"

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class FixedClock final : public Clock {
 public:
  Timestamp Now() override { return wall; }
  int64_t MonotonicMicros() override { return monotonic; }

  Timestamp wall = 1'795'960'800'123'456;  // 2026-11-29T14:00:00.123456Z
  int64_t monotonic = 1;
};

class LogTest : public ::testing::Test {
 protected:
  std::string Written(LogFormat format, const LogLine& line) {
    std::ostringstream out;
    Log(format, clock_, &out).Write(line);
    return out.str();
  }
  static std::vector<std::string> Lines(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  static LogLine OfAnOperator(std::string_view message) {
    LogLine line = LogLine::Warning(message);
    line.job = "flights-1";
    line.attempt = 3;
    line.executor = 0;
    line.op = "dedup";
    line.subtask = 1;
    return line;
  }

  FixedClock clock_;
};

TEST_F(LogTest, TextSaysWhenHowBadAndWhere) {
  EXPECT_EQ(Written(LogFormat::kText, "a worker joined"),
            "2026-11-29T14:00:00.123Z info: a worker joined\n");
  EXPECT_EQ(Written(LogFormat::kText, OfAnOperator("slow")),
            "2026-11-29T14:00:00.123Z warning job=flights-1 attempt=3 executor=0 operator=dedup "
            "subtask=1: slow\n");
}

TEST_F(LogTest, PlainLinesAreThoseOfTheCommand) {
  EXPECT_EQ(Written(LogFormat::kPlain, OfAnOperator("slow")),
            "weir: stage 'dedup' (subtask 1): slow\n");
  EXPECT_EQ(Written(LogFormat::kPlain, "a worker joined"), "weir: a worker joined\n");
}

TEST_F(LogTest, JsonIsOneObjectALine) {
  const std::string text = Written(LogFormat::kJson, OfAnOperator("slow"));
  ASSERT_EQ(Lines(text).size(), 1u);
  EXPECT_EQ(text, R"({"time":"2026-11-29T14:00:00.123Z","level":"warning","job":"flights-1",)"
                  R"("attempt":3,"executor":0,"operator":"dedup","subtask":1,"message":"slow"})"
                  "\n");
}

TEST_F(LogTest, NoBytesOfAMessageBreakALine) {
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every.push_back(static_cast<char>(byte));
  every += "\n2026-11-29T14:00:00.123Z info: forged\xc2\x9b";
  const std::string json = Written(LogFormat::kJson, every);
  ASSERT_EQ(Lines(json).size(), 1u);
  EXPECT_TRUE(IsValidUtf8(json));
  JsonParser parser;
  EXPECT_TRUE(parser.ParseUnpadded(json).ok()) << json;

  const std::string text = Written(LogFormat::kText, every);
  EXPECT_TRUE(IsValidUtf8(text));
  const std::vector<std::string> lines = Lines(text);
  ASSERT_EQ(lines.size(), 3u);  // of 1 + 2 line breaks
  EXPECT_EQ(lines[2], "    2026-11-29T14:00:00.123Z info: forged\\x9b");
  for (const std::string& line : lines) {
    for (const char c : line) EXPECT_FALSE(std::iscntrl(static_cast<unsigned char>(c)) && c > 0);
  }
}

TEST_F(LogTest, SecretsAreLeftOut) {
  LogLine line =
      OfAnOperator("cannot connect with password=hunter2 to postgres://weir:hunter2@db/x");
  for (const LogFormat format : {LogFormat::kText, LogFormat::kJson, LogFormat::kPlain}) {
    EXPECT_THAT(Written(format, line), Not(HasSubstr("hunter2")));
  }
  EXPECT_EQ(HideSecrets("password=a b, db.Password = 'x y'; API_KEY=\"q\" tokens=3"),
            "password=*** b, db.Password = ***; API_KEY=*** tokens=***");
  EXPECT_EQ(HideSecrets(R"({"user":"a","token":"b\"c","n":1})"),
            R"({"user":"a","token":"***","n":1})");
  EXPECT_EQ(HideSecrets("Authorization: Bearer abc.def-1"), "Authorization: Bearer ***");
  EXPECT_EQ(HideSecrets("Authorization: Basic dTpodW50ZXI="), "Authorization: Basic ***");
  EXPECT_EQ(HideSecrets("password=\"hunter\xff"
                        "2\", password='it\\'s a tail' secret=\xff"
                        "b"),
            "password=***, password=*** secret=***");
  EXPECT_EQ(HideSecrets("https://u:p@host/a and http://host:80/b@c"),
            "https://u:***@host/a and http://host:80/b@c");
}

TEST_F(LogTest, WhatIsNoSecretStays) {
  for (const char* text :
       {"--token-file /etc/weir: no such file", "the token of worker-1 has expired",
        "row 7 of out=/data/x, key=12", "worker-1 at 127.0.0.1:6123 joined", "a secret: none"}) {
    EXPECT_EQ(HideSecrets(text), text);
  }
}

TEST_F(LogTest, AParameterWithASecretNameIsHiddenWhereverItsValueStands) {
  std::string text = "refused: user 'weir' with hunter2 (hunter2)";
  HideParameter("target", "weir", text);
  HideParameter("pg.password", "hunter2", text);
  EXPECT_EQ(text, "refused: user 'weir' with *** (***)");
  HideParameter("token", "e", text);  // too short to be one
  EXPECT_THAT(text, HasSubstr("refused"));
}

TEST_F(LogTest, OfAFloodTheFirstLinesAreSaidAndTheRestIsCounted) {
  std::ostringstream out;
  {
    Log log(LogFormat::kPlain, clock_, &out);
    for (size_t i = 0; i < limits::kLogLinesMax + 1000; ++i) {
      log.Write(LogLine::Warning("again", "refused connections"));
    }
    log.Write("something else");
    LogLine other = LogLine::Warning("of another job", "refused connections");
    other.job = "b";
    log.Write(other);
    EXPECT_EQ(Lines(out.str()).size(), limits::kLogLinesMax + 2);
    out.str("");
    clock_.monotonic += limits::kLogPeriod;
    log.Write(LogLine::Warning("later", "refused connections"));
    EXPECT_THAT(
        Lines(out.str()),
        ElementsAre(HasSubstr("1000 more lines like this one were left out"), HasSubstr("later")));
    for (size_t i = 0; i < limits::kLogLinesMax; ++i) {
      log.Write(LogLine::Warning("again", "refused connections"));
    }
    out.str("");
  }
  EXPECT_THAT(Lines(out.str()), ElementsAre(HasSubstr("1 more lines")));  // at its end
}

}  // namespace
}  // namespace weir
