#include "jobs/parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace weir {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

Parameters Make(Parameters::Values values) {
  return Parameters(std::move(values), LocalResources());
}

TEST(ParametersTest, ReadsEveryType) {
  Parameters p = Make({{"t", "x y"},
                       {"i", "-7"},
                       {"n", "2.5"},
                       {"f", "true"},
                       {"d", "10s"},
                       {"s", "64KiB"},
                       {"l", "a,,b"}});
  EXPECT_EQ(p.Text("t", ""), "x y");
  EXPECT_EQ(p.Integer("i", ""), -7);
  EXPECT_EQ(p.Number("n", ""), 2.5);
  EXPECT_TRUE(p.Flag("f", "", false));
  EXPECT_EQ(p.Time("d", ""), Seconds(10));
  EXPECT_EQ(p.Size("s", ""), 64u << 10);
  EXPECT_THAT(p.List("l", ""), ElementsAre("a", "b"));
  EXPECT_THAT(p.Errors(), IsEmpty());
}

TEST(ParametersTest, DefaultsStandInForWhatIsNotGiven) {
  Parameters p = Make({});
  EXPECT_EQ(p.Integer("i", "", 3), 3);
  EXPECT_EQ(p.Time("d", "", Hours(24)), Hours(24));
  EXPECT_FALSE(p.File("rules", "").given());
  EXPECT_THAT(p.Errors(), IsEmpty());
}

TEST(ParametersTest, AListOfNothingButCommasIsAnError) {
  for (const char* list : {",", ",,"}) {
    Parameters p = Make({{"l", list}});
    EXPECT_THAT(p.List("l", ""), IsEmpty());
    EXPECT_THAT(p.Errors(), ElementsAre(HasSubstr("comma"))) << list;
  }
  Parameters p = Make({{"l", ""}});
  EXPECT_THAT(p.List("l", ""), IsEmpty());
  EXPECT_THAT(p.Errors(), IsEmpty());
}

TEST(ParametersTest, AllErrorsAreToldAtOnce) {
  Parameters p =
      Make({{"rate", "fast"}, {"widnow", "1h"}, {"zzz", "1"}, {"file", "/no/such/file"}});
  p.Text("input", "a folder");
  p.Number("rate", "", 0);
  p.Time("window", "", Hours(1));
  p.File("file", "");
  EXPECT_THAT(p.Errors(),
              ElementsAre(HasSubstr("'input' is missing"),
                          HasSubstr("'rate' = 'fast': not a number"), HasSubstr("/no/such/file"),
                          HasSubstr("unknown parameter 'widnow': did you mean 'window'?"),
                          HasSubstr("unknown parameter 'zzz'; --help")));
}

TEST(ParametersTest, NumbersMustBeWhole) {
  Parameters p = Make({{"a", "12abc"}, {"b", ""}, {"c", "inf"}, {"d", "1e3"}});
  p.Integer("a", "");
  p.Integer("b", "");
  p.Number("c", "");
  EXPECT_EQ(p.Number("d", ""), 1000);
  EXPECT_EQ(p.Errors().size(), 3u);
}

TEST(ParametersTest, PathsAreAbsoluteAndOneFolderHasOneName) {
  Parameters p({{"a", "in"}, {"b", "./in/"}, {"c", "/x/../in"}, {"d", ""}}, LocalResources(),
               "/base");
  EXPECT_EQ(p.Path("a", ""), "/base/in");
  EXPECT_EQ(p.Path("b", ""), "/base/in");
  EXPECT_EQ(p.Path("c", ""), "/in");
  EXPECT_EQ(p.Path("d", ""), "");
  EXPECT_EQ(p.values().at("b"), "/base/in");
  EXPECT_THAT(p.Errors(), ElementsAre(HasSubstr("'d' = '': not a path")));
}

TEST(ParametersTest, Sha256IsTheStandardOne) {
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace weir
