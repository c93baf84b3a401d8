// Coordinator: how it answers over REST while its disk takes nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <thread>

#include "jobs/graph.h"
#include "jobs/parameters.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/rest/rest_server.h"
#include "state/durable_map.h"
#include "state/job_record.h"
#include "testing/temp_dir.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/raw_http.h"

namespace weir::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// A coordinator with one job, which waits for slots.
class CoordinatorStorageTest : public ::testing::Test {
 protected:
  void SetUp() override {
    JobGraph graph;
    graph.job = "job";
    graph.stages.push_back({.name = "source", .kind = "source", .role = StageRole::kSource});
    JobRecord record;
    record.job_id = "job-1";
    runtime::ClusterJob kept;
    kept.set_record(record.Serialize());
    kept.mutable_description()->set_graph(graph.Serialize());
    kept.set_parallelism(2);
    ASSERT_TRUE(real_.disk.MakeDirectories(dir_ / "data").ok());
    {
      auto store = DurableMap::Open(dir_ / "data/store");
      ASSERT_TRUE(store.ok()) << store.status();
      ASSERT_TRUE((*store)->Put("job/job-1", kept.SerializeAsString()).ok());
    }
    CoordinatorOptions options;
    options.data_dir = dir_ / "data";
    options.rpc_listen = {"127.0.0.1", 0};
    options.log = [](const LogLine&) {};
    auto coordinator = Coordinator::Start(network_, env_, std::move(options));
    ASSERT_TRUE(coordinator.ok()) << coordinator.status();
    coordinator_ = *std::move(coordinator);
    auto server = RestServer::Start(network_, {"127.0.0.1", 0}, *coordinator_, {});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    runs_ = std::thread([this] { coordinator_->Run(); });
  }
  void TearDown() override {
    if (!runs_.joinable()) return;
    coordinator_->Stop();
    runs_.join();
    server_.reset();
  }

  RawResponse Ask(std::string_view method, std::string_view path, std::string_view body = "") {
    return testing::Ask(server_->address(), method, path, body);
  }

  TempDir dir_;
  Environment& real_ = RealEnvironment();
  FaultyDisk disk_{real_.disk};
  Environment env_{real_.clock, disk_, real_.io, real_.random};
  NetworkThread network_;
  std::unique_ptr<Coordinator> coordinator_;
  std::unique_ptr<RestServer> server_;
  std::thread runs_;
};

TEST_F(CoordinatorStorageTest, ABlobThatHasNoRoomIs507AndSaysWhatToDo) {
  const std::string path = "/v1/blobs/" + Sha256Hex("library");
  disk_.FailFrom("append", 0);
  const RawResponse full = Ask("PUT", path, "library");
  EXPECT_EQ(full.status, 507);
  EXPECT_THAT(full.body,
              AllOf(HasSubstr("RESOURCE_EXHAUSTED"),
                    HasSubstr("the coordinator cannot keep the 7B that were sent"),
                    HasSubstr("No space left on device"),
                    HasSubstr("see that the disk of " + dir_.path() + "/data has room")));
  disk_.SetFault(nullptr);
  EXPECT_EQ(Ask("PUT", path, "library").status, 200);
}

// 403 would say that the one who asks may not.
TEST_F(CoordinatorStorageTest, ABlobOnADiskThatIsReadOnlyIs503AndNobodysRight) {
  const std::string path = "/v1/blobs/" + Sha256Hex("library");
  disk_.SetFault([](std::string_view action, const std::string&) -> Status {
    if (action == "create") return absl::PermissionDeniedError("Read-only file system");
    return absl::OkStatus();
  });
  const RawResponse refused = Ask("PUT", path, "library");
  EXPECT_EQ(refused.status, 503);
  EXPECT_THAT(refused.body,
              AllOf(HasSubstr("Read-only file system"), HasSubstr("can be written to")));
  EXPECT_EQ(Ask("PUT", path, "others").status, 400);
}

// RocksDB writes by itself: a limit on the size of files stands for its full disk.
TEST_F(CoordinatorStorageTest, AWishThatCannotBeSavedSaysWhichOnWhichDisk) {
  while (Ask("GET", "/readyz").status != 200) std::this_thread::yield();
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{1, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const RawResponse refused = Ask("PUT", "/v1/jobs/job-1/parallelism", R"({"parallelism":3})");
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_EQ(refused.status, 503) << refused.body;
  EXPECT_THAT(refused.body,
              AllOf(HasSubstr("cannot save what is to become of job job-1"),
                    HasSubstr("see that the disk of " + dir_.path() + "/data has room")));
  EXPECT_EQ(Ask("PUT", "/v1/jobs/job-1/parallelism", R"({"parallelism":3})").status, 200);
}

}  // namespace
}  // namespace weir::testing
