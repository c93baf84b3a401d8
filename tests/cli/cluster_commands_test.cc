// The commands that ask a cluster: what they send, print, and how they end.
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <cstdlib>

#include "cli/cluster.h"
#include "core/environment.h"
#include "core/json.h"
#include "testing/temp_dir.h"
#include "tests/cli/cluster_fixture.h"

namespace weir::cli {
namespace {

using ::testing::Contains;
using testing::FakeCluster;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string MemberOf(const std::string& json, std::string_view path) {
  JsonParser parser;
  const StatusOr<JsonValue> value = parser.ParseUnpadded(json);
  if (!value.ok()) return std::string(value.status().message());
  const auto member = value->FindPath(path);
  return member ? std::string(member->GetText().value_or("")) : "no " + std::string(path);
}

TEST_F(ClusterTest, ListAndWorkersAndCheckpoints) {
  const Ended list = Run([&] { return List(flags_); });
  EXPECT_EQ(list.code, kDone) << list.err;
  EXPECT_THAT(list.out, HasSubstr("JOB                          STATE    PARALLELISM"));
  EXPECT_THAT(list.out, HasSubstr("event_pipeline-0123456789ab  RUNNING            2"));
  const Ended workers = Run([&] { return Workers(flags_); });
  EXPECT_THAT(workers.out, HasSubstr("worker-1  127.0.0.1:4000"));
  const Ended checkpoints = Run([&] { return Checkpoints(job_); });
  EXPECT_THAT(checkpoints.out, HasSubstr("2023-11-14T22:13:20Z"));
  EXPECT_THAT(checkpoints.out, HasSubstr("/data/checkpoints/event_pipeline-0123456789ab/chk-7"));
}

TEST_F(ClusterTest, StatusAsTextAndAsJson) {
  const Ended text = Run([&] { return ShowStatus(job_); });
  EXPECT_EQ(text.code, kDone) << text.err;
  EXPECT_THAT(text.out, HasSubstr("state        RUNNING\n"));
  EXPECT_THAT(text.out, HasSubstr("OPERATOR"));
  EXPECT_THAT(text.out, HasSubstr("dedup"));
  job_.cluster.output = "json";
  const Ended json = Run([&] { return ShowStatus(job_); });
  EXPECT_EQ(MemberOf(json.out, "state"), "RUNNING");
  EXPECT_EQ(MemberOf(json.out, "restarts"), "0");
  EXPECT_EQ(json.out.find('\n'), json.out.size() - 1);
}

TEST_F(ClusterTest, AJobThatHasEndedHasNoRates) {
  const auto row = [&] {
    const Ended status = Run([&] { return ShowStatus(job_); });
    const size_t at = status.out.rfind("\ndedup");
    return status.out.substr(at == std::string::npos ? 0 : at + 1);
  };
  cluster_.Change(FakeCluster::kJob, [](rest::Job& job) {
    rest::Operator& op = *job.mutable_operators(0);
    op.set_live_records_in(12345);
    op.set_live_records_out(12345);
    op.set_idle(1);
  });
  EXPECT_THAT(row(), ::testing::ContainsRegex("12345 +12345 +0 +0 +0 +0% +100% +0%"));
  cluster_.Change(FakeCluster::kJob, [](rest::Job& job) {
    job.set_state("SUSPENDED");
    job.set_ended(true);
  });
  EXPECT_THAT(row(), ::testing::ContainsRegex("12345 +12345 +- +- +0 +- +- +- +- +- +0B"));
}

TEST_F(ClusterTest, WhatOthersWroteDoesNotDriveTheTerminal) {
  cluster_.Change(FakeCluster::kJob, [](rest::Job& job) {
    job.set_failure("first\nsecond \x1b]0;title\x07 \xc2\x9b");
    job.mutable_operators(0)->set_name("o\x1b[2Jp");
  });
  const Ended status = Run([&] { return ShowStatus(job_); });
  EXPECT_THAT(status.out, HasSubstr("first\\x0asecond \\x1b]0;title\\x07 \\x9b"));
  EXPECT_THAT(status.out, HasSubstr("o\\x1b[2Jp"));
  const Ended exceptions = Run([&] { return Exceptions(job_); });
  EXPECT_THAT(exceptions.out, HasSubstr("killed by signal 11\\x1b[2J in 'dedup'"));
  EXPECT_THAT(exceptions.out, Not(HasSubstr("\x1b")));
}

TEST_F(ClusterTest, AJobThatIsNotThere) {
  job_.job = "nothing-1";
  const Ended unknown = Run([&] { return ShowStatus(job_); });
  EXPECT_EQ(unknown.code, kConfiguration);
  EXPECT_EQ(unknown.out, "");
  EXPECT_THAT(unknown.err, HasSubstr("there is no job 'nothing-1'"));
  for (const char* job : {"", "..", "../workers", "a/b", "a?b", "A", "a b", "a\r\nX: y"}) {
    job_.job = job;
    const Ended wrong = Run([&] { return Cancel(job_); });
    EXPECT_EQ(wrong.code, kConfiguration) << job;
    EXPECT_THAT(wrong.err, HasSubstr("is no job's id")) << job;
  }
  EXPECT_THAT(cluster_.calls(), ::testing::ElementsAre("GetJob nothing-1"));
}

TEST_F(ClusterTest, NobodyThere) {
  const std::string address = flags_.coordinator;
  server_.reset();
  const Ended ended = Run([&] { return List(flags_); });
  EXPECT_EQ(ended.code, kUnreachable);
  EXPECT_THAT(ended.err, HasSubstr(address));
  EXPECT_THAT(ended.err, HasSubstr("weir coordinator"));
  flags_.coordinator = "not an address";
  EXPECT_EQ(Run([&] { return List(flags_); }).code, kUsage);
}

TEST_F(ClusterTest, ErrorsOfTheClusterEndTheCommandAsThoseOfLocalJobs) {
  const std::vector<std::pair<Status, int>> expected = {
      {absl::FailedPreconditionError("it has ended"), kConfiguration},
      {absl::InvalidArgumentError("it is wrong"), kConfiguration},
      {absl::OutOfRangeError("it does not fit"), kCheckpointDoesNotFit},
      {absl::UnavailableError("not yet"), kUnreachable},
      {absl::InternalError("a bug"), kUnreachable},
  };
  for (const auto& [status, code] : expected) {
    cluster_.Fail(status);
    const Ended ended = Run([&] { return Rescale({job_, 4}); });
    EXPECT_EQ(ended.code, code) << status;
    EXPECT_EQ(ended.err, "weir: " + std::string(status.message()) + "\n");
  }
}

TEST_F(ClusterTest, CancelAndRescale) {
  const Ended cancel = Run([&] { return Cancel(job_); });
  EXPECT_EQ(cancel.code, kDone) << cancel.err;
  EXPECT_EQ(cancel.out, "event_pipeline-0123456789ab  CANCELING\n");
  const Ended rescale = Run([&] { return Rescale({job_, 3}); });
  EXPECT_EQ(rescale.code, kDone) << rescale.err;
  EXPECT_THAT(rescale.out, HasSubstr("parallelism 3\n"));
  EXPECT_THAT(cluster_.calls(), Contains("RescaleJob event_pipeline-0123456789ab 3"));
}

rest::SavepointOperation Operation(const std::string& state, const std::string& path,
                                   const std::string& failure) {
  rest::SavepointOperation operation;
  operation.set_id("sav-9");
  operation.set_state(state);
  operation.set_path(path);
  operation.set_failure(failure);
  return operation;
}

TEST_F(ClusterTest, StopPrintsTheSavepointAndReturnsWhenTheJobHasEnded) {
  const std::string job = FakeCluster::kJob;
  bool ended_before_return = false;
  std::thread coordinator([&] {
    AwaitCall("GetSavepoint " + job + " sav-9", 2);
    cluster_.Change(Operation("COMPLETED", "/data/sav-9", ""));
    AwaitCall("GetJob " + job, 2);
    ended_before_return = true;
    cluster_.Change(job, [](rest::Job& j) { j.set_ended(true); });
  });
  const Ended stop = Run([&] { return Stop({job_, true}); });
  EXPECT_TRUE(ended_before_return);
  coordinator.join();
  EXPECT_EQ(stop.code, kDone) << stop.err;
  EXPECT_EQ(stop.out, "/data/sav-9\n");
  EXPECT_THAT(cluster_.calls(), Contains("StopJob " + job + " drain=true"));
}

TEST(EndOnCtrlCDeathTest, TheExitCodeSaysSo) {
  EXPECT_EXIT(
      {
        EndOnCtrlC();
        raise(SIGINT);
      },
      ::testing::ExitedWithCode(kInterrupted), "");
}

TEST_F(ClusterTest, ASavepointThatFailsIsTold) {
  std::thread coordinator([&] {
    AwaitCall(std::string("GetSavepoint ") + FakeCluster::kJob + " sav-9");
    cluster_.Change(Operation("FAILED", "", "the disk is full"));
  });
  const Ended savepoint = Run([&] { return Savepoint({job_, "s3://bucket"}); });
  coordinator.join();
  EXPECT_EQ(savepoint.code, kJobFailed);
  EXPECT_EQ(savepoint.out, "");
  EXPECT_THAT(savepoint.err, HasSubstr("the disk is full"));
  EXPECT_THAT(savepoint.err, HasSubstr("event_pipeline-0123456789ab is now RUNNING\n"));
  EXPECT_THAT(cluster_.calls(), Contains(HasSubstr("to=s3://bucket")));
}

TEST_F(ClusterTest, AStopWithoutASavepointSaysAsWhatTheJobHasEndedAndWhatItGoesOnFrom) {
  const std::string job = FakeCluster::kJob;
  const auto stop_as = [&](const std::string& state, const std::string& failure) {
    const size_t seen = cluster_.calls().size();
    cluster_.Change(job, [](rest::Job& j) { j.set_ended(false); });
    std::thread coordinator([&] {
      AwaitCalls(seen + 2);  // that it stops, and what of the savepoint
      cluster_.Change(Operation("FAILED", "", "the disk is full"));
      AwaitCalls(seen + 5);  // it waits for the job's end
      cluster_.Change(job, [&](rest::Job& j) {
        j.set_ended(true);
        j.set_state(state);
        j.set_failure(failure);
      });
    });
    Ended stop = Run([&] { return Stop({job_, false}); });
    coordinator.join();
    EXPECT_EQ(stop.code, kJobFailed);
    EXPECT_EQ(stop.out, "");
    EXPECT_THAT(stop.err, HasSubstr("the savepoint failed: the disk is full\n"));
    return stop.err;
  };
  const std::string suspended = stop_as("SUSPENDED", "");
  EXPECT_THAT(suspended, HasSubstr(job + " is now SUSPENDED\n"));
  EXPECT_THAT(suspended, HasSubstr("weir submit LIB --from " + job + "/chk-7\n"));
  const std::string failed = stop_as("FAILED", "a bug");
  EXPECT_THAT(failed, HasSubstr(job + " is now FAILED: a bug\n"));
  EXPECT_THAT(failed, HasSubstr("--from " + job + "/chk-7\n"));
  EXPECT_THAT(stop_as("FINISHED", ""), Not(HasSubstr("--from")));
  cluster_.ClearCheckpoints();
  EXPECT_THAT(stop_as("SUSPENDED", ""), HasSubstr("it has no checkpoint to go on from"));
}

TEST_F(ClusterTest, ATokenIsPresentedFromTheFileOrTheEnvironment) {
  std::string presented;
  RestServer::Options options;
  options.authorize = [&](const HttpRequest& head, Role) -> Status {
    presented = head.authorization;
    return presented.empty() ? absl::UnauthenticatedError("a token is missing") : absl::OkStatus();
  };
  Start({"127.0.0.1", 0}, std::move(options));
  const Ended without = Run([&] { return List(flags_); });
  EXPECT_EQ(without.code, kConfiguration);
  EXPECT_THAT(without.err, HasSubstr("a token is missing"));

  testing::TempDir folder;
  flags_.token_file = folder.path() + "/token";
  ASSERT_TRUE(WriteAtomically(RealEnvironment().disk, flags_.token_file,
                              "secret-1-of-32-characters-or-more\n")
                  .ok());
  ASSERT_EQ(chmod(flags_.token_file.c_str(), 0600), 0);
  EXPECT_EQ(Run([&] { return List(flags_); }).code, kDone);
  EXPECT_EQ(presented, "Bearer secret-1-of-32-characters-or-more");
  flags_.token_file.clear();
  ASSERT_EQ(setenv("WEIR_TOKEN", "secret-2", 1), 0);
  EXPECT_EQ(Run([&] { return List(flags_); }).code, kDone);
  EXPECT_EQ(presented, "Bearer secret-2");
  ASSERT_EQ(setenv("WEIR_TOKEN", "two\r\nX-Lines: 1", 1), 0);
  EXPECT_EQ(Run([&] { return List(flags_); }).code, kUsage);
  ASSERT_EQ(unsetenv("WEIR_TOKEN"), 0);
}

TEST_F(ClusterTest, TheAddressMayComeFromTheEnvironment) {
  ASSERT_EQ(setenv("WEIR_COORDINATOR", flags_.coordinator.c_str(), 1), 0);
  flags_.coordinator.clear();
  EXPECT_EQ(Run([&] { return List(flags_); }).code, kDone);
  ASSERT_EQ(unsetenv("WEIR_COORDINATOR"), 0);
}

TEST_F(ClusterTest, WhatIsNoCoordinatorIsNotMistakenForOne) {
  HttpServer::Options options;
  HttpResponse answer{200, "text/html", "<html>a router</html>", {}};
  options.admit = [&](const HttpRequest&) {
    return HttpServer::Admission{
        [&](HttpRequest, HttpServer::Respond respond) { respond(answer); }, 1000, {}};
  };
  auto other = HttpServer::Start(network_, {"127.0.0.1", 0}, options);
  ASSERT_TRUE(other.ok());
  flags_.coordinator = (*other)->address().ToString();
  for (const int status : {200, 404}) {
    answer.status = status;
    const Ended ended = Run([&] { return List(flags_); });
    EXPECT_EQ(ended.code, kUnreachable);
    EXPECT_THAT(ended.err, HasSubstr("is no coordinator of Weir"));
  }
}

}  // namespace
}  // namespace weir::cli
