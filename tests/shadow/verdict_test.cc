#include "shadow/verdict.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "tests/shadow/test_shadow.h"

namespace weir::shadow {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kKeyed = "all: {key: id}";

std::string Line(int id, std::string_view rest) {
  return fmt::format("{{\"id\":{},{}}}", id, rest);
}

// A record as the baseline and as the candidate write it, by what was changed.
struct Planted {
  std::string name;
  std::string baseline;
  std::string candidate;
  std::string path;  // of the field that is to be found
  std::string change;
};

TEST(VerdictTest, EveryPlantedChangeIsFoundInItsField) {
  const std::vector<Planted> table = {
      {"value", R"("v":1)", R"("v":2)", "v", "value"},
      {"rounded float", R"("v":0.30000000000000004)", R"("v":0.3)", "v", "value"},
      {"type", R"("v":1)", R"("v":"1")", "v", "type"},
      {"integer to float", R"("v":1)", R"("v":1.0)", "v", "type"},
      {"added", R"("a":1)", R"("a":1,"b":null)", "b", "added"},
      {"removed", R"("a":1,"b":{"c":1})", R"("a":1)", "b", "removed"},
      {"null", R"("a":{"b":0})", R"("a":{"b":null})", "a.b", "null"},
      {"null for missing", R"("a":1,"b":null)", R"("a":1)", "b", "removed"},
      {"time zone", R"("t":"2026-01-01T00:00:00Z")", R"("t":"2026-01-01T01:00:00Z")", "t", "value"},
      {"reordered list", R"("l":[1,2,3])", R"("l":[3,2,1])", "l", "order"},
      {"deep in a list", R"("l":[{"a":{"z":1}},{"a":{"z":2}}])",
       R"("l":[{"a":{"z":1}},{"a":{"z":3}}])", "l[*].a.z", "value"},
  };
  for (const Planted& planted : table) {
    TestShadow shadow(kKeyed);
    for (int i = 0; i < 2000; ++i) {
      const bool changed = i % 400 == 7;
      shadow.Add("out", Line(i, planted.baseline), Line(i, planted.baseline),
                 Line(i, changed ? planted.candidate : planted.baseline));
    }
    const Verdict verdict = shadow.Judge();
    const OutputVerdict& output = OutputOf(verdict, "out");
    EXPECT_EQ(verdict.outcome, Outcome::kFail) << planted.name;
    ASSERT_EQ(output.fields.size(), 1u) << planted.name;
    EXPECT_EQ(output.fields[0].path, planted.path) << planted.name;
    EXPECT_EQ(output.fields[0].differs, 5u) << planted.name;
    EXPECT_EQ(output.fields[0].noise, 0u) << planted.name;
    EXPECT_EQ(output.fields[0].change, planted.change) << planted.name;
    EXPECT_EQ(output.statistics.candidate.mismatched, 5u) << planted.name;
  }
}

TEST(VerdictTest, OneOfAHundredThousandFails) {
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 100'000; ++i) {
    shadow.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"),
               Line(i, i == 4711 ? "\"v\":2" : "\"v\":1"));
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kFail);
  EXPECT_EQ(verdict.compared, 100'000u);
  EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "v").differs, 1u);
  EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "v").samples[0].key, "[4711]");
}

TEST(VerdictTest, ASwappedRouteIsMissingHereAndExtraThere) {
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 2000; ++i) {
    const std::string line = Line(i, "\"v\":1");
    shadow.Add("a", line.c_str(), line.c_str(), i == 5 ? nullptr : line.c_str());
    if (i == 5) shadow.Add("b", nullptr, nullptr, line.c_str());
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kFail);
  EXPECT_EQ(OutputOf(verdict, "a").statistics.candidate.missing, 1u);
  EXPECT_EQ(OutputOf(verdict, "a").missing.finding, Finding::kChanged);
  EXPECT_EQ(OutputOf(verdict, "b").statistics.candidate.extra, 1u);
}

TEST(VerdictTest, WhatIsHarmlessPasses) {
  std::mt19937_64 random(1);
  TestShadow shadow("all: {key: id, ignore: [host], fields: {p: {absolute: 0.01}}}");
  for (int i = 0; i < 3000; ++i) {
    auto line = [&](std::string_view rest) {
      return Line(i, fmt::format("\"uuid\":\"{:016x}{:016x}\",\"r\":{},{}", random(), random(),
                                 random() % 10 == 0 ? random() % 100 : 0, rest));
    };
    shadow.Add("out", line(R"("p":1.0,"a":1,"host":"x")"), line(R"("p":1.0,"a":1,"host":"y")"),
               line(R"("a":1,"p":1.005,"host":"z")"));
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kPass) << ::testing::PrintToString(verdict.reasons);
  EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "uuid").finding, Finding::kNoise);
  EXPECT_EQ(FieldOf(OutputOf(verdict, "out"), "uuid").noise, 3000u);
  EXPECT_THAT(verdict.notes, Contains(HasSubstr("uuid differs in nearly every record")));
}

TEST(VerdictTest, ANoisyFieldThatLosesItsShapeFails) {
  std::mt19937_64 random(1);
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 2000; ++i) {
    auto line = [&] { return Line(i, fmt::format("\"uuid\":\"{:016x}\"", random())); };
    shadow.Add("out", line(), line(), i == 99 ? Line(i, "\"uuid\":null") : line());
  }
  EXPECT_EQ(shadow.Judge().outcome, Outcome::kFail);
}

TEST(VerdictTest, ANoisyFieldWhoseValuesMoveIsNoPass) {
  std::mt19937_64 random(1);
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 2000; ++i) {
    auto line = [&] { return Line(i, fmt::format("\"r\":{}", random() % 1'000'000)); };
    shadow.Add("out", line(), line(), Line(i, "\"r\":1"));
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kInconclusive);
  EXPECT_THAT(verdict.reasons, ElementsAre(HasSubstr("stand below those of the second baseline")));
}

// Times of a clock that the candidate reads a little later, and of one that is hours off.
Outcome JudgeClock(int64_t candidate_late_us) {
  std::mt19937_64 random(1);
  TestShadow shadow(kKeyed);
  const int64_t start = kToday;
  for (int i = 0; i < 3000; ++i) {
    auto line = [&](int64_t late) {
      return Line(i, fmt::format("\"at\":\"{}\"", FormatTimestamp(start + i * 1000 + late)));
    };
    shadow.Add("out", line(0), line(static_cast<int64_t>(random() % 5'000)),
               line(candidate_late_us + static_cast<int64_t>(random() % 5'000)));
  }
  return shadow.Judge().outcome;
}

TEST(VerdictTest, AClockThatIsReadLaterPassesAndOneThatIsHoursOffFails) {
  EXPECT_EQ(JudgeClock(0), Outcome::kPass);
  EXPECT_EQ(JudgeClock(20'000), Outcome::kPass);
  EXPECT_EQ(JudgeClock(Hours(1)), Outcome::kFail);
}

TEST(VerdictTest, KnownDifferencesPassUntilTheyExpire) {
  const std::string yaml =
      "{{all: {{key: id}}, known: [{{output: out, field: v, reason: tax, until: {}}}]}}";
  for (const bool expired : {false, true}) {
    TestShadow shadow(fmt::format(fmt::runtime(yaml), expired ? "2026-01-01" : "2027-01-01"));
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":2"));
    }
    const Verdict verdict = shadow.Judge();
    EXPECT_EQ(verdict.outcome, expired ? Outcome::kFail : Outcome::kPass);
    const FieldVerdict field = FieldOf(OutputOf(verdict, "out"), "v");
    EXPECT_EQ(field.finding, expired ? Finding::kChanged : Finding::kKnown);
    EXPECT_EQ(field.differs, 2000u);
    EXPECT_EQ(
        ::testing::PrintToString(verdict.notes).find("ended on 2026-01-01") != std::string::npos,
        expired);
  }
}

TEST(VerdictTest, ThresholdsAllowAPartOfTheRecords) {
  for (const auto& [yaml, outcome] : std::vector<std::pair<std::string, Outcome>>{
           {"all: {key: id, fields: {v: {fail: 1%}}}", Outcome::kPass},
           {"all: {key: id, fail: {field: 1%}}", Outcome::kPass},
           {"all: {key: id, fields: {v: {fail: 0.1%}}}", Outcome::kFail},
           {"all: {key: id, fail: {field: 1%, total: 0.2%}}", Outcome::kFail}}) {
    TestShadow shadow(yaml);
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"),
                 Line(i, i % 200 == 0 ? "\"v\":2" : "\"v\":1"));
    }
    EXPECT_EQ(shadow.Judge().outcome, outcome) << yaml;
  }
}

TEST(VerdictTest, WhatIsKnownDoesNotCountInTotal) {
  for (const std::string what : {"missing", "extra"}) {
    TestShadow shadow(
        fmt::format("{{all: {{key: id, fail: {{total: 1%}}}}, known: [{{what: {}, reason: x, "
                    "until: 2099-01-01}}]}}",
                    what));
    for (int i = 0; i < 2000; ++i) {
      const std::string line = Line(i, "\"v\":1");
      const char* sometimes = i % 20 == 0 ? nullptr : line.c_str();
      const bool missing = what == "missing";
      shadow.Add("out", missing ? line.c_str() : sometimes, missing ? line.c_str() : sometimes,
                 missing ? sometimes : line.c_str());
    }
    EXPECT_EQ(shadow.Judge().outcome, Outcome::kPass) << what;
  }
}

TEST(VerdictTest, AnOutputThatIsKnownToBeNewMayHaveRecords) {
  constexpr const char* kNew =
      "{all: {key: id}, known: [{output: new, what: output, reason: x, until: 2099-01-01}]}";
  for (const bool in_both : {false, true}) {
    TestShadow shadow(kNew);
    shadow.Declare({"new", in_both, true, ""});
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
      shadow.Add("new", nullptr, nullptr, Line(i, "\"v\":1").c_str());
    }
    const Verdict verdict = shadow.Judge();
    EXPECT_EQ(verdict.outcome, in_both ? Outcome::kFail : Outcome::kPass);
    EXPECT_EQ(OutputOf(verdict, "new").extra.differs, 2000u);
  }
}

TEST(VerdictTest, ABaselineThatDoesNotAgreeWithItselfIsNoPass) {
  for (const auto& [every, outcome] :
       std::vector<std::pair<int, Outcome>>{{3, Outcome::kInconclusive}, {50, Outcome::kPass}}) {
    TestShadow shadow(kKeyed);
    for (int i = 0; i < 3000; ++i) {
      // In each version other ones.
      std::array<std::string, 3> lines;
      for (int v = 0; v < 3; ++v) {
        lines[static_cast<size_t>(v)] =
            Line((i + v) % every == 0 ? 10'000 * (v + 1) + i : i, "\"v\":1");
      }
      shadow.Add("out", lines[0], lines[1], lines[2]);
    }
    EXPECT_EQ(shadow.Judge().outcome, outcome) << every;
  }
}

TEST(VerdictTest, AThresholdHidesNoChangeInAFieldThatIsNoiseInAllRecords) {
  std::mt19937_64 random(11);
  constexpr const char* kRules = "all: {key: id, fail: {field: 1%, total: 2%}}";
  for (const std::string what : {"nothing", "null", "other fields"}) {
    TestShadow shadow(kRules);
    for (int i = 0; i < 5000; ++i) {
      const auto line = [&](std::string_view luck, int other) {
        std::string rest = fmt::format(R"("luck":{})", luck);
        // Each of four fields in 0.9% of the records.
        for (int f = 0; f < 4; ++f) {
          rest += fmt::format(R"(,"f{}":{})", f, i % 111 == f * 20 ? other : 0);
        }
        return Line(i, rest);
      };
      const auto luck = [&] { return std::to_string(random()); };
      shadow.Add("out", line(luck(), 0), line(luck(), 0),
                 line(what == "null" ? "null" : luck(), what == "other fields" ? 1 : 0));
    }
    const Verdict verdict = shadow.Judge();
    EXPECT_EQ(verdict.outcome, what == "nothing" ? Outcome::kPass : Outcome::kFail) << what;
  }
}

TEST(VerdictTest, AThresholdHidesNoClockThatIsFarOff) {
  for (const int hours : {0, 1}) {
    TestShadow shadow("all: {key: id, fail: {field: 1%}}");
    for (int i = 0; i < 5000; ++i) {
      const auto line = [&](int64_t milliseconds) {
        return Line(i, fmt::format(R"("at":{})", 1'790'000'000'000 + 10 * i + milliseconds));
      };
      shadow.Add("out", line(0), line(1 + i % 7), line(2 + i % 9 + hours * 3'600'000));
    }
    EXPECT_EQ(shadow.Judge().outcome, hours == 0 ? Outcome::kPass : Outcome::kFail) << hours;
  }
}

TEST(VerdictTest, TooFewRecordsAreInconclusive) {
  TestShadow few(kKeyed);
  for (int i = 0; i < 500; ++i) {
    few.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
  }
  const Verdict verdict = few.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kInconclusive);
  EXPECT_THAT(verdict.reasons, ElementsAre(HasSubstr("500 records were compared")));
  EXPECT_EQ(TestShadow(kKeyed).Judge().outcome, Outcome::kInconclusive);
  TestShadow lowered("all: {key: id, minimum: 500}");
  for (int i = 0; i < 500; ++i) {
    lowered.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
  }
  EXPECT_EQ(lowered.Judge().outcome, Outcome::kPass);
}

TEST(VerdictTest, AnOutputThatOneSideLacksFails) {
  auto judge = [](std::string_view yaml) {
    TestShadow shadow(yaml);
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("out", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
    }
    shadow.Declare({"new", false, true, ""});
    shadow.Declare({"out", true, true, "'v' was an integer and is a number"});
    return shadow.Judge();
  };
  const Verdict verdict = judge(kKeyed);
  EXPECT_EQ(verdict.outcome, Outcome::kFail);
  EXPECT_THAT(verdict.reasons, ElementsAre("new: the baseline has no such output"));
  EXPECT_THAT(verdict.notes, Contains(HasSubstr("the schema of its rows has changed")));
  EXPECT_EQ(judge("{all: {key: id}, known: [{output: new, what: output, reason: x, until: "
                  "2030-01-01}]}")
                .outcome,
            Outcome::kPass);
}

TEST(VerdictTest, ARouteThatOnlyTheCandidateWritesMayBeKnown) {
  const auto judge = [](const std::string& known) {
    TestShadow shadow("{all: {key: id}, known: [{output: " + known +
                      ", what: output, reason: x, until: 2030-01-01}]}");
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("old", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
      if (i < 20) shadow.Add("new", nullptr, nullptr, Line(i, "\"v\":1").c_str());
    }
    return shadow.Judge().outcome;
  };
  EXPECT_EQ(judge("new"), Outcome::kPass);
  EXPECT_EQ(judge("other"), Outcome::kFail);
  EXPECT_EQ(judge("old"), Outcome::kFail);
}

TEST(VerdictTest, ASinkOfRoutesIsNoOutputOfItsOwn) {
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 2000; ++i) {
    shadow.Add("warehouse", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
  }
  DeclaredOutput files{"files", true, true, ""};
  files.routed = true;
  shadow.Declare(files);
  shadow.Declare({"dead-letters", true, true, ""});
  std::vector<std::string> names;
  for (const OutputVerdict& output : shadow.Judge().outputs) names.push_back(output.name);
  EXPECT_THAT(names, ElementsAre("dead-letters", "warehouse"));
}

TEST(VerdictTest, RecordsOfAnOutputThatThereIsNotAreMissed) {
  const auto judge = [](const char* rules) {
    TestShadow shadow(rules);
    for (int i = 0; i < 2000; ++i) {
      shadow.Add("alerts", Line(i, "\"v\":1"), Line(i, "\"v\":1"), Line(i, "\"v\":1"));
    }
    return shadow.Judge();
  };
  const Verdict wanted = judge("outputs: {alrts: {minimum: 100}}");
  EXPECT_EQ(wanted.outcome, Outcome::kInconclusive);
  EXPECT_THAT(wanted.reasons, ElementsAre(HasSubstr("at least 100 records")));
  const Verdict named = judge("{all: {minimum: 1000}, outputs: {alrts: {key: [id]}}}");
  EXPECT_EQ(named.outcome, Outcome::kPass);
  EXPECT_THAT(named.notes, Contains(HasSubstr("'alrts', which is none")));
}

TEST(VerdictTest, MissingRecordsThatAreNoiseDoNotFail) {
  std::mt19937_64 random(1);
  TestShadow shadow(kKeyed);
  for (int i = 0; i < 5000; ++i) {
    const std::string line = Line(i, "\"v\":1");
    auto maybe = [&] { return random() % 50 == 0 ? nullptr : line.c_str(); };
    shadow.Add("out", line.c_str(), maybe(), maybe());
  }
  const Verdict verdict = shadow.Judge();
  EXPECT_EQ(verdict.outcome, Outcome::kPass) << ::testing::PrintToString(verdict.reasons);
  EXPECT_GT(OutputOf(verdict, "out").missing.differs, 50u);
}

TEST(VerdictTest, NothingDependsOnHowTheRecordsWereSplit) {
  auto judge = [](uint64_t seed) {
    std::mt19937_64 random(1);
    TestShadow shadow(kKeyed, seed);
    for (int i = 0; i < 1500; ++i) {
      auto line = [&] { return Line(i, fmt::format("\"r\":{},\"v\":1", random() % 5)); };
      shadow.Add("out", line(), line(), i % 100 == 0 ? Line(i, "\"v\":2") : line());
    }
    return shadow.Judge();
  };
  const Verdict one = judge(1);
  const Verdict other = judge(2);
  EXPECT_TRUE(OutputOf(one, "out").statistics == OutputOf(other, "out").statistics);
  EXPECT_EQ(one.reasons, other.reasons);
}

TEST(VerdictTest, ExitCodesAreThoseOfTheCommand) {
  EXPECT_EQ(ExitCodeOf(Outcome::kPass), 0);
  EXPECT_EQ(ExitCodeOf(Outcome::kFail), 3);
  EXPECT_EQ(ExitCodeOf(Outcome::kInconclusive), 4);
}

}  // namespace
}  // namespace weir::shadow
