// Numbers in, rows committed with checkpoints: a source, a sink and a fixture for tests that run
// whole jobs in this process, with what the test wants to go wrong.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "jobs/stream.h"
#include "operators/sink.h"
#include "operators/source.h"
#include "operators/transforms/process.h"
#include "runtime/local_job.h"
#include "state/keyed_state.h"
#include "testing/temp_dir.h"

namespace weir::testing {

constexpr int kSplits = 16;

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

// Every number from `first` to first + kSplits * per_split once, each at the time that it says;
// reads the split next that is furthest behind, as sources do.
class NumberSource final : public Source {
 public:
  explicit NumberSource(std::shared_ptr<Shared> shared, int64_t first = 0)
      : shared_(std::move(shared)), first_(first) {}

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
    auto next =
        std::min_element(splits_.begin(), splits_.end(),
                         [](const Split& a, const Split& b) { return a.position < b.position; });
    if (next == splits_.end() || next->position == shared_->per_split) {
      // While a test wants to stop the job, the job does not end by itself.
      // Nothing more will be committed, which such a test may wait for.
      if (shared_->hold_end && shared_->on_commit) shared_->on_commit();
      const int64_t soon = RealEnvironment().clock.MonotonicMicros() + 1000;
      if (shared_->hold_end) return PollResult{PollResult::kIdle, soon};
      return PollResult{PollResult::kFinished};
    }
    Split& split = *next;
    auto batch = std::make_unique<Batch<int64_t>>();
    for (int i = 0; i < 64 && split.position < shared_->per_split; ++i) {
      const int64_t value = first_ + split.index + kSplits * split.position++;
      batch->Add(value, value);
      if (shared_->rows_until_failure.fetch_sub(1) == 1) return absl::UnavailableError("injected");
    }
    WEIR_RETURN_IF_ERROR(positions_.Set(MakeStateKey(split.name), split.position));
    out.Emit(0, std::move(batch));
    // Slowly enough for checkpoints to come between.
    return PollResult{PollResult::kIdle, RealEnvironment().clock.MonotonicMicros() + 50};
  }
  Timestamp watermark() const override {
    Timestamp least = kMaxTimestamp;
    for (const Split& split : splits_) least = std::min(least, first_ + kSplits * split.position);
    return least == kMaxTimestamp ? kMinTimestamp : least - 1;
  }

 private:
  struct Split {
    std::string name;
    int index;
    int64_t position;
  };
  const std::shared_ptr<Shared> shared_;
  const int64_t first_;
  ValueState<int64_t> positions_;
  std::vector<Split> splits_;
};

using Row = std::tuple<int64_t, int64_t>;  // key, count so far

// How many rows of each key have come; the key of a number is its rest by `modulus`.
class CountPerKey {
 public:
  explicit CountPerKey(int64_t modulus) : modulus_(modulus) {}
  Status Open(KeyedStore& store) {
    WEIR_ASSIGN_OR_RETURN(count_, ValueState<int64_t>::Register(store, "count"));
    return absl::OkStatus();
  }
  Status Process(const int64_t& value, ProcessContext<Row>& context) {
    WEIR_ASSIGN_OR_RETURN(auto before, count_.Get(context.key()));
    WEIR_RETURN_IF_ERROR(count_.Set(context.key(), before.value_or(0) + 1));
    context.Emit({value % modulus_, before.value_or(0) + 1});
    return absl::OkStatus();
  }

 private:
  const int64_t modulus_;
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

// The two as stages of a job.
inline SourceSpec<int64_t> Numbers(std::shared_ptr<Shared> shared, int64_t first = 0) {
  return {.make = [shared, first] { return std::make_unique<NumberSource>(shared, first); }};
}
inline SinkSpec<Row> Collect(std::shared_ptr<Shared> shared) {
  return {.make = [shared] { return std::make_unique<CollectSink>(shared); }};
}

// numbers -> count of each key -> collect, named "count".
inline BuiltJob CountJob(std::shared_ptr<Shared> shared, int64_t keys) {
  JobBuilder builder("count");
  builder.From("numbers", Numbers(shared))
      .KeyBy([keys](const int64_t& v) { return v % keys; })
      .Process<Row>("count", CountPerKey(keys))
      .To("collect", Collect(shared));
  return *builder.Build();
}

// Runs a job on the numbers, made by the test in its constructor.
class NumberJobTest : public ::testing::Test {
 protected:
  explicit NumberJobTest(std::string job_name, Duration checkpoint_interval = Milliseconds(10)) {
    options_.data_dir = dir_ / "data";
    options_.identity.job_name = std::move(job_name);
    options_.checkpoint_interval = checkpoint_interval;
  }

  // At a parallelism, with a data folder of its own, and nothing committed before.
  LocalJobResult RunAfresh(int parallelism, bool encode_edges = false) {
    shared_->committed.clear();
    options_.data_dir =
        dir_ / ("data-" + std::to_string(parallelism) + (encode_edges ? "-encoded" : ""));
    options_.parallelism = parallelism;
    options_.encode_edges = encode_edges;
    return Run();
  }
  LocalJobResult Run() {
    auto local = LocalJob::Prepare(job_, options_, *env_);
    WEIR_CHECK(local.ok());
    running_ = local->get();
    LocalJobResult result =
        (*local)->Run({nullptr, [this](const LogLine& line) { log_ += line.message; }});
    running_ = nullptr;
    return result;
  }

  void StopAtTheFirstCommit() {
    shared_->hold_end = true;
    shared_->on_commit = [this] {
      if (LocalJob* job = running_) job->RequestStop();
    };
  }
  void LetItEnd() {
    shared_->on_commit = nullptr;
    shared_->hold_end = false;
  }

  // Every key has every count from 1 to its number of rows exactly once (CountPerKey).
  void ExpectExactlyOnce(const std::map<int64_t, int64_t>& rows_of_key) {
    std::map<int64_t, std::vector<int64_t>> counts;
    for (const auto& [handle, rows] : shared_->committed) {
      for (const auto& [key, count] : rows) counts[key].push_back(count);
    }
    ASSERT_EQ(counts.size(), rows_of_key.size());
    for (auto& [key, seen] : counts) {
      std::sort(seen.begin(), seen.end());
      std::vector<int64_t> wanted(rows_of_key.at(key));
      std::iota(wanted.begin(), wanted.end(), 1);
      ASSERT_EQ(seen, wanted) << "key " << key;
    }
  }
  // The same for a job that counts all numbers of one source, each once.
  void ExpectExactlyOnce(int64_t keys) {
    std::map<int64_t, int64_t> rows_of_key;
    for (int64_t key = 0; key < keys; ++key) {
      rows_of_key[key] = kSplits * shared_->per_split / keys;
    }
    ExpectExactlyOnce(rows_of_key);
  }

  TempDir dir_;
  LocalJobOptions options_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  BuiltJob job_;
  Environment* env_ = &RealEnvironment();
  std::atomic<LocalJob*> running_ = nullptr;
  std::string log_;
};

}  // namespace weir::testing
