// What stands in a shadow's reports of the command that it was started with.
#include "cli/shadow_reports.h"

#include <gtest/gtest.h>

namespace weir::cli {
namespace {

TEST(CommandTextTest, CanBePasted) {
  EXPECT_EQ(CommandText({"weir", "shadow", "-D", "out=/tmp/a b", "-Dwho=it's", ""}),
            R"(weir shadow -D 'out=/tmp/a b' '-Dwho=it'\''s' '')");
}

TEST(CommandTextTest, HasNoSecrets) {
  for (const char* before : {"", "-D", "--param=", "--candidate-param="}) {
    const std::string text =
        CommandText({"weir", std::string(before) + "db_password=one two,'three=four", "next"});
    EXPECT_EQ(text, std::string("weir '") + before + "db_password=***' next");
  }
}

}  // namespace
}  // namespace weir::cli
