// Isolated plugins as an enemy would have them: each event does something to the process it runs
// in, and what comes out is compared with what should.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/operators/isolated_bed.h"

namespace weir::testing {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;

// The processes that this one has started, and those that they have.
std::vector<int> ChildrenOf(const std::string& process) {
  std::vector<int> children;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
    std::ifstream list(task.path() / "children");
    for (int pid; list >> pid;) children.push_back(pid);
  }
  return children;
}
std::vector<int> Hosts() {
  std::vector<int> hosts;
  for (int keeper : ChildrenOf("self")) {
    for (int host : ChildrenOf(std::to_string(keeper))) hosts.push_back(host);
  }
  return hosts;
}

TEST(IsolatedPluginTest, EventsPassAsInThisProcess) {
  IsolatedBed bed("unruly");
  bed.Run({{"keep"}, {"drop"}, {"emit", R"({"id":"x","type":"t"})"}, {"many"}, {"fields"}});
  PluginBed here("unruly");
  here.Run({{"keep"}, {"drop"}, {"emit", R"({"id":"x","type":"t"})"}, {"many"}, {"fields"}});
  EXPECT_EQ(bed.Payloads(), here.Payloads());
  EXPECT_EQ(bed.Ids(), here.Ids());
  EXPECT_THAT(bed.Errors(), IsEmpty());
  EXPECT_EQ(bed.bed.counters.dropped, 1);
}

TEST(IsolatedPluginTest, EventsFailAsInThisProcess) {
  const std::vector<Act> acts = {{"throw"},
                                 {"throw-int"},
                                 {"throw-nothing"},
                                 {"fail"},
                                 {"fail-at-length"},
                                 {"emit-then-throw"},
                                 {"emit", "rubbish"},
                                 {"emit", "{\"a\":\n1}"},
                                 {"swallow"},
                                 {"endless"},
                                 {"large"},
                                 {"too-large"},
                                 {"keep"}};
  IsolatedBed bed("unruly");
  bed.Run(acts);
  PluginBed here("unruly");
  here.Run(acts);
  EXPECT_EQ(bed.Errors(), here.Errors());
  EXPECT_EQ(bed.Ids(), here.Ids());
}

TEST(IsolatedPluginTest, BreakingTheRulesOfTheTableFailsTheEventAlone) {
  const std::vector<Act> acts = {
      {"null-output"},     {"null-payload"}, {"null-tenant"},           {"no-payload"},
      {"unknown-members"}, {"null-error"},   {"goes-on-after-failing"}, {"unknown-code"},
      {"failed-silently"}, {"throws-out"},   {"throws-int-out"},        {"keep"}};
  IsolatedBed bed("raw");
  bed.Run(acts);
  PluginBed here("raw");
  here.Run(acts);
  EXPECT_EQ(bed.Errors(), here.Errors());
  EXPECT_EQ(bed.Ids(), here.Ids());
}

TEST(IsolatedPluginTest, AnEventOfAnotherRowFailsAlone) {
  IsolatedBed bed("raw");
  bed.Run({{"keep"}, {"row-beyond"}, {"keep"}, {"row-back"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2", "4"));
  EXPECT_THAT(bed.Errors(),
              ElementsAre(HasSubstr("broke the rules"), HasSubstr("broke the rules")));
}

TEST(IsolatedPluginTest, ACrashIsTheFaultOfItsEventAlone) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"segv"}, {"keep"}, {"abort"}, {"abort"}, {"exit"}, {"quick-exit"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2", "7"));
  EXPECT_THAT(
      bed.Errors(),
      ElementsAre("plugin rogue 1.0: its process was ended by SIGSEGV (Segmentation fault), at row "
                  "1 of its batch",
                  "plugin rogue 1.0: its process was ended by SIGABRT (Aborted), at row 3 of its "
                  "batch",
                  "plugin rogue 1.0: its process was ended by SIGABRT (Aborted), at row 4 of its "
                  "batch",
                  "plugin rogue 1.0: its process exited with code 3, at row 5 of its batch",
                  "plugin rogue 1.0: its process exited with code 0, at row 6 of its batch"));
  EXPECT_EQ(bed.out.rejected[0].record, R"({"id":"a"})");
  EXPECT_EQ(bed.Count("crashes"), 10) << "each is tried again, alone";
}

TEST(IsolatedPluginTest, AStackThatOverflowsIsACrash) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"overflow"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("SIGSEGV")));
}

TEST(IsolatedPluginTest, WhoKillsItselfAgainAndAgainHasFailed) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"kill"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("SIGKILL")));
  EXPECT_EQ(bed.Count("crashes"), limits::kIsolatedKillsMax);
}

TEST(IsolatedPluginTest, AHangIsTheFaultOfItsEventAlone) {
  IsolatedBed bed("rogue", {}, Isolated(Milliseconds(200)));
  bed.Run({{"keep"}, {"hang"}, {"keep"}, {"sleep"}, {"stop"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2", "5"));
  EXPECT_THAT(bed.Errors(),
              ElementsAre("plugin rogue 1.0: it took longer than 200ms, at row 1 of its batch",
                          HasSubstr("at row 3"), HasSubstr("at row 4")));
  EXPECT_EQ(bed.Count("hangs"), 6);
}

TEST(IsolatedPluginTest, ALeakCostsNoEvent) {
  IsolatedBed bed("rogue", {{"leak", "4"}});
  std::vector<Act> acts(200, Act{"leak"});  // 800 MiB, and may allocate 64
  bed.Run(acts);
  bed.Run(acts);
  EXPECT_EQ(bed.Ids().size(), 400);
  EXPECT_THAT(bed.Errors(), IsEmpty());
  EXPECT_GE(bed.Count("memory-ends"), 10);
  EXPECT_EQ(bed.Count("crashes"), 0);
}

TEST(IsolatedPluginTest, AnEventThatNeedsTooMuchMemoryFailsAlone) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"hog"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2"));
  EXPECT_THAT(bed.Errors(), ElementsAre(AllOf(HasSubstr("bad_alloc"), HasSubstr("may allocate"))));
}

TEST(IsolatedPluginTest, WhoWritesOverSharedMemoryIsFound) {
  IsolatedBed bed("rogue");
  std::vector<Act> acts(200, Act{"keep"});
  acts[120].type = "scribble";
  bed.Run(acts);
  EXPECT_EQ(bed.Ids().size(), 199);
  EXPECT_THAT(bed.Errors(),
              ElementsAre("plugin rogue 1.0: it wrote over the memory that it shares with Weir, at "
                          "row 120 of its batch"));
}

TEST(IsolatedPluginTest, BehindDamageMemoryThatOthersTookFailsNobody) {
  IsolatedBed bed("rogue", {{"leak", "24"}});  // may allocate 64: the third has room in a new host
  bed.Run({{"leak"}, {"leak"}, {"leak"}, {"scribble"}, {"keep"}});
  // Damage that hits nothing in use may go unnoticed; then its event is kept, too.
  EXPECT_THAT(bed.Ids(), IsSupersetOf({"0", "1", "2", "4"}));
  EXPECT_THAT(bed.Errors(), Each(HasSubstr("wrote over the memory")));
}

TEST(IsolatedPluginTest, ABatchStaysUntilItsLastEventIsClearedUp) {
  IsolatedBed bed("rogue", {{"leak", "58"}});  // in a host that may allocate 64, each is its last
  for (int i = 0; i < 20; ++i) bed.Run({{"scribble"}, {"leak"}});
  // What is scribbled over before anything was written there harms nobody.
  EXPECT_EQ(bed.Ids().size() + bed.Errors().size(), 40);
  EXPECT_THAT(bed.Ids(), Contains("1").Times(20));
}

TEST(IsolatedPluginTest, ACrashBehindDamageIsNotTakenForThatOfEachEvent) {
  IsolatedBed bed("rogue", {}, Isolated(Milliseconds(500)));
  std::vector<Act> acts(200, Act{"keep"});
  acts[120].type = "scribble-and-crash";
  acts[150].type = "scribble";
  acts[160].type = "segv";
  acts[170].type = "hang";
  bed.Run(acts);
  EXPECT_GE(bed.Ids().size(), 196);  // one more where the damage at 150 hit nothing in use
  EXPECT_THAT(bed.Errors(),
              IsSupersetOf({HasSubstr("row 120"), HasSubstr("row 160"), HasSubstr("row 170")}));
  EXPECT_LT(bed.Count("hosts-started"), 20);
}

TEST(IsolatedPluginTest, RequestsCannotBeWritten) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"write-requests"}, {"unprotect-requests"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "3"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("SIGSEGV"), HasSubstr("cannot write requests")));
}

TEST(IsolatedPluginTest, AThreadThatCrashesEndsTheProcess) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"thread-crash"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "2"));
  EXPECT_THAT(bed.Errors(), ElementsAre(HasSubstr("SIGABRT")));
}

TEST(IsolatedPluginTest, ClosingEverythingHarmsNobody) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"close-all"}, {"print"}, {"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0", "1", "2", "3"));
  EXPECT_EQ(bed.Count("crashes"), 0);
}

TEST(IsolatedPluginTest, WhatThePluginHasStartedEndsWithItsProcess) {
  const std::string stray = "stray-" + std::to_string(getpid());
  const auto strays = [&] {
    int count = 0;
    for (const auto& process : std::filesystem::directory_iterator("/proc")) {
      std::ifstream comm(process.path() / "comm");
      std::string name;
      count += std::getline(comm, name) && name == stray;
    }
    return count;
  };
  {
    IsolatedBed bed("rogue");
    bed.Run({{"fork", stray}, {"fork", stray}, {"keep"}});
    EXPECT_EQ(bed.Ids().size(), 3);
    const int64_t began = RealEnvironment().clock.MonotonicMicros();
    while (strays() < 2) {
      ASSERT_LT(RealEnvironment().clock.MonotonicMicros() - began, Seconds(30));
      std::this_thread::yield();
    }
    bed.Run({{"segv"}, {"keep"}});
    EXPECT_EQ(strays(), 0);
    bed.Run({{"fork", stray}});
  }
  EXPECT_EQ(strays(), 0);
}

TEST(IsolatedPluginTest, ManyFailuresInARowAreFollowedByPauses) {
  IsolatedBed bed("rogue");
  bed.Run(std::vector<Act>(limits::kIsolatedFailuresInRowMax + 4, Act{"abort"}));
  EXPECT_EQ(bed.Errors().size(), limits::kIsolatedFailuresInRowMax + 4);
  EXPECT_EQ(bed.Count("backoff-micros"), 2000 + 4000 + 8000 + 16000);
}

TEST(IsolatedPluginTest, ClosingDoesNotWaitForAHang) {
  const int64_t began = RealEnvironment().clock.MonotonicMicros();
  {
    IsolatedBed bed("rogue", {}, Isolated(Hours(1)));
    bed.Push({{"hang"}});
  }
  EXPECT_THAT(Hosts(), IsEmpty());
  EXPECT_LT(RealEnvironment().clock.MonotonicMicros() - began, Seconds(30));
}

TEST(IsolatedPluginTest, TheKeeperMayDieToo) {
  IsolatedBed bed("rogue");
  bed.Run({{"keep"}, {"kill-parent"}, {"keep"}});
  bed.Run({{"keep"}});
  // The event goes on after its keeper has died, so it may be answered just before its own end.
  EXPECT_EQ(bed.Ids().size() + bed.Errors().size(), 4);
  EXPECT_GE(bed.Ids().size(), 3);
}

TEST(IsolatedPluginTest, AnEventIsNotBlamedForWhatAnotherOneDidToTheProcess) {
  // Row by row the process is killed from outside, while it is idle and while it works.
  IsolatedBed bed("rogue");
  for (int i = 0; i < 5; ++i) {
    bed.Run({{"keep"}, {"keep"}});
    ASSERT_THAT(Hosts(), SizeIs(1));
    kill(Hosts()[0], SIGKILL);
  }
  EXPECT_EQ(bed.Ids().size(), 10);
  EXPECT_THAT(bed.Errors(), IsEmpty());
}

TEST(IsolatedPluginTest, ManyBatchesAreInFlightAndComeOutInOrder) {
  IsolatedBed bed("rogue");
  for (int i = 0; i < 200; ++i) {
    std::vector<Act> acts(50, Act{"keep"});
    if (i % 20 == 7) acts[i % 50].type = "segv";
    bed.Push(acts);
  }
  bed.Drain();
  EXPECT_EQ(bed.Ids().size(), 200 * 50 - 10);
  EXPECT_EQ(bed.Errors().size(), 10);
}

TEST(IsolatedPluginTest, HugeEventsPass) {
  IsolatedBed bed("rogue");
  const std::string line = R"({"id":")" + std::string(20 << 20, 'x') + "\"}";
  bed.Run({{"keep", "", line}, {"emit", R"({"id":"small"})", line}, {"keep", "", line}});
  ASSERT_EQ(bed.Payloads().size(), 4);
  EXPECT_EQ(bed.Payloads()[0], line);
  EXPECT_EQ(bed.Payloads()[3], line);
}

TEST(IsolatedPluginTest, EmptyBatchesPass) {
  IsolatedBed bed("rogue");
  bed.Run({});
  bed.Run({{"keep"}});
  EXPECT_THAT(bed.Ids(), ElementsAre("0"));
}

TEST(IsolatedPluginTest, AnswersLeaveAlthoughNothingElseComes) {
  IsolatedBed bed("rogue");
  bed.Push({{"keep"}});
  while (bed.Ids().empty() && !HasFatalFailure()) bed.AwaitNotified();
  EXPECT_THAT(bed.Ids(), ElementsAre("0"));
}

TEST(IsolatedPluginTest, TheWatermarkWaitsForWhatCameBeforeIt) {
  IsolatedBed bed("rogue");
  bed.Finish(bed.op->OnWatermark(500, bed.out));
  EXPECT_EQ(bed.op->OutputWatermark(500), 500);
  bed.Push({{"keep"}});
  bed.Finish(bed.op->OnWatermark(2000, bed.out));
  const Timestamp held = bed.op->OutputWatermark(2000);
  EXPECT_EQ(held, bed.out.emitted.empty() ? 500 : 2000);
  bed.Drain();
  EXPECT_EQ(bed.op->OutputWatermark(2000), 2000);
}

TEST(IsolatedPluginTest, WhatIsWrongWithAPluginIsToldAsInThisProcess) {
  for (const char* name : {"misnamed", "other_abi", "other_sizes", "no_entry", "null_table",
                           "nameless", "versionless"}) {
    EXPECT_EQ(LoadIsolated(name).status(), LoadPlugin(name).status()) << name;
  }
  EXPECT_THAT(LoadIsolated("fussy").status().message(), HasSubstr("setting 'text' is missing"));
  EXPECT_EQ(LoadIsolated("fussy", {{"even", "3"}, {"x", "1"}}).status(),
            (*LoadPlugin("fussy"))->Create({{"even", "3"}, {"x", "1"}}).status());
}

TEST(IsolatedPluginTest, APluginThatCannotBeSetUpIsAnErrorAndNoCrash) {
  EXPECT_THAT(LoadIsolated("rogue", {{"set-up", "crash"}}).status().message(),
              AllOf(HasSubstr("SIGABRT"), HasSubstr("while it was set up")));
  EXPECT_THAT(LoadIsolated("rogue", {{"set-up", "throw"}}).status().message(),
              HasSubstr("cannot be set up"));
}

}  // namespace
}  // namespace weir::testing
