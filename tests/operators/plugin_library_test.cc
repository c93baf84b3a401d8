#include "operators/transforms/plugin_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/operators/plugin_harness.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

void ExpectRefused(std::string_view name, std::string_view what) {
  SCOPED_TRACE(name);
  const auto library = LoadPlugin(name);
  ASSERT_FALSE(library.ok());
  EXPECT_EQ(library.status().code(), absl::StatusCode::kFailedPrecondition);
  const std::string message(library.status().message());
  EXPECT_THAT(message, HasSubstr(PluginPath(name)));
  EXPECT_THAT(message, HasSubstr(std::string(what)));
}

TEST(PluginLibraryTest, KnowsItsNameAndVersion) {
  const auto library = LoadPlugin("unruly");
  ASSERT_TRUE(library.ok()) << library.status();
  EXPECT_EQ((*library)->identity().name, "unruly");
  EXPECT_EQ((*library)->identity().version, "2.1.0");
  EXPECT_EQ((*library)->label(), "plugin unruly 2.1.0");
}

TEST(PluginLibraryTest, WhatIsNoPluginIsRefused) {
  ExpectRefused("no_entry", "no WEIR_PLUGIN");
  ExpectRefused("null_table", "no WEIR_PLUGIN");
  ExpectRefused("nameless", "has no name");
  ExpectRefused("versionless", "no version");
}

TEST(PluginLibraryTest, OneForAnotherVersionIsRefused) {
  ExpectRefused("other_abi", "another version of Weir (plugin ABI 3); this one has plugin ABI 2");
  ExpectRefused("old_abi", "another version of Weir (plugin ABI 1); this one has plugin ABI 2");
  ExpectRefused("other_sizes",
                "was built with other headers than this Weir, though both have plugin ABI 2");
}

TEST(PluginLibraryTest, OneOfAnotherNameIsRefused) { ExpectRefused("misnamed", "somebody_else"); }

TEST(PluginLibraryTest, BytesThatCannotBeLoadedAreRefused) {
  auto bytes = ReadFile(RealEnvironment().disk, PluginPath("unruly"));
  ASSERT_TRUE(bytes.ok());
  for (const std::string& broken : {std::string(), std::string("text"), bytes->substr(0, 4),
                                    bytes->substr(0, 100), bytes->substr(0, bytes->size() / 8)}) {
    const auto library = PluginLibrary::Load("unruly", "/where/it/was", broken);
    ASSERT_FALSE(library.ok()) << broken.size();
    EXPECT_THAT(std::string(library.status().message()), HasSubstr("/where/it/was"));
  }
}

TEST(PluginLibraryTest, LoadsTheBytesAndNotAnotherOfTheSameName) {
  const auto unruly = LoadPlugin("unruly");
  const auto raw = LoadPlugin("raw");
  const auto again = LoadPlugin("unruly");
  ASSERT_TRUE(unruly.ok() && raw.ok() && again.ok());
  EXPECT_EQ((*raw)->identity().name, "raw");
  EXPECT_EQ((*again)->identity().name, "unruly");
}

TEST(PluginLibraryTest, NamesArePlain) {
  for (const char* name : {"a", "A-b_1", "0"}) EXPECT_TRUE(IsPluginName(name)) << name;
  for (const char* name : {"", "-a", "_a", ".", "..", "a/b", "../a", "a.b", "a b", "\xc3\xa4"}) {
    EXPECT_FALSE(IsPluginName(name)) << name;
  }
  EXPECT_TRUE(IsPluginName(std::string(limits::kPluginNameBytesMax, 'a')));
  EXPECT_FALSE(IsPluginName(std::string(limits::kPluginNameBytesMax + 1, 'a')));
}

std::string ErrorOf(std::string_view name, const PluginSettings& settings) {
  const auto library = LoadPlugin(name);
  EXPECT_TRUE(library.ok()) << library.status();
  const auto instance = (*library)->Create(settings);
  return instance.ok() ? "" : std::string(instance.status().message());
}

TEST(PluginSettingsTest, ReadsEveryType) {
  PluginBed defaults("fussy", {{"text", "x"}});
  defaults.Run({{""}});
  EXPECT_THAT(defaults.Payloads(),
              ElementsAre(R"({"id":1,"text":"x","integer":3,"number":1.500000,"flag":false})"));
  PluginBed given("fussy",
                  {{"text", "a=b"}, {"integer", "-4"}, {"number", "2.5e1"}, {"flag", "true"}});
  given.Run({{""}});
  EXPECT_THAT(given.Payloads(),
              ElementsAre(R"({"id":1,"text":"a=b","integer":-4,"number":25.000000,"flag":true})"));
}

TEST(PluginSettingsTest, EverythingThatIsWrongIsToldAtOnce) {
  EXPECT_EQ(ErrorOf("fussy", {{"text", "x"}}), "");
  EXPECT_THAT(
      ErrorOf(
          "fussy",
          {{"integer", "many"}, {"number", "inf"}, {"flag", "maybe"}, {"even", "3"}, {"txt", "x"}}),
      AllOf(HasSubstr("plugin fussy 0.1: "), HasSubstr("setting 'text' is missing"),
            HasSubstr("setting 'integer' = 'many' is not an integer"),
            HasSubstr("setting 'number' = 'inf' is not a finite number"),
            HasSubstr("setting 'flag' = 'maybe' is neither true nor false"),
            HasSubstr("setting 'even' = '3' must be even"),
            HasSubstr("unknown setting 'txt'; its settings are: text, integer")));
}

TEST(PluginSettingsTest, AConstructorThatThrowsOrSaysNothingIsAnError) {
  EXPECT_THAT(ErrorOf("fussy", {{"text", "x"}, {"explode", "true"}}), HasSubstr("constructor"));
  EXPECT_THAT(ErrorOf("raw", {{"null", ""}}), HasSubstr("does not say why"));
  EXPECT_THAT(ErrorOf("raw", {{"code", ""}}), HasSubstr("code 9"));
  EXPECT_THAT(ErrorOf("raw", {{"null-error", ""}}), HasSubstr("does not say why"));
}

}  // namespace
}  // namespace weir::testing
