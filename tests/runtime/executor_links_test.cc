// Several executors of one job, each on threads of its own as if in a process of its own, joined by
// real connections: what one process cannot show, and what the sanitizers can look at.
#include "runtime/worker/executor_links.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "runtime/coordinator/job_master.h"
#include "runtime/event_loop.h"
#include "runtime/net/network_thread.h"
#include "state/object_store.h"
#include "tests/support/number_job.h"
#include "tests/support/test_ca.h"

namespace weir::testing {
namespace {

constexpr int64_t kKeys = 10;

// What an executor's process holds; its loop runs on a thread.
class Node {
 public:
  using Send = std::function<void(const runtime::ToCoordinator&)>;

  Node(const BuiltJob& job, const std::string& job_id, ObjectStore& objects, PeerMesh::Options mesh,
       std::string work_dir, Send send)
      : job_(job), store_(objects, env_, {.job_id = job_id, .follows = true}) {
    StatusOr<std::unique_ptr<ExecutorLinks>> links =
        ExecutorLinks::Listen(network_, std::move(mesh), [](const std::string&) {});
    WEIR_CHECK(links.ok());
    links_ = *std::move(links);
    address_ = links_->address();
    Executor::Options options;
    options.work_dir = std::move(work_dir);
    options.make_links = [this] { return std::move(links_); };
    executor_ =
        std::make_unique<Executor>(job_, store_, env_, loop_, std::move(options), std::move(send));
    thread_ = std::thread([this] {
      loop_.Run([this] { return env_.clock.MonotonicMicros() + Seconds(1); });
      executor_.reset();
    });
  }
  ~Node() {
    loop_.Stop();
    thread_.join();
  }

  const std::string& address() const { return address_; }
  void Receive(const runtime::ToExecutor& message) {
    loop_.Post([this, message] { executor_->OnMessage(message); });
  }

 private:
  Environment& env_ = RealEnvironment();
  const BuiltJob& job_;
  CheckpointStore store_;
  NetworkThread network_;
  EventLoop loop_{env_.clock};
  std::unique_ptr<ExecutorLinks> links_;
  std::string address_;
  std::unique_ptr<Executor> executor_;
  std::thread thread_;
};

// A coordinator whose executors are Nodes.
class Cluster final : public JobMaster::Host {
 public:
  Cluster(const BuiltJob& job, const std::string& folder, JobMaster::Options options, int executors)
      : job_(job),
        folder_(folder),
        executors_(executors),
        objects_(env_, folder + "/checkpoints"),
        store_(objects_, env_, {.job_id = "job-1"}) {
    JobRecord record;
    record.job_id = "job-1";
    master_ = std::make_unique<JobMaster>(job.graph, record, std::move(options), *this);
  }
  ~Cluster() override { nodes_.clear(); }

  // One for each executor; without, they talk in the clear.
  void set_tls(std::vector<std::shared_ptr<const TlsContext>> tls) { tls_ = std::move(tls); }
  RunState Run() {
    loop_.Post([this] { master_->Start(Now()); });
    loop_.Run([this] {
      const int64_t next = master_->Tick(Now());
      if (master_->ended()) loop_.Stop();
      return next;
    });
    nodes_.clear();
    return record_.state;
  }
  JobStatus status() { return master_->status(Now()); }
  const std::string& log() const { return log_; }

  std::vector<int> PlaceExecutors(int parallelism) override {
    return EvenShares(parallelism, executors_);
  }
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override {
    const int executors = static_cast<int>(shares.size() * job_.graph.Parts().size());
    nodes_.clear();
    std::vector<std::string> addresses;
    for (int i = 0; i < executors; ++i) {
      PeerMesh::Options mesh{"job-1", attempt, i, executors, "secret"};
      if (!tls_.empty()) mesh.connection.tls = tls_.at(i);
      nodes_.push_back(std::make_unique<Node>(
          job_, "job-1", objects_, std::move(mesh), folder_ + "/work-" + std::to_string(i),
          [this, i](const runtime::ToCoordinator& message) {
            loop_.Post([this, i, message] { master_->OnMessage(i, message, Now()); });
          }));
      addresses.push_back(nodes_.back()->address());
    }
    loop_.Post([this, attempt, addresses] { master_->OnExecutorsStarted(attempt, addresses); });
  }
  void Send(int executor, const runtime::ToExecutor& message) override {
    nodes_[executor]->Receive(message);
  }
  Status SaveRecord(const JobRecord& record, const runtime::AttemptState&) override {
    record_ = record;
    return absl::OkStatus();
  }
  void WriteManifest(Manifest manifest) override {
    const Status outcome = store_.WriteManifest(manifest);
    loop_.Post([this, outcome, checkpoint = manifest.checkpoint] {
      master_->OnManifestOutcome(checkpoint, outcome);
    });
  }
  void CollectGarbage(uint32_t) override {
    loop_.Post([this, status = store_.CollectGarbage().status()] {
      EXPECT_TRUE(status.ok()) << status;
      master_->OnGarbageCollected(Now());
    });
  }
  void Log(const LogLine& line) override { log_ += line.message + "\n"; }

 private:
  int64_t Now() { return env_.clock.MonotonicMicros(); }

  Environment& env_ = RealEnvironment();
  const BuiltJob& job_;
  const std::string folder_;
  const int executors_;
  LocalObjectStore objects_;
  CheckpointStore store_;
  EventLoop loop_{env_.clock};
  JobRecord record_;
  std::string log_;
  std::vector<std::shared_ptr<const TlsContext>> tls_;
  std::unique_ptr<JobMaster> master_;
  std::vector<std::unique_ptr<Node>> nodes_;
};

class ExecutorLinksTest : public NumberJobTest {
 protected:
  ExecutorLinksTest() : NumberJobTest("count") { job_ = CountJob(shared_, kKeys); }
  std::unique_ptr<Cluster> Make(int parallelism, int executors) {
    shared_->committed.clear();
    JobMaster::Options options;
    options.parallelism = parallelism;
    options.checkpoint_interval = Milliseconds(10);
    return std::make_unique<Cluster>(
        job_, dir_ / ("cluster-" + std::to_string(parallelism) + "-" + std::to_string(executors)),
        options, executors);
  }
};

TEST_F(ExecutorLinksTest, RowsFindTheirSubtaskWhereverItIs) {
  for (const auto [parallelism, executors] : {std::pair(2, 2), std::pair(5, 2), std::pair(4, 4)}) {
    SCOPED_TRACE(parallelism);
    const std::unique_ptr<Cluster> cluster = Make(parallelism, executors);
    EXPECT_EQ(cluster->Run(), RunState::kFinished) << cluster->log();
    EXPECT_EQ(cluster->status().restarts, 0) << cluster->log();
    ExpectExactlyOnce(kKeys);
  }
}

TEST_F(ExecutorLinksTest, PartsOfAJobHandRowsToEachOther) {
  job_.graph.stages[1].part = "count";
  job_.graph.stages[2].part = "collect";
  for (const auto [parallelism, executors] : {std::pair(1, 1), std::pair(3, 2)}) {
    SCOPED_TRACE(parallelism);
    shared_->rows_until_failure = 20'000;
    const std::unique_ptr<Cluster> cluster = Make(parallelism, executors);
    EXPECT_EQ(cluster->Run(), RunState::kFinished) << cluster->log();
    EXPECT_EQ(cluster->status().restarts, 1) << cluster->log();
    ExpectExactlyOnce(kKeys);
  }
}

TEST_F(ExecutorLinksTest, WithTlsEveryRowArrivesAndAFailedAttemptIsRepeated) {
  TestCa ca(dir_.path(), "ca");
  std::vector<std::shared_ptr<const TlsContext>> tls;
  for (const char* name : {"executor-0", "executor-1", "executor-2"}) {
    const auto loaded = LoadTls(ca.Issue(name));
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    tls.push_back(*loaded);
  }
  shared_->rows_until_failure = 20'000;
  const std::unique_ptr<Cluster> cluster = Make(4, 3);
  cluster->set_tls(tls);
  EXPECT_EQ(cluster->Run(), RunState::kFinished) << cluster->log();
  EXPECT_EQ(cluster->status().restarts, 1) << cluster->log();
  ExpectExactlyOnce(kKeys);
}

TEST_F(ExecutorLinksTest, AnAttemptThatFailsAndItsSuccessorDoNotMeet) {
  shared_->rows_until_failure = 20'000;
  const std::unique_ptr<Cluster> cluster = Make(4, 3);
  EXPECT_EQ(cluster->Run(), RunState::kFinished) << cluster->log();
  EXPECT_EQ(cluster->status().restarts, 1);
  EXPECT_THAT(cluster->log(), ::testing::HasSubstr("injected"));
  ExpectExactlyOnce(kKeys);
}

TEST_F(ExecutorLinksTest, ACommitThatFailsInOneOfThemIsRepeatedByAny) {
  shared_->commits_to_fail = 1;
  const std::unique_ptr<Cluster> cluster = Make(3, 3);
  EXPECT_EQ(cluster->Run(), RunState::kFinished) << cluster->log();
  EXPECT_EQ(cluster->status().restarts, 1);
  ExpectExactlyOnce(kKeys);
}

}  // namespace
}  // namespace weir::testing
