#include "core/text_table.h"

#include <gtest/gtest.h>

#include "core/utf8.h"

namespace weir {
namespace {

TEST(TextTableTest, ColumnsAreAlignedByCharacters) {
  TextTable table({"NAME", ">COUNT", "REST"});
  table.Add({"a", "12345678", "x"});
  table.Add({"\xc3\xa4\xc3\xb6\xc3\xbc-long", "1", ""});
  EXPECT_EQ(table.ToString(),
            "NAME         COUNT  REST\n"
            "a         12345678  x\n"
            "\xc3\xa4\xc3\xb6\xc3\xbc-long         1\n");
}

TEST(TextTableTest, OnlyWhatCanBeShownIsShown) {
  EXPECT_EQ(Printable("plain \xc3\xa4"), "plain \xc3\xa4");
  EXPECT_EQ(Printable(std::string_view("\x00\x1b\x7f\n", 4)), "\\x00\\x1b\\x7f\\x0a");
  EXPECT_EQ(Printable("\xc2\x9b"), "\\x9b");         // a control character of one code point
  EXPECT_EQ(Printable("a\xff\xc2"), "a\\xff\\xc2");  // no UTF-8
  EXPECT_EQ(Printable("a\u202eb\u200fc\u2069"), "a\\u202eb\\u200fc\\u2069");
  EXPECT_EQ(Printable("\u2013 \u2020 \u2070"), "\u2013 \u2020 \u2070");  // near these, and harmless
}

}  // namespace
}  // namespace weir
