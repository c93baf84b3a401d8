// Jobs whose records race: what is proof there, and what is not.
#include "shadow/races.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <string>

#include "shadow/tapped_record.h"
#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

// Records of which some have a duplicate that differs: each version keeps one of both by chance, in
// one that is routed by it to another output. Beside them, a field that is random in every record.
struct RacyRun {
  uint64_t records = 20'000;
  double conflicts = 0.01;  // of the records: have such a duplicate
  double routed = 0.004;    // of these: the duplicate goes elsewhere
  double rare = 0.01;       // of these: it also differs in a field that others do not differ in
  int dropped = 0;          // records that the candidate loses
  int changed = 0;          // of other records one field
};

struct Run {
  Verdict verdict;
  bool unseen = false;  // what the candidate shows of a race, and the second baseline does not
};

Run Simulate(const RacyRun& run, std::mt19937_64& random) {
  const auto rules = RulesOf("all: {key: id}");
  RecordComparer comparer(rules->For("main"));
  std::uniform_real_distribution<double> uniform(0, 1);
  std::map<std::string, OutputStatistics> outputs;
  for (const char* name : {"main", "side"}) outputs[name].output = name;
  OutputStatistics& main = outputs["main"];
  std::vector<int> lost(run.records);
  std::fill_n(lost.begin(), run.dropped, 1);
  std::fill_n(lost.begin() + run.dropped, run.changed, 2);
  std::shuffle(lost.begin(), lost.end(), random);
  for (uint64_t i = 0; i < run.records; ++i) {
    FieldStatistics& uuid = main.Field("uuid");
    uuid.differs.Add(i, true, true);
    ++uuid.compared;
    const bool above = random() % 2 == 0;
    uuid.order.Add(i, above, !above);
    const bool conflict = uniform(random) < run.conflicts;
    if (!conflict && lost[i] == 0) {
      for (uint64_t* count : {&main.baseline_records, &main.again_records, &main.candidate_records,
                              &main.candidate.matched, &main.again.matched}) {
        ++*count;
      }
      continue;
    }
    const bool routed = conflict && uniform(random) < run.routed;
    const bool rare = conflict && uniform(random) < run.rare;
    const std::string first = fmt::format(R"({{"id":{},"a":1,"b":"x","c":7,"d":0}})", i);
    const std::string second =
        fmt::format(R"({{"id":{},"a":2,"b":"y","c":{},"d":0}})", i, rare ? "null" : "7");
    const std::string changed = fmt::format(R"({{"id":{},"a":1,"b":"x","c":7,"d":1}})", i);
    std::map<std::string, KeyedRecords> at;
    for (int version = 0; version < kVersions; ++version) {
      const bool other = conflict && random() % 2 == 0;
      const int what = version == 2 ? lost[i] : 0;
      if (what == 1) {
        at["main"];
        continue;
      }
      KeyedRecords& records = at[other && routed ? "side" : "main"];
      (version == 0   ? records.baseline
       : version == 1 ? records.again
                      : records.candidate)
          .push_back(what == 2 ? changed
                     : other   ? second
                               : first);
    }
    const std::string key = fmt::format("[{}]", i);
    for (auto& [name, records] : at) {
      records.key = key;
      records.block = i;
      comparer.Compare(records, outputs[name]);
    }
  }
  ShadowResult result;
  Run done;
  for (const auto& [name, output] : outputs) {
    for (const PairedEvidence* evidence : {&output.missing, &output.extra}) {
      done.unseen |= evidence->counts.candidate() > 0 && evidence->counts.again() == 0;
    }
    result.Add(Travelled(output));
  }
  done.verdict = Judge(result, *rules);
  return done;
}

struct Outcomes {
  int pass = 0, inconclusive = 0, fail = 0, unseen = 0;
};

Outcomes SimulateMany(const RacyRun& run, uint64_t seed) {
  std::mt19937_64 random(seed);
  Outcomes outcomes;
  for (int i = 0; i < 200; ++i) {
    const Run done = Simulate(run, random);
    ++(done.verdict.outcome == Outcome::kPass   ? outcomes.pass
       : done.verdict.outcome == Outcome::kFail ? outcomes.fail
                                                : outcomes.inconclusive);
    outcomes.unseen += done.unseen;
  }
  printf("%.1f%% race, %d dropped, %d changed: %d PASS, %d INCONCLUSIVE, %d FAIL; unseen in %d\n",
         100 * run.conflicts, run.dropped, run.changed, outcomes.pass, outcomes.inconclusive,
         outcomes.fail, outcomes.unseen);
  return outcomes;
}

// The figures of docs/shadow.md.
TEST(RacesTest, WhatTheSecondBaselineDoesNotShowByChanceIsNoFail) {
  const Outcomes outcomes = SimulateMany({}, 1);
  EXPECT_LE(outcomes.fail, 2);
  EXPECT_LE(outcomes.inconclusive, 20);
  // In so many of them a record of the candidate was elsewhere, and none of the second baseline.
  EXPECT_GE(outcomes.unseen, 30);
}

TEST(RacesTest, ManyDroppedRecordsFailBesideRaces) {
  const Outcomes outcomes = SimulateMany({.dropped = 30}, 2);
  EXPECT_LE(outcomes.pass, 10);
  EXPECT_LE(outcomes.inconclusive, 20);
}

TEST(RacesTest, AHandfulOfDroppedRecordsIsNoProofBesideRaces) {
  const Outcomes outcomes = SimulateMany({.dropped = 4}, 3);
  EXPECT_LE(outcomes.fail, 2);
}

TEST(RacesTest, OneDroppedRecordFailsWithoutRacesHoweverRandomAFieldIs) {
  EXPECT_EQ(SimulateMany({.conflicts = 0, .dropped = 1}, 4).fail, 200);
}

TEST(RacesTest, OneRecordThatNoRaceHasTouchedFails) {
  const Outcomes outcomes = SimulateMany({.changed = 1}, 5);
  EXPECT_GE(outcomes.fail, 190);
}

std::string Line(int id, std::string_view rest) {
  return fmt::format("{{\"id\":{},{}}}", id, rest);
}

// A verdict on 3000 records with `noise` in each, and one that the candidate has not.
Verdict WithOneDropped(const std::function<std::string(int id)>& noise) {
  TestShadow shadow("all: {key: id}");
  for (int i = 0; i < 3000; ++i) {
    const std::string c = Line(i, noise(i));
    shadow.Add("out", Line(i, noise(i)).c_str(), Line(i, noise(i)).c_str(),
               i == 77 ? nullptr : c.c_str());
  }
  return shadow.Judge();
}

TEST(RacesTest, NoiseThatIsNoRaceSoftensNothing) {
  std::mt19937_64 random(1);
  const auto number = [&](uint64_t below) { return fmt::format("\"r\":{}", random() % below); };
  int64_t clock = kToday;
  EXPECT_EQ(WithOneDropped([](int) { return "\"v\":1"; }).outcome, Outcome::kFail);
  EXPECT_EQ(WithOneDropped([&](int) { return number(1'000'000); }).outcome, Outcome::kFail);
  EXPECT_EQ(WithOneDropped([&](int) { return number(2); }).outcome, Outcome::kFail);
  // In every record that has it, which are few.
  EXPECT_EQ(
      WithOneDropped([&](int id) { return id % 30 == 0 ? number(1'000'000) : "\"v\":1"; }).outcome,
      Outcome::kFail);
  // In whole seconds, so that most versions read the same.
  EXPECT_EQ(WithOneDropped([&](int) {
              clock += 50'000;
              return fmt::format("\"at\":\"{}\"", FormatTimestamp(clock).substr(0, 19) + "Z");
            }).outcome,
            Outcome::kFail);
}

TEST(RacesTest, NoiseInAPartOfTheRecordsSoftensAndSaysSo) {
  std::mt19937_64 random(1);
  const Verdict verdict = WithOneDropped(
      [&](int) { return random() % 100 == 0 ? "\"cached\":true" : "\"cached\":false"; });
  EXPECT_EQ(verdict.outcome, Outcome::kPass) << ::testing::PrintToString(verdict.reasons);
  EXPECT_THAT(verdict.notes, Contains(HasSubstr("missing records: 1 in the candidate")));
  EXPECT_THAT(verdict.notes, Contains(HasSubstr("out: cached in ")));
}

TEST(RacesTest, AFieldThatOnlyDiffersWhereRecordsRaceIsTested) {
  // `c` differs in the candidate alone: in a record that races, or in another.
  for (const bool beside : {true, false}) {
    std::mt19937_64 random(1);
    TestShadow shadow("all: {key: id}");
    for (int i = 0; i < 3000; ++i) {
      const bool races = i % 100 == 0;
      const auto line = [&](bool changed) {
        return Line(i, fmt::format("\"a\":{},\"c\":{}", races ? random() % 2 : 0, changed));
      };
      const bool changed = i == (beside ? 700 : 701);
      const std::string a = races ? Line(i, "\"a\":2,\"c\":false") : line(false);
      shadow.Add("out", a, line(false), line(changed));
    }
    const Verdict verdict = shadow.Judge();
    EXPECT_EQ(verdict.outcome, beside ? Outcome::kPass : Outcome::kFail) << beside;
    EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "c").finding,
              beside ? Finding::kNoise : Finding::kChanged);
  }
}

TEST(RacesTest, AFieldThatIsNoiseInOneOutputIsNoneThatIsDeterministicInAnother) {
  // A clock and a number that is noise now and then; one of the outputs has few records.
  for (const bool clock : {true, false}) {
    std::mt19937_64 random(1);
    TestShadow shadow("all: {key: id}");
    const auto field = [&](int late) {
      return clock ? fmt::format("\"at\":\"{}\"", FormatTimestamp(kToday + Seconds(late)))
                   : fmt::format("\"at\":{}", late);
    };
    for (int i = 0; i < 3000; ++i) {
      const auto line = [&] { return Line(i, field(random() % 10 == 0 ? 1 : 0)); };
      shadow.Add("large", line(), line(), line());
      if (i % 500 == 0)
        shadow.Add("small", Line(i, field(0)), Line(i, field(0)), Line(i, field(1)));
    }
    const Verdict verdict = shadow.Judge();
    EXPECT_EQ(verdict.outcome, Outcome::kPass) << ::testing::PrintToString(verdict.reasons);
    const FieldVerdict small = FieldOf(OutputOf(verdict, "small"), "at");
    EXPECT_EQ(small.noise, 0u);
    EXPECT_EQ(small.differs, 6u);
    EXPECT_EQ(small.finding, clock ? Finding::kClock : Finding::kNoise);
  }
}

TEST(RacesTest, AClockThatTickedInTheCandidateAloneIsNoFail) {
  // 100 records in one place, and the same far off, or more of them, which no tick is.
  const auto judge = [](int64_t late, int every) {
    TestShadow shadow("all: {key: id}");
    for (int i = 0; i < 3000; ++i) {
      const auto line = [&](int64_t by) {
        return Line(i, fmt::format("\"at\":\"{}\"", FormatTimestamp(kToday + by)));
      };
      const bool changed = every == 0 ? i >= 1000 && i < 1100 : i % every == 0;
      shadow.Add("out", line(0), line(0), line(changed ? late : 0));
    }
    return shadow.Judge().outcome;
  };
  EXPECT_EQ(judge(Seconds(1), 0), Outcome::kInconclusive);
  EXPECT_EQ(judge(Hours(1), 0), Outcome::kFail);
  EXPECT_EQ(judge(Seconds(1), 10), Outcome::kFail);
}

TEST(RacesTest, TheCandidateMakesNoRace) {
  TestShadow shadow("all: {key: id}");
  std::mt19937_64 random(1);
  for (int i = 0; i < 3000; ++i) {
    const std::string line = Line(i, "\"v\":1");
    const std::string c = Line(i, random() % 50 == 0 ? "\"v\":2" : "\"v\":1");
    shadow.Add("out", line.c_str(), line.c_str(), i == 77 ? nullptr : c.c_str());
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(OutputOf(verdict, "out").missing.finding, Finding::kChanged);
  EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "v").finding, Finding::kChanged);
}

}  // namespace
}  // namespace weir::shadow
