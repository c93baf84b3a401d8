#include "shadow/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <random>

#include "shadow/report_html.h"
#include "shadow/report_json.h"
#include "shadow/report_table.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kAttack = "<script>alert('x')</script>";

// Everything that a report can show, with names and values that nobody should trust.
ShadowReport MakeReport() {
  std::mt19937_64 random(4);
  TestShadow shadow(
      "{all: {key: id}, known: [{field: tax, reason: \"<b>rounded</b> since 2.3\", until: "
      "2030-01-01}, {field: x, reason: over, until: 2020-01-01}]}");
  for (int i = 0; i < 3000; ++i) {
    const std::string id = "\"order-" + std::to_string(i) + "\"";
    auto line = [&](bool changed) {
      return "{\"id\":" + id + ",\"price\":" + (changed ? "12.5" : "12.49") +
             ",\"tax\":" + (changed ? "2" : "1") + ",\"trace\":\"" + std::to_string(random()) +
             "\",\"user\":{\"name\":\"" + (changed ? kAttack : "Ann") +
             "\",\"tags\":[\"a\",\"b\"]},\"items\":[{\"sku\":\"k-1\",\"n\":" +
             (changed ? "\"2\"" : "2") + "},{\"sku\":\"k-2\",\"n\":1}]}";
    };
    shadow.Add("warehouse", line(false), line(false), line(i % 500 == 3));
    const std::string row = "{\"id\":" + id + ",\"ok\":true}";
    shadow.Add("alerts\x1b[31m", row.c_str(), row.c_str(), i == 17 ? nullptr : row.c_str());
  }
  ShadowReport report;
  report.job = "event_pipeline";
  report.written_at = "2026-11-29T22:00:00Z";
  report.verdict = shadow.Judge();
  report.cost = {
      {"records_per_second",
       "records/s",
       true,
       {812'000, 798'000, 805'000},
       {912'000, 905'000, 899'000}},
      {"cpu_seconds_per_million_records", "s", false, {1.21, 1.25, 1.23}, {1.36, 1.39, 1.41}},
      {"state_bytes",
       "bytes",
       false,
       {48'234'496, 48'300'032, 48'250'880},
       {48'241'664, 48'269'000, 48'251'000}},
      {"output_bytes",
       "bytes",
       false,
       {9'123'456, 9'123'456, 9'123'456},
       {9'123'470, 9'123'470, 9'123'470}},
      {"latency_p99_ms", "ms", false, {12.1, 15.9, 13.0}, {12.9, 14.2, 16.0}}};
  report.facts = {{"library",
                   "libevent_pipeline.so sha256 "
                   "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                   "libevent_pipeline.so sha256 "
                   "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"},
                  {"checkpoint", "chk-41", ""},
                  {"parameter input", kAttack, ""}};
  report.rules = "all: {key: id}\n";
  report.command =
      "weir shadow --baseline build/jobs/libevent_pipeline.so --candidate candidate.so -D "
      "input=events -p 4";
  return report;
}

TEST(ReportTest, JsonHasWhatTheCommandPromises) {
  const std::string text = ReportJson(MakeReport());
  JsonParser parser;
  const auto root = parser.ParseUnpadded(text);
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_EQ(root->FindPath("verdict")->GetString(), "FAIL");
  const JsonValue output = root->FindPath("outputs")->At(1);
  EXPECT_EQ(output.Find("name")->GetString(), "warehouse");
  EXPECT_EQ(output.Find("matched")->GetUint(), 0u);  // of `trace`, which is noise in all of them
  EXPECT_EQ(output.Find("mismatched")->GetUint(), 3000u);
  EXPECT_EQ(output.Find("missing")->GetUint(), 0u);
  EXPECT_EQ(output.Find("extra")->GetUint(), 0u);
  bool found = false;
  output.Find("fields")->ForEachElement([&](const JsonValue& field) {
    if (field.Find("path")->GetString() != "items[*].n") return;
    found = true;
    EXPECT_EQ(field.Find("differs")->GetUint(), 6u);
    EXPECT_EQ(field.Find("noise")->GetUint(), 0u);
    EXPECT_EQ(field.Find("samples")->size(), 3u);
    EXPECT_EQ(field.Find("change")->GetString(), "type");
  });
  EXPECT_TRUE(found);
  EXPECT_EQ(root->FindPath("performance.baseline.records_per_second.median")->GetDouble(), 805'000);
  EXPECT_EQ(root->FindPath("performance.candidate.records_per_second.max")->GetDouble(), 912'000);
  EXPECT_EQ(root->FindPath("performance.differences")->At(4).Find("more_than_noise")->GetBool(),
            false);
  EXPECT_EQ(root->FindPath("run.facts")->At(1).Find("candidate")->GetString(), "chk-41");
}

TEST(ReportTest, TheTableHasColoursOnlyWhereTheyAreAskedFor) {
  const ShadowReport report = MakeReport();
  const std::string plain = ReportTable(report, false);
  EXPECT_THAT(plain, HasSubstr("FAIL"));
  EXPECT_THAT(plain, HasSubstr("items[*].n"));
  EXPECT_THAT(plain, HasSubstr("missing records"));
  EXPECT_THAT(plain, HasSubstr("within noise"));
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));  // the name of an output has one
  EXPECT_THAT(ReportTable(report, true), HasSubstr("\x1b[31;1mFAIL"));
  if (std::getenv("WEIR_SHOW_REPORTS") != nullptr) printf("%s\n", plain.c_str());
}

TEST(ReportTest, ThePageStandsAloneAndTrustsNothing) {
  const std::string html = ReportHtml(MakeReport());
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<b>rounded")));
  EXPECT_THAT(html, HasSubstr("&lt;b&gt;rounded"));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;"));
  EXPECT_THAT(html, HasSubstr("alerts\\x1b[31m"));
  EXPECT_THAT(html, HasSubstr("default-src 'none'"));
  EXPECT_THAT(html, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(html, HasSubstr("<mark>"));
  for (const char* outside : {"http:", "https:", "src=", "url(", "@import", "<link", "href"}) {
    EXPECT_THAT(html, Not(HasSubstr(outside)));
  }
  if (const char* path = std::getenv("WEIR_SHOW_REPORTS")) std::ofstream(path) << html;
}

TEST(ReportTest, DifferingPartsAreMarked) {
  const MarkedTexts marked =
      MarkDifferences(R"({"a":1,"b":"x<y","c":3})", R"({"a":1,"b":"x>y","d":4})");
  EXPECT_EQ(marked.left,
            "{\n  &quot;a&quot;: 1,\n  &quot;b&quot;: &quot;x<mark>&lt;</mark>y&quot;,\n"
            "  &quot;<mark>c&quot;: 3</mark>\n}\n");
  EXPECT_EQ(marked.right,
            "{\n  &quot;a&quot;: 1,\n  &quot;b&quot;: &quot;x<mark>&gt;</mark>y&quot;,\n"
            "  &quot;<mark>d&quot;: 4</mark>\n}\n");
  EXPECT_EQ(MarkDifferences("\xc3\xa4", "\xc3\xb6").left, "<mark>\xc3\xa4</mark>\n");
  EXPECT_EQ(MarkDifferences("a\u202eb", "a\u202dc").left, "a<mark>\\u202eb</mark>\n");
  EXPECT_EQ(MarkDifferences("same", "same").right, "same\n");
}

TEST(ReportTest, CostIsMoreThanNoiseWhereNoRunsMingle) {
  CostMeasure measure{"x", "s", false, {1, 2, 3}, {4, 5, 6}};
  EXPECT_TRUE(IsMoreThanNoise(measure));
  EXPECT_DOUBLE_EQ(ChangeOf(measure), 1.5);
  measure.candidate = {3, 5, 6};
  EXPECT_FALSE(IsMoreThanNoise(measure));
  measure.candidate = {3.001, 3.002, 3.003};
  measure.baseline = {3, 3, 3};
  EXPECT_FALSE(IsMoreThanNoise(measure));  // by too little
  measure.baseline = {1, 2, 3};
  measure.candidate = {4, 5};
  EXPECT_FALSE(IsMoreThanNoise(measure));
  EXPECT_EQ(SpreadOf({4, 1, 3, 2}).median, 2.5);
  EXPECT_EQ(SpreadOf({}).runs, 0u);
}

TEST(ReportTest, NumbersReadWell) {
  EXPECT_EQ(Grouped(0), "0");
  EXPECT_EQ(Grouped(999), "999");
  EXPECT_EQ(Grouped(1'234'567), "1,234,567");
  EXPECT_EQ(PercentText(1, 100'000), "0.001%");
  EXPECT_EQ(PercentText(0, 0), "0%");
}

}  // namespace
}  // namespace weir::shadow
