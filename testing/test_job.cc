#include "testing/test_job.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>

#include "jobs/job_library.h"
#include "testing/job_attempt.h"
#include "testing/temp_dir.h"

namespace weir::testing {
namespace {

// By the machine's clock: how long a job may be on its way to its end.
constexpr auto kPatience = std::chrono::seconds(60);
constexpr const char* kJobId = "test-job";

Status CheckParallelism(int parallelism) {
  if (parallelism >= 1 && parallelism <= kKeyGroups) return absl::OkStatus();
  return absl::InvalidArgumentError(
      fmt::format("parallelism {} is none: 1 to {}", parallelism, kKeyGroups));
}

}  // namespace

class TestJob::Impl {
 public:
  Impl(StatusOr<BuiltJob> job, TestJobOptions options)
      : options_(std::move(options)), parallelism_(options_.parallelism) {
    clock_.now = options_.start;
    SetError(CheckParallelism(parallelism_));
    SetError(job.status());
    if (!job.ok()) return;
    job_ = *std::move(job);
    for (const EdgeSpec& edge : job_.graph.edges) {
      if (edge.port != kDeadLetterPort || dead_letters_ != nullptr) continue;
      dead_letters_ = Collect(edge.to, CodecOf(edge.to));
    }
  }

  std::shared_ptr<SourceScript> ReplaceSource(std::string_view name, const Schema& schema,
                                              const SourceOptions& options) {
    const int stage = FindReplaceable(name, StageRole::kSource, schema);
    if (stage < 0) return nullptr;
    auto script = std::make_shared<SourceScript>(CodecOf(stage), options);
    job_.stages[stage] = {.source = [script] { return std::make_unique<ScriptSource>(script); }};
    scripts_.push_back(script);
    return script;
  }

  std::shared_ptr<CollectedRows> ReplaceSink(std::string_view name, const Schema& schema) {
    const int stage = FindReplaceable(name, StageRole::kSink, schema);
    return stage < 0 ? nullptr : Collect(stage, CodecOf(stage));
  }

  Status Process() {
    WEIR_RETURN_IF_ERROR(EnsureStarted());
    return Keep(attempt_->Process());
  }

  Status Advance(Duration duration) {
    if (duration < 0) return absl::InvalidArgumentError("time does not run backwards");
    const int64_t until = clock_.now + duration;
    WEIR_RETURN_IF_ERROR(Process());
    while (true) {
      const std::optional<int64_t> next = attempt_->NextDue();
      if (!next || *next > until) break;
      clock_.now = std::max<int64_t>(clock_.now, *next);
      WEIR_RETURN_IF_ERROR(Process());
    }
    clock_.now = until;
    return Process();
  }

  Status Run() {
    WEIR_RETURN_IF_ERROR(EnsureStarted());
    for (auto& script : scripts_) script->End();
    WEIR_RETURN_IF_ERROR(Process());
    const auto since = std::chrono::steady_clock::now();
    while (!attempt_->finished()) {
      const std::optional<int64_t> next = attempt_->NextDue();
      if (!next) {
        return Keep(absl::FailedPreconditionError(
            "the job has not come to its end and waits for nothing that will come: a source that "
            "is idle for ever, or a stage that is blocked and that nobody wakes"));
      }
      if (std::chrono::steady_clock::now() - since > kPatience) {
        return Keep(absl::DeadlineExceededError(fmt::format(
            "the job has not come to its end after a minute, which was {} for it: a source that "
            "never ends cannot be run to its end",
            FormatDuration(clock_.now - options_.start))));
      }
      clock_.now = std::max<int64_t>(clock_.now, *next);
      WEIR_RETURN_IF_ERROR(Process());
    }
    if (!finished_) WEIR_RETURN_IF_ERROR(TakeCheckpoint(BarrierKind::kFinal));
    finished_ = true;
    return absl::OkStatus();
  }

  Status Checkpoint() {
    WEIR_RETURN_IF_ERROR(Process());
    return TakeCheckpoint(BarrierKind::kCheckpoint);
  }

  void Crash() {
    attempt_.reset();
    for (auto& script : scripts_) script->Detach();
  }

  Status Restore(int parallelism) {
    if (broken_) return status_;
    if (parallelism != 0) WEIR_RETURN_IF_ERROR(CheckParallelism(parallelism));
    Crash();
    if (parallelism != 0) parallelism_ = parallelism;
    status_ = absl::OkStatus();
    return Start();
  }

  std::vector<FailedRow> DeadLetters() const {
    std::vector<FailedRow> rows;
    if (dead_letters_ == nullptr) return rows;
    // By its codec, since the job may have been built in another library.
    std::string encoded;
    dead_letters_->codec().EncodeBatch(*dead_letters_->Rows(false), encoded);
    StatusOr<BatchPtr> decoded = MakeRowCodec<DeadLetter>()->DecodeBatch(CopyToSlab(encoded));
    WEIR_CHECK(decoded.ok());
    for (const DeadLetter& row : Batch<DeadLetter>::Of(std::as_const(**decoded)).values()) {
      rows.push_back({std::string(row.stage), std::string(row.error), std::string(row.record)});
    }
    return rows;
  }

  StageCounters Counters(std::string_view name) const {
    const int stage = job_.graph.FindStage(name);
    if (stage < 0) return {};
    if (attempt_ != nullptr) return attempt_->Counters(stage);
    return checkpoint_ ? checkpoint_->stages[stage].counters : StageCounters{};
  }

  const Status& status() const { return status_; }
  bool finished() const { return finished_; }
  ManualClock& clock() { return clock_; }

 private:
  // Of the rows that a source puts out or a sink takes.
  std::shared_ptr<const RowCodec> CodecOf(int stage) const {
    for (size_t e = 0; e < job_.graph.edges.size(); ++e) {
      const EdgeSpec& edge = job_.graph.edges[e];
      if ((edge.from == stage && edge.port != kDeadLetterPort) || edge.to == stage) {
        return job_.edges[e].codec;
      }
    }
    WEIR_CHECK(false);  // the builder refuses a stage that nothing reads
    return nullptr;
  }

  // -1: it cannot be replaced, and the job's status says why.
  int FindReplaceable(std::string_view name, StageRole role, const Schema& rows) {
    if (!status_.ok()) return -1;
    const std::string_view what = role == StageRole::kSource ? "source" : "sink";
    if (attempts_ > 0) {
      SetError(absl::FailedPreconditionError(
          fmt::format("{} '{}' is replaced too late: the job has begun", what, name)));
      return -1;
    }
    const int stage = job_.graph.FindStage(name);
    if (stage < 0 || job_.graph.stages[stage].role != role) {
      std::vector<std::string_view> names;
      for (const StageSpec& spec : job_.graph.stages) {
        if (spec.role == role) names.push_back(spec.name);
      }
      SetError(absl::NotFoundError(
          fmt::format("the job has no {} '{}'; it has {}", what, name, fmt::join(names, ", "))));
      return -1;
    }
    const Schema& own = CodecOf(stage)->schema();
    if (rows.ToText() == own.ToText()) return stage;
    SetError(absl::InvalidArgumentError(
        fmt::format("stage '{}' has rows of another type than the test: {} and {}", name,
                    own.ToText(), rows.ToText())));
    return -1;
  }

  std::shared_ptr<CollectedRows> Collect(int stage, std::shared_ptr<const RowCodec> codec) {
    auto rows = std::make_shared<CollectedRows>(std::move(codec));
    job_.stages[stage] = {.sink = [rows] { return std::make_unique<CollectingSink>(rows); }};
    return rows;
  }

  Status EnsureStarted() {
    if (!status_.ok()) return status_;
    return attempt_ != nullptr ? absl::OkStatus() : Start();
  }

  Status Start() {
    finished_ = false;
    const uint32_t number = ++attempts_;
    attempt_ = std::make_unique<JobAttempt>(
        JobAttempt::Options{.job = &job_,
                            .clock = &clock_,
                            .snapshots = &snapshots_,
                            .job_id = kJobId,
                            .number = number,
                            .local_dir = dir_ / fmt::format("a{}", number),
                            .parallelism = parallelism_,
                            .memory_bytes = options_.memory_bytes,
                            .encode_edges = options_.encode_edges,
                            .restored = checkpoint_});
    return Keep(attempt_->Start());
  }

  Status TakeCheckpoint(BarrierKind kind) {
    StatusOr<Manifest> manifest = attempt_->TakeCheckpoint({++last_checkpoint_, kind});
    if (manifest.ok()) checkpoint_ = *std::move(manifest);
    return Keep(manifest.status());
  }

  // What has gone wrong stays.
  Status Keep(Status status) {
    if (!status.ok()) status_ = status;
    return status;
  }
  void SetError(Status status) {
    if (status.ok() || !status_.ok()) return;
    status_ = std::move(status);
    broken_ = true;
  }

  const TestJobOptions options_;
  int parallelism_;
  BuiltJob job_;
  Status status_;
  bool broken_ = false;  // nothing mends status_
  std::vector<std::shared_ptr<SourceScript>> scripts_;
  std::shared_ptr<CollectedRows> dead_letters_;

  ManualClock clock_;
  TempDir dir_;
  MemorySnapshots snapshots_;
  std::optional<Manifest> checkpoint_;  // the last completed one
  CheckpointId last_checkpoint_ = 0;
  uint32_t attempts_ = 0;
  bool finished_ = false;
  std::unique_ptr<JobAttempt> attempt_;
};

namespace {

StatusOr<BuiltJob> RunBuilder(const TestJob::Builder& build, Parameters::Values values,
                              const TestJobOptions& options) {
  Parameters parameters(std::move(values), LocalResources(), "", PluginsIn(options.plugin_folders));
  return BuildJob("test", build, parameters);
}

StatusOr<BuiltJob> LoadAndBuild(const std::string& path, Parameters::Values values,
                                const TestJobOptions& options) {
  WEIR_ASSIGN_OR_RETURN(JobLibrary library, JobLibrary::Load(path));
  Parameters parameters(std::move(values), LocalResources(), "", PluginsIn(options.plugin_folders));
  return library.Build(parameters);
}

}  // namespace

TestJob::TestJob(const Builder& build, Parameters::Values parameters, TestJobOptions options)
    : TestJob(RunBuilder(build, std::move(parameters), options), options) {}

TestJob::TestJob(StatusOr<BuiltJob> job, TestJobOptions options)
    : impl_(std::make_unique<Impl>(std::move(job), std::move(options))) {}

TestJob TestJob::FromLibrary(const std::string& path, Parameters::Values parameters,
                             TestJobOptions options) {
  return TestJob(LoadAndBuild(path, std::move(parameters), options), options);
}

TestJob::TestJob(TestJob&&) noexcept = default;
TestJob::~TestJob() = default;

std::shared_ptr<SourceScript> TestJob::ReplaceSource(std::string_view stage, const Schema& schema,
                                                     SourceOptions options) {
  return impl_->ReplaceSource(stage, schema, options);
}
std::shared_ptr<CollectedRows> TestJob::ReplaceSink(std::string_view stage, const Schema& schema) {
  return impl_->ReplaceSink(stage, schema);
}

Status TestJob::Process() { return impl_->Process(); }
Status TestJob::Advance(Duration duration) { return impl_->Advance(duration); }
Status TestJob::Run() { return impl_->Run(); }
Status TestJob::Checkpoint() { return impl_->Checkpoint(); }
void TestJob::Crash() { impl_->Crash(); }
Status TestJob::Restore(int parallelism) { return impl_->Restore(parallelism); }
std::vector<FailedRow> TestJob::DeadLetters() const { return impl_->DeadLetters(); }
StageCounters TestJob::Counters(std::string_view stage) const { return impl_->Counters(stage); }
const Status& TestJob::status() const { return impl_->status(); }
bool TestJob::finished() const { return impl_->finished(); }
ManualClock& TestJob::clock() { return impl_->clock(); }

}  // namespace weir::testing
