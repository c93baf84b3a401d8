// For each rule of the kit, a stage that breaks it: found, with a message that names the rule; and
// the same stage without the fault, which conforms.
#include "testing/conformance.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <set>

#include "testing/gtest.h"
#include "tests/testing/faulty_stages.h"

namespace weir::testing {
namespace {

using ::testing::HasSubstr;

InputScript Items() {
  InputScript input;
  input.Rows<Item>({{{"a", 1}, 1}, {{"b", 2}, 2}, {{"c", 3}, 3}, {{"d", -4}, 4}})
      .Rows<Item>({{{"a", 5}, 5}})
      .Rows<Item>({{{"b", 6}, 6}, {{"c", -7}, 7}})
      .Watermark(Seconds(10))
      .Rows<Item>({{{"c", 8}, Seconds(11)}, {{"d", 9}, Seconds(12)}, {{"a", 9}, Seconds(13)}})
      .Advance(Seconds(1))
      .Watermark(Seconds(20));
  return input;
}

StageCase TotalsCase(Fault fault) {
  StageCase stage;
  stage.name = "totals";
  stage.code.op = [fault] { return std::make_unique<Totals>(fault); };
  stage.input = Items();
  stage.output_codecs[0] = MakeRowCodec<Item>();
  stage.order = RowOrder::kSame;
  stage.rescales = false;
  stage.freeze_max = Milliseconds(1);
  return stage;
}

StageCase CountsCase(Fault fault) {
  StageCase stage;
  stage.name = "counts";
  stage.code.op = [fault] { return std::make_unique<Counts>(fault); };
  stage.input = Items();
  stage.input_edges[0] = {MakeRowCodec<Item>(), [](BatchBase& batch) {
                            std::vector<uint64_t> hashes;
                            for (const Item& item : Batch<Item>::Of(batch).values()) {
                              hashes.push_back(MakeStateKey(item.key).hash);
                            }
                            batch.set_key_hashes(std::move(hashes));
                          }};
  stage.output_codecs[0] = MakeRowCodec<Item>();
  stage.keyed_state = true;
  stage.order = RowOrder::kSamePerKey;
  stage.key = "key";
  return stage;
}

StageCase NumbersCase(Fault fault) {
  StageCase stage;
  stage.name = "numbers";
  stage.role = StageRole::kSource;
  stage.code.source = [fault] { return std::make_unique<Numbers>(fault); };
  stage.output_codecs[0] = MakeRowCodec<Item>();
  stage.order = RowOrder::kSame;
  return stage;
}

StageCase ShelfCase(Fault fault) {
  auto shelf = std::make_shared<Shelf>();
  StageCase stage;
  stage.name = "shelf";
  stage.role = StageRole::kSink;
  stage.code.sink = [shelf, fault] { return std::make_unique<ShelfSink>(shelf, fault); };
  stage.input = Items();
  stage.reset = [shelf] { *shelf = {}; };
  stage.read = [shelf]() -> StatusOr<std::vector<std::string>> { return shelf->committed; };
  return stage;
}

struct Planted {
  Rule rule;
  StageCase (*make)(Fault);
  const char* says;  // part of the message
  int way = 0;
};

const Planted kPlanted[] = {
    {Rule::kNoFailure, TotalsCase, "Process(): INTERNAL: does not like the third row", 0},
    {Rule::kNoFailure, TotalsCase, "threw: does not like the third row", 1},
    {Rule::kSameEachTime, TotalsCase, "row.n: expected"},
    {Rule::kOwnState, TotalsCase, "in turns with another instance"},
    {Rule::kBatchCuts, TotalsCase, "batches of one row"},
    {Rule::kEmptyBatches, TotalsCase, "row.n: expected"},
    {Rule::kFineTime, TotalsCase, "time in seven steps"},
    {Rule::kOutputHeld, TotalsCase, "row.key: expected"},
    {Rule::kBlockedEverywhere, TotalsCase, "missing"},
    {Rule::kBarriers, TotalsCase, "two checkpoints at every chance"},
    {Rule::kBarriers, ShelfCase, "two checkpoints at every chance"},
    {Rule::kRestore, TotalsCase, "restored at every chance"},
    {Rule::kRestore, NumbersCase, "restored behind every poll"},
    {Rule::kRescale, CountsCase, "at parallelism 3"},
    {Rule::kFrozenIsIndependent, TotalsCase, "written after the instance has gone on"},
    {Rule::kCheckpointComplete, TotalsCase, "completed twice"},
    {Rule::kCheckpointComplete, ShelfCase, "extra"},
    {Rule::kEndAnywhere, TotalsCase, "ends behind"},
    {Rule::kNothingAfterEnd, TotalsCase, "1 rows are emitted after the end"},
    {Rule::kEmitsWithinCalls, TotalsCase, "while no call that has an output runs"},
    {Rule::kDeclaredPorts, TotalsCase, "on port 7"},
    {Rule::kProgress, TotalsCase, "is not done after", 0},
    {Rule::kProgress, TotalsCase, "nobody calls wake", 1},
    {Rule::kProgress, NumbersCase, "say kMore and have nothing"},
    {Rule::kNeverWaits, TotalsCase, "Process() does not return before the I/O pool"},
    {Rule::kWatermarkBehindRows, TotalsCase, "behind the output watermark"},
    {Rule::kWatermarkBehindRows, NumbersCase, "behind the watermark"},
    {Rule::kWatermarkNeverFalls, TotalsCase, " after "},
    {Rule::kWatermarkNeverFalls, NumbersCase, " after "},
    {Rule::kWatermarkNotAhead, TotalsCase, "for an input watermark of"},
    {Rule::kTimersInTime, TotalsCase, "is emitted at the watermark"},
    {Rule::kRejectOrEmit, TotalsCase, "emitted:"},
    {Rule::kRejectLeavesNothing, TotalsCase, "without the rows that are rejected"},
    {Rule::kOwnKeys, CountsCase, "state of a key of group"},
    {Rule::kOwnKeys, NumbersCase, "state of a key of group"},
    {Rule::kFreezeAtOnce, TotalsCase, "the fastest of all freezes took"},
    {Rule::kDescribedState, TotalsCase, "state of the format 'totals/1'"},
    {Rule::kDescribedState, CountsCase, "holds the keyed state 'count"},
    {Rule::kDescribedState, NumbersCase, "holds the keyed state 'position"},
};

TEST(ConformanceTest, StagesWithoutAFaultConform) {
  for (auto* make : {TotalsCase, CountsCase, NumbersCase, ShelfCase}) {
    const ConformanceReport report = CheckConformance(make({}));
    EXPECT_TRUE(report.ok()) << report.ToText();
    EXPECT_GE(report.runs, 8) << report.ToText();
    EXPECT_GE(report.restores, 12) << report.ToText();
    EXPECT_GE(report.rows, 7u) << report.ToText();
  }
}

TEST(ConformanceTest, EachRuleHasAFaultThatItFinds) {
  std::set<Rule> planted;
  for (const Planted& plant : kPlanted) {
    planted.insert(plant.rule);
    const ConformanceReport report = CheckConformance(plant.make({plant.rule, plant.way}));
    EXPECT_TRUE(report.Broke(plant.rule)) << NameOf(plant.rule) << ":\n" << report.ToText();
    const std::string breaks = fmt::format("breaks {} (", NameOf(plant.rule));
    EXPECT_THAT(report.ToText(), HasSubstr(breaks));
    EXPECT_THAT(report.ToText(), HasSubstr(plant.says)) << NameOf(plant.rule);
  }
  for (const RuleInfo& info : ConformanceRules()) {
    EXPECT_EQ(planted.count(info.rule), 1u) << info.name << " has no fault that it finds";
  }
}

TEST(ConformanceTest, TheTableOfTheDocumentIsThatOfTheCode) {
  std::ifstream in(WEIR_SOURCE_DIR "/docs/testing.md");
  ASSERT_TRUE(in) << "docs/testing.md";
  std::vector<std::string> rows;
  bool in_table = false;
  for (std::string line; std::getline(in, line);) {
    if (line == "| rule | says |") in_table = true;
    if (in_table && line.empty()) break;
    if (in_table && line.starts_with("| `")) rows.push_back(line);
  }
  std::vector<std::string> expected;
  for (const RuleInfo& info : ConformanceRules()) {
    expected.push_back(fmt::format("| `{}` | {} |", info.name, info.text));
  }
  EXPECT_EQ(rows, expected);
}

}  // namespace
}  // namespace weir::testing
