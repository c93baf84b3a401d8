// Whole jobs in this process: numbers in, a count per key, rows committed with checkpoints; with
// failures, restarts, stops and other
// parallelisms, every row comes out exactly once.
#include "runtime/local_job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <mutex>
#include <thread>

#include "jobs/stream.h"
#include "state/keyed_state.h"
#include "tests/support/faulty_disk.h"
#include "tests/support/temp_dir.h"

namespace weir {
namespace {

constexpr int kSplits = 16;
constexpr int64_t kKeys = 10;

// What the instances of a test job share with the test.
struct Shared {
  int64_t per_split = 2000;
  std::atomic<int64_t> rows_until_failure = -1;  // counted down by the source; fails at 0
  std::atomic<bool> hold_end = false;
  std::atomic<int> commits_to_fail = 0;
  std::atomic<int> freezes_to_fail = 0;
  std::function<void()> on_commit;  // called behind every commit

  std::mutex mutex;
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> pending;    // by handle
  std::map<std::string, std::vector<std::pair<int64_t, int64_t>>> committed;  // by handle
};

class NumberSource final : public Source {
 public:
  explicit NumberSource(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Status Open(OperatorContext& context) override {
    WEIR_ASSIGN_OR_RETURN(positions_, ValueState<int64_t>::Register(*context.keyed, "positions"));
    for (int i = 0; i < kSplits; ++i) {
      std::string name = "split-" + std::to_string(i);
      if (!context.key_groups.Contains(KeyGroupOf(MakeStateKey(name).hash))) continue;
      WEIR_ASSIGN_OR_RETURN(auto position, positions_.Get(MakeStateKey(name)));
      splits_.push_back({name, i, position.value_or(0)});
    }
    return absl::OkStatus();
  }

  StatusOr<PollResult> Poll(Output& out) override {
    while (next_ < splits_.size() && splits_[next_].position == shared_->per_split) ++next_;
    if (next_ == splits_.size()) {
      // While a test wants to stop the job, the job does not end by itself.
      // Nothing more will be committed, which such a test may wait for.
      if (shared_->hold_end && shared_->on_commit) shared_->on_commit();
      const int64_t soon = RealEnvironment().clock.MonotonicMicros() + 1000;
      if (shared_->hold_end) return PollResult{PollResult::kIdle, soon};
      return PollResult{PollResult::kFinished};
    }
    Split& split = splits_[next_];
    auto batch = std::make_unique<Batch<int64_t>>();
    for (int i = 0; i < 64 && split.position < shared_->per_split; ++i) {
      const int64_t value = split.index + kSplits * split.position++;
      batch->Add(value, value);
      if (shared_->rows_until_failure.fetch_sub(1) == 1) return absl::UnavailableError("injected");
    }
    WEIR_RETURN_IF_ERROR(positions_.Set(MakeStateKey(split.name), split.position));
    out.Emit(0, std::move(batch));
    // Slowly enough for checkpoints to come between.
    return PollResult{PollResult::kIdle, RealEnvironment().clock.MonotonicMicros() + 50};
  }
  Timestamp watermark() const override { return kMinTimestamp; }

 private:
  struct Split {
    std::string name;
    int index;
    int64_t position;
  };
  std::shared_ptr<Shared> shared_;
  ValueState<int64_t> positions_;
  std::vector<Split> splits_;
  size_t next_ = 0;
};

using Row = std::tuple<int64_t, int64_t>;  // key, count so far

class CountPerKey {
 public:
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count_, ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  Status Process(const int64_t& value, ProcessContext<Row>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(context.key()));
    WEIR_RETURN_IF_ERROR(count_.Set(context.key(), before.value_or(0) + 1));
    context.Emit({value % kKeys, before.value_or(0) + 1});
    return absl::OkStatus();
  }

 private:
  ValueState<int64_t> count_;
};

class CollectSink final : public Sink {
 public:
  explicit CollectSink(std::shared_ptr<Shared> shared) : shared_(std::move(shared)) {}

  Status Open(OperatorContext& context) override {
    name_ = std::to_string(context.attempt) + "/" + std::to_string(context.subtask);
    return absl::OkStatus();
  }
  StatusOr<Progress> Write(BatchPtr batch, Output&) override {
    for (const Row& row : Batch<Row>::Of(*batch).values())
      rows_.emplace_back(std::get<0>(row), std::get<1>(row));
    return Progress::kDone;
  }
  std::unique_ptr<Frozen> Freeze(CheckpointId checkpoint) override {
    if (rows_.empty()) return nullptr;
    if (shared_->freezes_to_fail.fetch_sub(1) > 0) {
      rows_.clear();
      return std::make_unique<FailingFrozen>();
    }
    StateSnapshot snapshot;
    snapshot.handles.push_back(name_ + "/" + std::to_string(checkpoint));
    std::lock_guard lock(shared_->mutex);
    shared_->pending[snapshot.handles[0]] = std::exchange(rows_, {});
    return std::make_unique<FrozenSnapshot>(std::move(snapshot));
  }
  Status Commit(std::string_view handle) override {
    if (shared_->commits_to_fail.fetch_sub(1) > 0) return absl::UnavailableError("injected commit");
    {
      std::lock_guard lock(shared_->mutex);
      auto piece = shared_->pending.extract(std::string(handle));
      if (piece.empty()) {
        if (shared_->committed.count(std::string(handle)) > 0) return absl::OkStatus();
        return absl::DataLossError("the piece is gone");
      }
      shared_->committed[piece.key()] = std::move(piece.mapped());
    }
    if (shared_->on_commit) shared_->on_commit();
    return absl::OkStatus();
  }
  Status Recover(const Recovery&) override {
    std::lock_guard lock(shared_->mutex);
    shared_->pending.clear();
    return absl::OkStatus();
  }

 private:
  class FailingFrozen final : public Frozen {
    StatusOr<StateSnapshot> Write(SnapshotWriter&) override {
      return absl::ResourceExhaustedError("injected: the disk is full");
    }
  };
  std::shared_ptr<Shared> shared_;
  std::string name_;
  std::vector<std::pair<int64_t, int64_t>> rows_;
};

class LocalJobTest : public ::testing::Test {
 protected:
  LocalJobTest() {
    options_.data_dir = dir_ / "data";
    options_.identity.job_name = "count";
    options_.checkpoint_interval = Milliseconds(20);
    JobBuilder builder("count");
    builder
        .From("numbers",
              SourceSpec<int64_t>{
                  .make = [s = shared_] { return std::make_unique<NumberSource>(s); }})
        .KeyBy([](const int64_t& v) { return v % kKeys; })
        .Process<Row>("count", CountPerKey())
        .To("collect",
            SinkSpec<Row>{.make = [s = shared_] { return std::make_unique<CollectSink>(s); }});
    auto built = builder.Build();
    WEIR_CHECK(built.ok());
    job_ = *std::move(built);
  }

  LocalJobResult Run() {
    auto local = LocalJob::Prepare(job_, options_, *env_);
    WEIR_CHECK(local.ok());
    running_ = local->get();
    LocalJobResult result =
        (*local)->Run({nullptr, [this](std::string_view line) { log_ += line; }});
    running_ = nullptr;
    return result;
  }

  void StopAtTheFirstCommit() {
    shared_->hold_end = true;
    shared_->on_commit = [this] {
      if (LocalJob* job = running_) job->RequestStop();
    };
  }

  // Every key has every count from 1 to its number of rows exactly once.
  void ExpectExactlyOnce() {
    std::map<int64_t, std::vector<int64_t>> counts;
    for (const auto& [handle, rows] : shared_->committed) {
      for (const auto& [key, count] : rows) counts[key].push_back(count);
    }
    ASSERT_EQ(counts.size(), static_cast<size_t>(kKeys));
    for (auto& [key, seen] : counts) {
      std::sort(seen.begin(), seen.end());
      ASSERT_EQ(seen.size(), static_cast<size_t>(kSplits * shared_->per_split / kKeys))
          << "key " << key;
      for (size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], static_cast<int64_t>(i) + 1);
    }
  }

  testing::TempDir dir_;
  LocalJobOptions options_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  BuiltJob job_;
  Environment* env_ = &RealEnvironment();
  std::atomic<LocalJob*> running_ = nullptr;
  std::string log_;
};

TEST_F(LocalJobTest, RunsToItsEndAtEveryParallelism) {
  for (int parallelism : {1, 2, 3, 7}) {
    for (bool encode : {false, true}) {
      shared_->committed.clear();
      options_.data_dir = dir_ / ("data-" + std::to_string(parallelism) + (encode ? "e" : ""));
      options_.parallelism = parallelism;
      options_.encode_edges = encode;
      LocalJobResult result = Run();
      EXPECT_EQ(result.state, RunState::kFinished);
      EXPECT_EQ(result.status.operators[1].completed.records_in, kSplits * shared_->per_split);
      ExpectExactlyOnce();
    }
  }
}

TEST_F(LocalJobTest, ATaskThatFailsCostsNothing) {
  for (int parallelism : {1, 3}) {
    shared_->committed.clear();
    options_.data_dir = dir_ / ("data-" + std::to_string(parallelism));
    options_.parallelism = parallelism;
    shared_->rows_until_failure = 20'000;
    LocalJobResult result = Run();
    EXPECT_EQ(result.state, RunState::kFinished);
    EXPECT_EQ(result.status.restarts, 1);
    EXPECT_THAT(log_, ::testing::HasSubstr("injected"));
    ExpectExactlyOnce();
  }
}

TEST_F(LocalJobTest, ACommitThatFailsIsRepeated) {
  options_.parallelism = 2;
  shared_->commits_to_fail = 3;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_GE(result.status.restarts, 1);
  ExpectExactlyOnce();
}

TEST_F(LocalJobTest, ACheckpointThatCannotBeWrittenIsNoCheckpoint) {
  options_.parallelism = 2;
  shared_->freezes_to_fail = 2;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_GE(result.status.checkpoints_failed, 1u);
  ExpectExactlyOnce();
}

TEST_F(LocalJobTest, AFullDataFolderFailsCheckpointsAndLosesNothing) {
  testing::FaultyDisk disk(RealEnvironment().disk);
  Environment env{RealEnvironment().clock, disk, RealEnvironment().io, RealEnvironment().random};
  std::atomic<int> full = 0;  // writes below the checkpoints that have failed
  disk.SetFault([&](std::string_view action, const std::string& path) -> Status {
    if (action != "append" || path.find("/checkpoints/") == path.npos || full >= 3)
      return absl::OkStatus();
    ++full;
    return absl::ResourceExhaustedError("cannot write to " + path + ": No space left on device");
  });
  env_ = &env;
  options_.parallelism = 2;
  LocalJobResult result = Run();
  EXPECT_EQ(result.state, RunState::kFinished);
  EXPECT_EQ(full, 3);
  EXPECT_GE(result.status.checkpoints_failed, 1u);
  EXPECT_THAT(log_, ::testing::HasSubstr(options_.data_dir));
  EXPECT_THAT(log_, ::testing::HasSubstr("No space left"));
  ExpectExactlyOnce();
}

TEST_F(LocalJobTest, StopsAndGoesOnAtAnotherParallelism) {
  StopAtTheFirstCommit();
  options_.parallelism = 2;
  LocalJobResult first = Run();
  EXPECT_EQ(first.state, RunState::kSuspended);
  options_.parallelism = 3;
  LocalJobResult second = Run();
  EXPECT_EQ(second.state, RunState::kSuspended);
  EXPECT_EQ(second.status.restored_from, first.status.last_checkpoint);
  shared_->on_commit = nullptr;
  shared_->hold_end = false;
  options_.parallelism = 1;
  LocalJobResult third = Run();
  EXPECT_EQ(third.state, RunState::kFinished);
  EXPECT_EQ(third.status.restored_from, second.status.last_checkpoint);
  EXPECT_EQ(third.status.operators[0].completed.records_out, kSplits * shared_->per_split);
  ExpectExactlyOnce();
}

TEST_F(LocalJobTest, AFinishedRunIsReportedAndNotRepeated) {
  Run();
  const size_t committed = shared_->committed.size();
  LocalJobResult again = Run();
  EXPECT_TRUE(again.already_finished);
  EXPECT_EQ(again.state, RunState::kFinished);
  EXPECT_EQ(again.status.operators[1].completed.records_in, kSplits * shared_->per_split);
  EXPECT_EQ(shared_->committed.size(), committed);
}

TEST_F(LocalJobTest, AnotherIdentityDoesNotGoOn) {
  StopAtTheFirstCommit();
  EXPECT_EQ(Run().state, RunState::kSuspended);
  options_.identity.parameters["window"] = "1h";
  auto other = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_FALSE(other.ok());
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(other.status().message()),
              ::testing::AllOf(::testing::HasSubstr("--from"), ::testing::HasSubstr("--fresh"),
                               ::testing::HasSubstr("window")));
}

TEST_F(LocalJobTest, TheDataFolderBelongsToOneAtATime) {
  auto first = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_TRUE(first.ok());
  auto second = LocalJob::Prepare(job_, options_, RealEnvironment());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace weir
