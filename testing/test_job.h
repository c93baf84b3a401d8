// TestJob: a whole job on rows in memory, in virtual time, on the thread of the test.
//
//   TestJob job(Build, {{"input", "-"}, {"out", "-"}});
//   TestSource<Order> orders = job.Source<Order>("orders");
//   TestSink<Spent> spent = job.Sink<Spent>("files");
//   orders.Add({"ada", 10}, Seconds(1));
//   WEIR_ASSERT_OK(job.Run());
//   EXPECT_TRUE(SameRows({Spent{"ada", 10}}, spent.Rows()));
//
// The tasks, the operators between them, their state and their checkpoints are the real ones; only
// the sources and sinks that the test names are replaced, before the first call that makes the job
// work. Those that it does not name run as the job made them, so give them files of the test's own.
// Where the job has dead letters, they are collected.
//
// Time stands still unless the test moves it: Process() does what can be done now, Advance() lets
// time pass, timer by timer, and Run() lets as much pass as the job waits for on its way to its
// end. So the same calls do the same work in the same order each time. What must touch a disk does
// so below a folder of the job's own, which is removed with it.
//
// A job may crash and be restored in the middle, at another parallelism:
//
//   job.Checkpoint();
//   orders.Add({"bob", 5}, Seconds(2));
//   job.Process();
//   job.Crash();      // what came after the checkpoint is lost, and read again
//   job.Restore(3);
//
// Calls return what went wrong: of the builder, of a name or a type, or of the job. After a failure
// only Restore() goes on; a wrong name or builder stays wrong. Not thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jobs/job_builder.h"
#include "state/manifest.h"
#include "testing/collecting_sink.h"
#include "testing/operator_bed.h"
#include "testing/row_diff.h"
#include "testing/script_source.h"

namespace weir::testing {

struct TestJobOptions {
  int parallelism = 1;
  size_t memory_bytes = 512ull << 20;       // as `weir run --memory` has it
  Timestamp start = 1'767'225'600'000'000;  // of the clocks: 2026-01-01T00:00:00Z
  bool encode_edges = false;                // rows are encoded and decoded on every edge
  std::vector<std::string> plugin_folders;  // where Parameters::Plugins() finds them
};

// A row that some stage could not take.
struct FailedRow {
  std::string stage, error, record;
  BOOST_DESCRIBE_CLASS(FailedRow, (), (stage, error, record), (), ())
};

// What a replaced source says. A handle; outlives its job without harm.
template <class T>
class TestSource {
 public:
  TestSource(std::shared_ptr<SourceScript> script) : script_(std::move(script)) {}

  TestSource& Add(const T& row, Timestamp time) {
    if (script_ == nullptr) return *this;  // the job tells why
    Batch<T> batch;
    batch.Add(row, time);
    std::string encoded;
    codec_->EncodeBatch(batch, encoded);
    script_->AddRow(encoded);
    return *this;
  }
  // No row with a time at or below it follows; one that does is late.
  TestSource& Watermark(Timestamp time) {
    if (script_ != nullptr) script_->AddWatermark(time);
    return *this;
  }
  // What follows comes so much later, by the clock: see TestJob::Advance() and Run().
  TestSource& Wait(Duration duration) {
    if (script_ != nullptr) script_->AddWait(duration);
    return *this;
  }
  // Nothing follows. Run() says so of all sources.
  void End() {
    if (script_ != nullptr) script_->End();
  }

 private:
  std::shared_ptr<SourceScript> script_;
  std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
};

// What a replaced sink was given. A handle; what its rows point to lives as long as it does.
template <class T>
class TestSink {
 public:
  TestSink(std::shared_ptr<CollectedRows> rows) : rows_(std::move(rows)) {}

  // All rows that stand as things are: written, and not lost in a crash. In the order in which they
  // were written.
  std::vector<T> Rows() { return Take(false); }
  // Those whose checkpoint is complete.
  std::vector<T> Committed() { return Take(true); }
  // The event times of Rows().
  std::vector<Timestamp> Times() const {
    if (rows_ == nullptr) return {};
    const BatchPtr batch = rows_->Rows(false);
    return {batch->times().begin(), batch->times().end()};
  }
  // Rows() as JSON documents.
  std::vector<std::string> Json() const {
    std::vector<std::string> documents;
    if (rows_ != nullptr) AppendJson(rows_->codec(), *rows_->Rows(false), documents);
    return documents;
  }

 private:
  std::vector<T> Take(bool committed_only) {
    if (rows_ == nullptr) return {};
    std::string encoded;
    rows_->codec().EncodeBatch(*rows_->Rows(committed_only), encoded);
    StatusOr<BatchPtr> batch = codec_->DecodeBatch(CopyToSlab(encoded));
    WEIR_CHECK(batch.ok());  // the schemas are the same
    auto values = Batch<T>::Of(std::as_const(**batch)).values();
    kept_.push_back(*std::move(batch));
    return {values.begin(), values.end()};
  }

  std::shared_ptr<CollectedRows> rows_;
  std::shared_ptr<const RowCodec> codec_ = MakeRowCodec<T>();
  std::vector<BatchPtr> kept_;  // what rows that were given away point into
};

class TestJob {
 public:
  using Builder = std::function<void(JobBuilder&, Parameters&)>;

  // The job that a builder builds from these parameters. Required ones that nothing uses once
  // sources and sinks are replaced may have any value.
  explicit TestJob(const Builder& build, Parameters::Values parameters = {},
                   TestJobOptions options = {});
  // A graph that the test has built: JobBuilder::Build().
  explicit TestJob(StatusOr<BuiltJob> job, TestJobOptions options = {});
  // A job library, as `weir run` loads it.
  static TestJob FromLibrary(const std::string& path, Parameters::Values parameters = {},
                             TestJobOptions options = {});
  TestJob(TestJob&&) noexcept;
  ~TestJob();

  // Replaces a source or a sink of the job by its stage's name. The row type must be the stage's:
  // the schemas are compared.
  template <class T>
  TestSource<T> Source(std::string_view stage, SourceOptions options = {}) {
    return TestSource<T>(ReplaceSource(stage, MakeRowCodec<T>()->schema(), options));
  }
  template <class T>
  TestSink<T> Sink(std::string_view stage) {
    return TestSink<T>(ReplaceSink(stage, MakeRowCodec<T>()->schema()));
  }

  // Works until nothing is left to do at this time.
  Status Process();
  // Process(), and then as time passes, so much of it.
  Status Advance(Duration duration);
  // Ends the replaced sources and works until the job has finished: its last checkpoint is complete
  // and committed. Time passes as the job waits for it. FailedPrecondition if it waits for
  // something that does not come.
  Status Run();

  // Process(), and then a checkpoint, complete and committed.
  Status Checkpoint();
  // Ends the attempt as a kill -9 would.
  void Crash();
  // Starts the next attempt from the last checkpoint, or from the beginning if there is none; 0: at
  // the same parallelism.
  Status Restore(int parallelism = 0);

  // Rows that stages could not take, up to now, in the order in which they came.
  std::vector<FailedRow> DeadLetters() const;
  // Of a stage, since the job began, what was done again after a crash not counted twice.
  StageCounters Counters(std::string_view stage) const;
  const Status& status() const;
  bool finished() const;
  // Both clocks of the job. Moving `now` by hand lets no timer fire before the next call.
  ManualClock& clock();

 private:
  class Impl;
  std::shared_ptr<SourceScript> ReplaceSource(std::string_view stage, const Schema& schema,
                                              SourceOptions options);
  std::shared_ptr<CollectedRows> ReplaceSink(std::string_view stage, const Schema& schema);

  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::testing
