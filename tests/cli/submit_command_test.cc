// `weir submit`: what travels, and how it waits for the end of a job whose coordinator does not
// live as long.
#include <gmock/gmock.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "core/environment.h"
#include "jobs/parameters.h"
#include "testing/temp_dir.h"
#include "tests/cli/cluster_fixture.h"

namespace weir::cli {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

class SubmitTest : public ClusterTest {
 protected:
  void SetUp() override {
    ClusterTest::SetUp();
    Disk& disk = RealEnvironment().disk;
    rules_ = folder_.path() + "/rules.yaml";
    ASSERT_TRUE(WriteAtomically(disk, folder_.path() + "/in.jsonl", "{\"a\":1}\n").ok());
    ASSERT_TRUE(WriteAtomically(disk, rules_, kRules).ok());
    submit_.cluster = flags_;
    submit_.job.library = "event_pipeline";
    submit_.job.parameters = {"input=" + folder_.path() + "/in.jsonl",
                              "out=" + folder_.path() + "/out", "routes=" + rules_};
  }
  Ended RunSubmit() {
    return Run([&] { return Submit(submit_); });
  }
  // The job that was submitted ends with this state while a thread of its own runs.
  std::thread EndJob(const std::string& state) {
    const std::vector<std::string> calls = cluster_.calls();
    const auto before = std::count(calls.begin(), calls.end(), "GetJob submitted-1");
    return std::thread([this, state, before] {
      AwaitCall("GetJob submitted-1", static_cast<int>(before) + 1);
      cluster_.Change("submitted-1", [&](rest::Job& job) {
        job.set_state(state);
        job.set_ended(true);
        if (state == "FAILED") job.set_failure("no more tries");
      });
    });
  }

  static constexpr const char* kRules =
      "rules:\n  - {name: all, when: {type: x}, to: somewhere}\ndefault: warehouse\n";
  testing::TempDir folder_;
  std::string rules_;
  SubmitFlags submit_;
};

TEST_F(SubmitTest, LibraryAndResourcesTravelOnce) {
  submit_.parallelism = 3;
  submit_.checkpoint_interval = "250ms";
  submit_.from = "event_pipeline-1/sav-9";
  const Ended ended = RunSubmit();
  EXPECT_EQ(ended.code, kDone) << ended.err;
  EXPECT_EQ(ended.out, "submitted-1\n");
  const rest::SubmitRequest request = cluster_.submitted();
  EXPECT_THAT(cluster_.calls(), Contains("PutBlob " + request.library_sha256()));
  EXPECT_THAT(cluster_.calls(), Contains("PutBlob " + Sha256Hex(kRules)));
  ASSERT_EQ(request.resources_size(), 1);
  EXPECT_EQ(request.resources(0).sha256(), Sha256Hex(kRules));
  EXPECT_EQ(request.parameters().at("out"), folder_.path() + "/out");
  EXPECT_EQ(request.parallelism(), 3u);
  EXPECT_EQ(request.checkpoint_interval_seconds(), 0.25);
  EXPECT_EQ(request.from(), "event_pipeline-1/sav-9");

  const size_t calls_before = cluster_.calls().size();
  submit_.cluster.output = "json";
  EXPECT_THAT(RunSubmit().out, HasSubstr(R"("id":"submitted-1")"));
  std::vector<std::string> calls = cluster_.calls();
  calls.erase(calls.begin(), calls.begin() + static_cast<ptrdiff_t>(calls_before));
  EXPECT_THAT(calls, Each(Not(StartsWith("PutBlob"))));
}

TEST_F(SubmitTest, WrongParametersAreToldBeforeAnythingIsSent) {
  submit_.job.parameters.emplace_back("no_such=1");
  const Ended wrong = RunSubmit();
  EXPECT_EQ(wrong.code, kConfiguration);
  EXPECT_THAT(wrong.err, HasSubstr("no_such"));
  submit_.job.parameters.back() = "no equals sign";
  EXPECT_EQ(RunSubmit().code, kUsage);
  submit_.job.parameters.back() = "id=\xff";
  const Ended no_utf8 = RunSubmit();
  EXPECT_EQ(no_utf8.code, kConfiguration);
  EXPECT_THAT(no_utf8.err, HasSubstr("UTF-8"));
  submit_.job.library = "no_such_library";
  EXPECT_EQ(RunSubmit().code, kConfiguration);
  EXPECT_THAT(cluster_.calls(), IsEmpty());
}

TEST_F(SubmitTest, WaitEndsAsTheJobDid) {
  submit_.wait = true;
  for (const auto& [state, code] :
       std::vector<std::pair<std::string, int>>{{"FINISHED", kDone},
                                                {"FAILED", kJobFailed},
                                                {"CANCELED", kJobFailed},
                                                {"SUSPENDED", kInterrupted}}) {
    std::thread end = EndJob(state);
    const Ended ended = RunSubmit();
    end.join();
    EXPECT_EQ(ended.code, code) << state;
    EXPECT_EQ(ended.out, "submitted-1\n");
    EXPECT_THAT(ended.err, HasSubstr("weir: " + state));
    if (state != "FAILED") continue;
    EXPECT_THAT(ended.err, HasSubstr("no more tries"));
  }
}

TEST_F(SubmitTest, WaitingWithJsonPrintsOneObject) {
  submit_.wait = true;
  submit_.cluster.output = "json";
  std::thread end = EndJob("FINISHED");
  const Ended ended = RunSubmit();
  end.join();
  EXPECT_EQ(ended.code, kDone);
  EXPECT_THAT(ended.out, HasSubstr(R"("state":"FINISHED")"));
  EXPECT_EQ(ended.out.find('\n'), ended.out.size() - 1);
}

TEST_F(SubmitTest, WaitingOutlivesTheCoordinator) {
  submit_.wait = true;
  std::thread restart([&] {
    AwaitCall("GetJob submitted-1");
    const Address address = server_->address();
    server_.reset();
    {
      // Takes connections and dies: once before the client has asked, once more when it has.
      boost::asio::io_context io;
      boost::asio::ip::tcp::acceptor dying(
          io, {boost::asio::ip::make_address(address.host), address.port});
      for (int i = 0; i < 2; ++i) dying.accept().close();
    }
    Start(address);
    cluster_.Change("submitted-1", [](rest::Job& job) {
      job.set_state("FINISHED");
      job.set_ended(true);
    });
  });
  const Ended ended = RunSubmit();
  restart.join();
  EXPECT_EQ(ended.code, kDone) << ended.err;
  EXPECT_THAT(ended.err, HasSubstr("is away; waiting for it\nweir: the coordinator is back\n"));
}

TEST_F(SubmitTest, AJobThatTheCoordinatorDoesNotKnowAnyMoreEndsTheWaiting) {
  submit_.wait = true;
  std::thread lose([&] {
    AwaitCall("GetJob submitted-1");
    cluster_.Fail(absl::NotFoundError("there is no job 'submitted-1'"));
  });
  const Ended ended = RunSubmit();
  lose.join();
  EXPECT_EQ(ended.code, kConfiguration);
  EXPECT_THAT(ended.err, HasSubstr("there is no job"));
}

}  // namespace
}  // namespace weir::cli
