#include "operators/transforms/plugin.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "core/crash_site.h"
#include "tests/operators/plugin_harness.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TEST(PluginTest, AnEventThatIsKeptSharesItsBytes) {
  PluginBed bed("unruly");
  BatchPtr batch = Events({{"keep", "", R"( {"a" : 1e400} )"}, {"drop"}, {"keep"}});
  const char* bytes = Batch<Event>::Of(*batch)[0].payload.data();
  EXPECT_EQ(bed.Run(std::move(batch)), 1);
  const auto rows = bed.out.Rows<Event>();
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].payload.data(), bytes);
  EXPECT_EQ(rows[0].payload, R"( {"a" : 1e400} )");
  EXPECT_EQ(rows[1].time, 1002);
  EXPECT_THAT(bed.out.emitted[0].batch->times(), ElementsAre(1000, 1002));
  EXPECT_EQ(bed.bed.counters.dropped, 1u);
  EXPECT_THAT(bed.out.rejected, IsEmpty());
}

TEST(PluginTest, FieldsOfAChangedLineAreReadFromIt) {
  PluginBed bed("unruly");
  bed.Run({{"emit",
            R"({"id":7,"time":"1970-01-01T00:00:09Z","type":"new","tenant":"t","priority":3})"}});
  const auto rows = bed.out.Rows<Event>();
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].id, "7");
  EXPECT_EQ(rows[0].type, "new");
  EXPECT_EQ(rows[0].tenant, "t");
  EXPECT_EQ(rows[0].priority, 3);
  EXPECT_EQ(rows[0].time, Seconds(9));
  EXPECT_THAT(bed.out.emitted[0].batch->times(), ElementsAre(Seconds(9)));
}

TEST(PluginTest, AChangedLineWithoutAFieldHasNone_ButKeepsIdAndTime) {
  PluginBed bed("unruly");
  bed.Run({{"emit", "{}"}});
  const auto rows = bed.out.Rows<Event>();
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].id, "0");
  EXPECT_EQ(rows[0].type, "");
  EXPECT_EQ(rows[0].tenant, "");
  EXPECT_EQ(rows[0].priority, 0);
  EXPECT_EQ(rows[0].time, 1000);
  EXPECT_EQ(bed.bed.counters.unusable_times, 1u);
}

TEST(PluginTest, WhatTheJobReadsFromNoFieldStays) {
  PluginBed bed("unruly", {}, {{}, "", "", "", ""});
  const std::string line = R"({"type":"new","time":5})";
  bed.Run({{"emit", line}});
  const auto rows = bed.out.Rows<Event>();
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].id, line);  // without a field the line is the id
  EXPECT_EQ(rows[0].type, "emit");
  EXPECT_EQ(rows[0].tenant, line);
  EXPECT_EQ(rows[0].priority, 5);
  EXPECT_EQ(rows[0].time, 1000);
  EXPECT_EQ(bed.bed.counters.unusable_times, 0u);
}

TEST(PluginTest, FieldsThatThePluginSetsGoBeforeThoseOfTheLine) {
  PluginBed bed("unruly");
  bed.Run({{"fields"}, {"both", R"({"id":"n","tenant":"read","priority":1,"time":1})"}});
  const auto rows = bed.out.Rows<Event>();
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].payload, R"({"id":"a"})");
  EXPECT_EQ(rows[0].id, "i");
  EXPECT_EQ(rows[0].tenant, "t");
  EXPECT_EQ(rows[0].type, "y");
  EXPECT_EQ(rows[0].time, 1001);
  EXPECT_EQ(rows[0].priority, 7);
  EXPECT_EQ(rows[1].id, "n");
  EXPECT_EQ(rows[1].tenant, "set");
  EXPECT_EQ(rows[1].priority, 8);
  EXPECT_EQ(rows[1].time, Seconds(1));
}

TEST(PluginTest, TimesMayLieBehindTheWatermarkButNotOutOfTheWorld) {
  PluginBed bed("unruly");
  ASSERT_TRUE(bed.op->OnWatermark(5'000, bed.out).ok());
  bed.Run({{"late"}, {"no-time"}, {"far-future"}});
  EXPECT_THAT(bed.out.emitted[0].batch->times(), ElementsAre(-5, 1001, 1002));
  EXPECT_EQ(bed.bed.counters.unusable_times, 2u);
  EXPECT_EQ(bed.op->OutputWatermark(5'000), 5'000);
}

TEST(PluginTest, WhatFailsIsRejectedAsItCameAndTheOthersGoOn) {
  PluginBed bed("unruly");
  bed.Run({{"keep"},
           {"throw", "", R"({"id":"b"})"},
           {"throw-int"},
           {"throw-nothing"},
           {"fail"},
           {"emit-then-throw", "", R"({"id":"f"})"},
           {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "6"));
  EXPECT_THAT(bed.Errors(),
              ElementsAre("plugin unruly 2.1.0: cannot read 1",
                          "plugin unruly 2.1.0: threw something that is no std::exception",
                          "plugin unruly 2.1.0: failed without a message",
                          "plugin unruly 2.1.0: no such airport",
                          "plugin unruly 2.1.0: at the last moment"));
  EXPECT_EQ(bed.out.rejected[0].record, R"({"id":"b"})");
  EXPECT_EQ(bed.out.rejected[0].time, 1001);
  EXPECT_EQ(bed.out.rejected[4].record, R"({"id":"f"})");
  EXPECT_EQ(bed.bed.counters.dropped, 0u);
}

TEST(PluginTest, RubbishIsRejected) {
  PluginBed bed("unruly");
  bed.Run({{"emit", "rubbish"},
           {"emit", ""},
           {"emit", "[1]"},
           {"emit", "{\"a\":\n1}"},
           {"emit", R"({"a":1} {"a":2})"},
           {"emit", std::string("{\"a\":\"\0\"}", 9)},
           {"emit", "{\"a\":\"\xff\"}"},
           {"swallow"},
           {"large-field"},
           {"too-large"}});
  EXPECT_THAT(bed.Payloads(), IsEmpty());
  EXPECT_THAT(bed.Errors(), Each(StartsWith("plugin unruly 2.1.0: emitted ")));
  ASSERT_THAT(bed.Errors(), SizeIs(10));
  EXPECT_THAT(bed.Errors()[0], HasSubstr("a line that is no event: not JSON"));
  EXPECT_THAT(bed.Errors()[2], HasSubstr("an array"));
  EXPECT_THAT(bed.Errors()[3], HasSubstr("line feed"));
  EXPECT_THAT(bed.Errors()[8], HasSubstr("a tenant of 70000 bytes"));
  EXPECT_THAT(bed.Errors()[9], HasSubstr("a line of 1099511627776 bytes"));
}

TEST(PluginTest, AnyJsonObjectIsAllowed) {
  const std::string deep = R"({"a":)" + std::string(2000, '[') + std::string(2000, ']') + "}";
  const std::string number = R"({"a":1e400,"b":123456789012345678901234567890})";
  PluginBed bed("unruly");
  bed.Run({{"emit", deep}, {"emit", number}, {"emit", " {\"a\":1}\r"}});
  EXPECT_THAT(bed.Payloads(), ElementsAre(deep, number, " {\"a\":1}\r"));
}

TEST(PluginTest, AMessageIsCut) {
  PluginBed bed("unruly");
  bed.Run({{"fail-at-length"}});
  ASSERT_THAT(bed.Errors(), SizeIs(1));
  EXPECT_LT(bed.Errors()[0].size(), limits::kPluginErrorBytesMax + 100);
}

TEST(PluginTest, ManyEventsOfOneComeInSeveralCalls) {
  PluginBed bed("unruly", {{"many", "5000"}});
  EXPECT_EQ(bed.Run({{"keep"}, {"many"}, {"many"}, {"keep"}}), 3);
  EXPECT_THAT(bed.Payloads(), SizeIs(10'002));
  EXPECT_EQ(bed.out.Rows<Event>()[5000].type, "one of many");
  EXPECT_EQ(bed.Ids().back(), "3");
}

TEST(PluginTest, TooManyEventsOrBytesAreRejectedAndLeaveNothing) {
  PluginBed bed("unruly");
  bed.Run({{"keep"}, {"endless"}, {"large"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "3"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("more than 65536 events"),
                                        HasSubstr("more than 268435456 bytes")));
  // The bytes of the row that failed are not kept alive.
  for (const auto& emitted : bed.out.emitted) {
    EXPECT_LT(emitted.batch->slabs().bytes(), size_t{1} << 20);
  }
}

TEST(PluginTest, BrokenRulesOfTheTableAreRejected) {
  PluginBed bed("raw");
  bed.Run({{"null-output"},
           {"null-payload"},
           {"null-tenant"},
           {"no-payload"},
           {"unknown-members"},
           {"null-error"},
           {"goes-on-after-failing"},
           {"unknown-code"},
           {"failed-silently"},
           {"throws-out"},
           {"throws-int-out"},
           {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("11"));
  EXPECT_THAT(
      bed.Errors(),
      ElementsAre("plugin raw 1: emitted an event at a null pointer",
                  "plugin raw 1: emitted a line at a null pointer",
                  "plugin raw 1: emitted a tenant at a null pointer",
                  HasSubstr("emitted a line that is no event"), HasSubstr("unknown members"),
                  "plugin raw 1: failed without a message", "plugin raw 1: the first reason",
                  "plugin raw 1: returned the unknown code 77",
                  "plugin raw 1: failed, and does not say why",
                  "plugin raw 1: let an exception out: over the boundary",
                  "plugin raw 1: let an exception out that is no std::exception"));
}

TEST(PluginTest, NoRowIsLostWhenThePluginDoesNotSayWhereItIs) {
  for (const char* act : {"returns-early", "row-beyond", "row-back"}) {
    SCOPED_TRACE(act);
    PluginBed bed("raw");
    bed.Run({{"keep"}, {"keep"}, {act}, {"keep"}, {"keep"}});
    EXPECT_EQ(bed.Ids().size() + bed.Errors().size(), 5u);
    EXPECT_GE(bed.Ids().size(), 1u);
    EXPECT_GE(bed.Errors().size(), 2u);
    EXPECT_THAT(bed.Errors(), Each(HasSubstr("broke the rules")));
    EXPECT_EQ(bed.bed.counters.dropped, 0u);
  }
}

TEST(PluginTest, ACrashIsSaidToBeThePluginsOnlyWhileItRuns) {
  const CrashScope scope("stage", 3);
  PluginBed bed("unruly");
  bed.Run({{"keep"}, {"throw"}});
  EXPECT_STREQ(CurrentCrashSite().stage.load(), "stage");
  EXPECT_EQ(CurrentCrashSite().subtask.load(), 3);
  EXPECT_EQ(CurrentCrashSite().component.load(), nullptr);
  EXPECT_EQ(CurrentCrashSite().row.load(), nullptr);
}

TEST(PluginDeathTest, ACrashNamesThePluginAndTheRow) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // there are I/O threads
  PluginBed bed("unruly");
  const CrashScope scope("stage", 3);
  const auto crash = [&bed] {
    std::signal(SIGABRT, [](int) {
      const CrashSite& site = CurrentCrashSite();
      fprintf(stderr, "%s, %s, row %u\n", site.stage.load(), site.component.load(),
              site.row.load()->load());
      _exit(1);
    });
    bed.Run({{"keep"}, {"throw"}, {"crash"}, {"keep"}});
  };
  EXPECT_EXIT(crash(), ::testing::ExitedWithCode(1), "stage, plugin unruly 2.1.0, row 2");
}

TEST(PluginTest, HasNoStateOfItsOwn) {
  PluginBed first("unruly");
  first.Run({{"keep"}, {"throw"}});
  EXPECT_EQ(first.op->Freeze(1), nullptr);
  PluginBed second("unruly");
  second.Run({{"keep"}});
  EXPECT_EQ(second.Ids(), first.Ids());
  // Any number of batches, one instance.
  second.Run({{"fields"}, {"drop"}});
  EXPECT_THAT(second.Ids(), ElementsAre("0", "i"));
}

TEST(PluginTest, EverythingGoesThroughTheCodec) {
  PluginBed bed("unruly");
  bed.Run({{"keep"}, {"emit", R"({"id":"changed","type":"t"})"}, {"many"}});
  const auto codec = MakeRowCodec<Event>();
  for (const auto& emitted : bed.out.emitted) {
    std::string bytes;
    codec->EncodeBatch(*emitted.batch, bytes);
    auto decoded = codec->DecodeBatch(CopyToSlab(bytes));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ((*decoded)->rows(), emitted.batch->rows());
    EXPECT_EQ((*decoded)->view_bytes(), emitted.batch->view_bytes());
  }
}

}  // namespace
}  // namespace weir::testing
