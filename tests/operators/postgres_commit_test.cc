// The PostgreSQL sink commits each piece once: whoever repeats it, whatever breaks in between.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <thread>

#include "operators/sinks/postgres_ledger.h"
#include "testing/gtest.h"
#include "tests/operators/postgres_harness.h"

namespace weir {
namespace {

using testing::CuttingProxy;
using ::testing::HasSubstr;
using testing::IsOk;
using testing::Numbered;
using testing::PostgresInstance;
using testing::PostgresServer;

class PostgresCommit : public ::testing::Test {
 protected:
  PostgresCommit() { Reset(); }

  void Reset() {
    server_.Sql(
        "DROP TABLE IF EXISTS events; DROP SCHEMA IF EXISTS weir CASCADE;"
        "CREATE TABLE events (id text, payload text)");
  }
  int Count() { return std::stoi(server_.One("SELECT count(*) FROM events")); }
  int Distinct() { return std::stoi(server_.One("SELECT count(DISTINCT id) FROM events")); }
  int StagingTables() {
    return std::stoi(server_.One(
        "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND starts_with(relname, 'stage_')"));
  }
  // Rows [0, 10), sealed by checkpoint 1 and not committed.
  std::string SealedHandle() {
    PostgresInstance sink;
    EXPECT_TRUE(IsOk(sink.Recover()));
    StatusOr<std::vector<std::string>> handles = sink.Seal(Numbered(0, 10), 1);
    EXPECT_TRUE(IsOk(handles));
    EXPECT_EQ(handles->size(), 1u);
    return handles->at(0);
  }

  PostgresServer& server_ = PostgresServer::Get();
};

TEST_F(PostgresCommit, RowsAreInTheTableAfterItAndNotBefore) {
  PostgresInstance sink;
  ASSERT_TRUE(IsOk(sink.Recover()));
  StatusOr<std::vector<std::string>> handles = sink.Seal(Numbered(0, 10), 1);
  ASSERT_TRUE(IsOk(handles));
  EXPECT_EQ(Count(), 0);
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  EXPECT_EQ(Count(), 10);
  EXPECT_EQ(StagingTables(), 0);
}

TEST_F(PostgresCommit, RepeatingItChangesNothingWhoeverDoes) {
  const std::string handle = SealedHandle();
  PostgresInstance again({.attempt = 2});
  ASSERT_TRUE(IsOk(again->Commit(handle)));
  ASSERT_TRUE(IsOk(again->Commit(handle)));
  PostgresInstance rescaled({.attempt = 3, .subtask = 5});
  ASSERT_TRUE(IsOk(rescaled->Commit(handle)));
  PostgresInstance other_job({.job_id = "resubmitted", .stage = "other"});
  ASSERT_TRUE(IsOk(other_job->Commit(handle)));
  EXPECT_EQ(Count(), 10);
  EXPECT_EQ(server_.One("SELECT rows FROM weir.ledger"), "10");
}

TEST_F(PostgresCommit, ManyAtOnceCommitItOnce) {
  for (int round = 0; round < 5; ++round) {
    Reset();
    const std::string handle = SealedHandle();
    std::vector<std::thread> threads;
    for (int i = 0; i < 6; ++i) {
      threads.emplace_back([&, i] {
        PostgresInstance sink({.attempt = 2, .subtask = i});
        EXPECT_TRUE(IsOk(sink->Commit(handle)));
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(Count(), 10);
    EXPECT_EQ(StagingTables(), 0);
  }
}

TEST_F(PostgresCommit, OneThatWasClearedFromTheLedgerIsStillDone) {
  const std::string handle = SealedHandle();
  PostgresInstance sink({.attempt = 2});
  ASSERT_TRUE(IsOk(sink->Commit(handle)));
  ASSERT_TRUE(IsOk(sink.Recover(1)));
  StatusOr<std::vector<std::string>> handles = sink.Seal(Numbered(10, 20), 4);
  ASSERT_TRUE(IsOk(handles));
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  ASSERT_TRUE(IsOk(sink->Committed(4, *handles)));
  EXPECT_EQ(server_.Sql("SELECT checkpoint FROM weir.ledger"), std::vector<std::string>{"4"});
  ASSERT_TRUE(IsOk(sink->Commit(handle)));
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  EXPECT_EQ(Count(), 20);
  auto last = LastCommittedCheckpoint({.connection = server_.connection()}, "job-1", "sink");
  ASSERT_TRUE(IsOk(last));
  EXPECT_EQ(*last, 4u);
}

TEST_F(PostgresCommit, APieceThatIsNowhereIsAnErrorAndNoSuccess) {
  const std::string handle = SealedHandle();
  PostgresInstance sink({.attempt = 2});
  ASSERT_TRUE(IsOk(sink.Recover()));  // its checkpoint did not complete
  EXPECT_EQ(StagingTables(), 0);
  EXPECT_EQ(sink->Commit(handle).code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(server_.One("SELECT count(*) FROM weir.ledger"), "0");
}

TEST_F(PostgresCommit, HandlesThatAreDamagedAreRefused) {
  const std::string handle = SealedHandle();
  PostgresInstance sink({.attempt = 2});
  EXPECT_FALSE(sink->Commit("").ok());
  EXPECT_FALSE(sink->Commit("file-sink/2").ok());
  for (size_t n = 0; n < handle.size(); ++n) {
    EXPECT_FALSE(sink->Commit(std::string_view(handle).substr(0, n)).ok()) << n;
  }
  EXPECT_FALSE(sink->Commit(handle + "x").ok());
}

TEST_F(PostgresCommit, WhatOtherAttemptsLeftPendingGoesAndNothingElse) {
  PostgresInstance old;
  ASSERT_TRUE(IsOk(old.Recover()));
  ASSERT_TRUE(IsOk(old.Seal(Numbered(0, 10), 1)));
  ASSERT_TRUE(IsOk(old.Write(Numbered(10, 20))));
  ASSERT_TRUE(IsOk(old.Drain()));
  PostgresInstance other_stage({.stage = "other"});
  StatusOr<std::vector<std::string>> others = other_stage.Seal(Numbered(0, 3), 1);
  ASSERT_TRUE(IsOk(others));
  EXPECT_EQ(StagingTables(), 3);

  PostgresInstance next({.attempt = 2});
  ASSERT_TRUE(IsOk(next.Recover()));
  EXPECT_EQ(StagingTables(), 1);
  ASSERT_TRUE(IsOk(other_stage->CommitAll(*others)));
  EXPECT_EQ(Count(), 3);
  // The old attempt has lost its session, and does not stage on.
  EXPECT_FALSE(old.Seal(Numbered(20, 30), 2).ok());
  EXPECT_EQ(StagingTables(), 0);
}

TEST_F(PostgresCommit, ATableThatRefusesTheRowsStopsTheJobAndLosesNothing) {
  server_.Sql("CREATE UNIQUE INDEX once ON events (id); INSERT INTO events VALUES ('3', 'first')");
  const std::string handle = SealedHandle();
  PostgresInstance sink({.attempt = 2});
  const Status refused = sink->Commit(handle);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("The rows are safe"));
  EXPECT_EQ(Count(), 1);
  PostgresInstance skips({.attempt = 3}, {}, RealEnvironment(), {.skip_conflicts = true});
  ASSERT_TRUE(IsOk(skips->Commit(handle)));
  EXPECT_EQ(Count(), 10);
  EXPECT_EQ(server_.One("SELECT payload FROM events WHERE id = '3'"), "first");
}

// A full disk or memory, a deadlock, a statement that took too long, a lock: as the server says it.
TEST_F(PostgresCommit, AServerThatCannotNowIsTriedAgain) {
  for (const std::string state : {"53100", "53200", "53300", "40P01", "40001", "57014", "55P03"}) {
    Reset();
    const std::string handle = SealedHandle();
    server_.Sql(fmt::format(
        "CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
        "EXCEPTION 'not now' USING ERRCODE = '{}'; END $$;"
        "CREATE TRIGGER fails BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.id = '7') EXECUTE "
        "FUNCTION fail()",
        state));
    PostgresInstance sink({.attempt = 2});
    const Status failed = sink->Commit(handle);
    EXPECT_TRUE(IsRetryable(failed)) << state << ": " << failed;
    EXPECT_EQ(Count(), 0);
    server_.Sql("DROP TRIGGER fails ON events");
    ASSERT_TRUE(IsOk(sink->Commit(handle))) << state;
    EXPECT_EQ(Count(), 10);
  }
}

TEST_F(PostgresCommit, RowsAreTakenBackByNobody) {
  PostgresInstance sink;
  EXPECT_EQ((*sink).Recover({.job_id = "job-1", .restored = 1, .revoke = true}).code(),
            absl::StatusCode::kUnimplemented);
}

TEST_F(PostgresCommit, WhatIsSealedSurvivesACrashOfTheServer) {
  PostgresInstance sink;
  ASSERT_TRUE(IsOk(sink.Recover()));
  StatusOr<std::vector<std::string>> handles = sink.Seal(Numbered(0, 1000), 1);
  ASSERT_TRUE(IsOk(handles));
  server_.Kill();
  EXPECT_TRUE(absl::IsUnavailable(sink->CommitAll(*handles)));
  server_.Start();
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  server_.Kill();
  server_.Start();
  ASSERT_TRUE(IsOk(sink->CommitAll(*handles)));
  EXPECT_EQ(Count(), 1000);
}

TEST_F(PostgresCommit, WhatIsStagedInACrashOfTheServerIsNotSealed) {
  PostgresInstance sink;
  ASSERT_TRUE(IsOk(sink.Recover()));
  ASSERT_TRUE(IsOk(sink.Write(Numbered(0, 1000))));
  ASSERT_TRUE(IsOk(sink.Drain()));
  server_.Kill();
  server_.Start();
  EXPECT_TRUE(absl::IsUnavailable(sink.Checkpoint(1).status()));
}

constexpr int kMessagesToOpen = 3;

// A connection that breaks at the first, second, ... message, until none is left to break at.
class CutAtEveryMessage : public PostgresCommit,
                          public ::testing::WithParamInterface<CuttingProxy::Cut> {};

TEST_P(CutAtEveryMessage, OfACommit) {
  for (const bool refuses_then : {false, true}) {
    int cuts = 0;
    for (bool cut = true; cut; cuts += cut) {
      Reset();
      const std::string handle = SealedHandle();
      CuttingProxy proxy(server_.port(), cuts + 1, GetParam(), refuses_then);
      {
        PostgresInstance sink({.attempt = 2}, server_.ConnectionBy(proxy.port()));
        const Status committed = sink->Commit(handle);
        cut = proxy.has_cut();
        // Once there is a session, a commit that breaks is tried once more.
        EXPECT_EQ(committed.ok(), !cut || (!refuses_then && cuts >= kMessagesToOpen)) << committed;
        EXPECT_TRUE(committed.ok() || IsRetryable(committed)) << committed;
      }
      PostgresInstance next({.attempt = 3});
      ASSERT_TRUE(IsOk(next->Commit(handle)));
      EXPECT_EQ(Count(), 10) << "cut at message " << cuts + 1;
      EXPECT_EQ(StagingTables(), 0);
    }
    EXPECT_GE(cuts, 6);
  }
}

// Two checkpoints, as a runtime takes them: a checkpoint counts from when its rows are sealed.
TEST_P(CutAtEveryMessage, OfAWholeJob) {
  const auto run = [&](PostgresInstance& sink, std::vector<std::string>& handles,
                       CheckpointId& restored) -> Status {
    WEIR_RETURN_IF_ERROR(sink->CommitAll(handles));
    WEIR_RETURN_IF_ERROR(sink.Recover(restored));
    for (CheckpointId next = restored + 1; next <= 2; ++next) {
      const int first = static_cast<int>(next - 1) * 10;
      // A row that the server refuses, so that rows are sent one by one as well.
      std::vector<testing::PostgresEvent> events = Numbered(first, first + 10);
      events.push_back({"bad", std::string(60, 'x')});
      WEIR_ASSIGN_OR_RETURN(handles, sink.Seal(events, next));
      restored = next;
      WEIR_RETURN_IF_ERROR(sink->CommitAll(handles));
      WEIR_RETURN_IF_ERROR(sink->Committed(next, handles));
    }
    return absl::OkStatus();
  };
  int cuts = 0;
  for (bool cut = true; cut; cuts += cut) {
    Reset();
    server_.Sql("ALTER TABLE events ALTER COLUMN payload TYPE varchar(50)");
    std::vector<std::string> handles;
    CheckpointId restored = 0;
    CuttingProxy proxy(server_.port(), cuts + 1, GetParam(), /*refuses_then=*/false);
    {
      PostgresInstance sink({.attempt = 1}, server_.ConnectionBy(proxy.port()));
      const Status ran = run(sink, handles, restored);
      cut = proxy.has_cut();
      EXPECT_TRUE(ran.ok() || (cut && IsRetryable(ran))) << ran;
    }
    PostgresInstance next({.attempt = 2});
    ASSERT_TRUE(IsOk(run(next, handles, restored)));
    EXPECT_EQ(Count(), 20) << "cut at message " << cuts + 1;
    EXPECT_EQ(Distinct(), 20);
    EXPECT_EQ(StagingTables(), 0);
  }
  EXPECT_GE(cuts, 40);
}

INSTANTIATE_TEST_SUITE_P(, CutAtEveryMessage,
                         ::testing::Values(CuttingProxy::Cut::kBefore,
                                           CuttingProxy::Cut::kBeforeReply),
                         [](const auto& info) {
                           return info.param == CuttingProxy::Cut::kBefore ? "BeforeIt"
                                                                           : "BeforeItsReply";
                         });

}  // namespace
}  // namespace weir
