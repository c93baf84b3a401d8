// A REST interface in front of a cluster that is none, for tests of the commands that ask one.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cli/commands.h"
#include "runtime/rest/rest_server.h"
#include "tests/support/fake_cluster.h"

namespace weir::cli {

struct Ended {
  int code = -1;
  std::string out, err;
};

class ClusterTest : public ::testing::Test {
 protected:
  void SetUp() override { Start({"127.0.0.1", 0}); }
  void Start(const Address& address, RestServer::Options options = {}) {
    server_.reset();
    auto server = RestServer::Start(network_, address, cluster_, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    flags_.coordinator = server_->address().ToString();
    job_.cluster = flags_;
    job_.job = testing::FakeCluster::kJob;
  }

  // What a command prints and how it ends.
  template <class Work>
  static Ended Run(Work work) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Ended ended;
    ended.code = work();
    ended.out = ::testing::internal::GetCapturedStdout();
    ended.err = ::testing::internal::GetCapturedStderr();
    return ended;
  }

  // Until the cluster has been asked this, at least so often.
  void AwaitCall(const std::string& call, int times = 1) {
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < late) {
      const std::vector<std::string> calls = cluster_.calls();
      if (std::count(calls.begin(), calls.end(), call) >= times) return;
      std::this_thread::yield();
    }
    ADD_FAILURE() << "nobody asked " << call;
  }

  // Until it has been asked so often, whatever it was.
  void AwaitCalls(size_t number) {
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (cluster_.calls().size() < number) {
      if (std::chrono::steady_clock::now() > late) {
        ADD_FAILURE() << "asked only " << cluster_.calls().size() << " times";
        return;
      }
      std::this_thread::yield();
    }
  }

  testing::FakeCluster cluster_;
  NetworkThread network_;
  std::unique_ptr<RestServer> server_;
  ClusterFlags flags_;
  ClusterJobFlags job_;
};

}  // namespace weir::cli
