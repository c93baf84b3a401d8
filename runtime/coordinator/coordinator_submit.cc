// Coordinator: how a job comes to be. A submission is checked on the loop, described by a child
// process off it, and made durable on the loop again.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "core/limits.h"
#include "runtime/checkpoint/going_back.h"
#include "runtime/coordinator/coordinator.h"
#include "runtime/coordinator/job_describer.h"
#include "runtime/secrets_in_text.h"

namespace weir {

struct Coordinator::Submission {
  // State that is another job's. The checkpoint is leased until it has been copied.
  struct Beginning {
    CheckpointStore* store = nullptr;  // null: there is none
    CheckpointId checkpoint = 0;
    bool savepoint = false;
    std::string holder;                    // of the lease
    Manifest manifest;                     // of the new job's stages
    std::unique_ptr<ObjectStore> objects;  // the checkpoint's
  };

  rest::SubmitRequest request;
  Done<rest::Submitted> done;
  runtime::ClusterJob job;  // what is known of it so far
  JobRecord record;         // of a job that goes on; else empty
  CheckpointId from = 0;
  Beginning beginning;
  runtime::DescribeJob question;
  runtime::JobDescription description;  // the answer
};

namespace {

// "JOB/chk-7" or "JOB/sav-9", or a folder that ends so.
struct CheckpointName {
  std::string job;
  CheckpointId checkpoint = 0;
  bool savepoint = false;
};

StatusOr<CheckpointName> ParseFrom(std::string_view from) {
  while (from.ends_with('/')) from.remove_suffix(1);
  const Status wrong = absl::InvalidArgumentError(fmt::format(
      "--from {}: name a checkpoint as JOB/chk-7 or JOB/sav-7, or by its folder; weir checkpoints "
      "JOB shows them",
      from));
  const size_t slash = from.rfind('/');
  if (slash == std::string_view::npos) return wrong;
  std::string_view name = from.substr(slash + 1);
  std::string_view job = from.substr(0, slash);
  if (const size_t before = job.rfind('/'); before != std::string_view::npos) {
    job = job.substr(before + 1);
  }
  CheckpointName parsed;
  parsed.job = job;
  parsed.savepoint = name.starts_with("sav-");
  if (!parsed.savepoint && !name.starts_with("chk-")) return wrong;
  name.remove_prefix(4);
  const auto [end, error] =
      std::from_chars(name.data(), name.data() + name.size(), parsed.checkpoint);
  if (error != std::errc() || end != name.data() + name.size() || parsed.checkpoint == 0) {
    return wrong;
  }
  return parsed;
}

Status CheckRequest(const rest::SubmitRequest& request) {
  if (!IsSha256(request.library_sha256())) {
    return absl::InvalidArgumentError("library_sha256 is no SHA-256: 64 hexadecimal digits");
  }
  for (const rest::Resource& resource : request.resources()) {
    if (IsSha256(resource.sha256())) continue;
    return absl::InvalidArgumentError(
        fmt::format("the sha256 of resource '{}' is none", resource.name()));
  }
  if (request.parallelism() > limits::kParallelismMax) {
    return absl::InvalidArgumentError(
        fmt::format("the parallelism is between 1 and {}", limits::kParallelismMax));
  }
  const double interval = request.checkpoint_interval_seconds();
  if (!(interval >= 0 && interval <= 1e9)) {
    return absl::InvalidArgumentError("checkpoint_interval_seconds is between 0 and a billion");
  }
  return absl::OkStatus();
}

// What is to be true where a job goes back to checkpoint `from`.
Status CheckGoingBack(const JobRecord& record, const JobGraph& graph, CheckpointId from,
                      CheckpointId committed, const rest::SubmitRequest& request) {
  const auto misplaced =
      FindMisplacedSink(record, graph, request.drop_state() && committed <= from);
  if (misplaced) {
    return absl::FailedPreconditionError(
        fmt::format("{}: keep the place, or submit it as a new job", misplaced->why));
  }
  const std::string sinks = SinksThatCannotRevoke(graph);
  if (committed <= from || sinks.empty() || request.accept_duplicates()) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format(
      "--from goes back behind checkpoint {}, but sink {} cannot take back what was put out after "
      "checkpoint {}, and nothing has been changed. To go back all the same, add "
      "--accept-duplicates: those rows then come out again",
      committed, sinks, from));
}

}  // namespace

void Coordinator::SubmitJob(const rest::SubmitRequest& request, Done<rest::Submitted> done) {
  auto submission = std::make_shared<Submission>();
  submission->request = request;
  submission->done = std::move(done);
  loop_.Post([this, alive = alive_, submission] {
    if (!*alive) {
      return submission->done(absl::UnavailableError("the coordinator is shutting down"));
    }
    if (Status prepared = PrepareSubmission(*submission); !prepared.ok()) {
      return submission->done(prepared);
    }
    OnIo(
        submission, [this, submission] { return Describe(*submission); },
        [this, submission] {
          const Status admitted = Admit(*submission);
          if (!admitted.ok()) return submission->done(admitted);
          if (submission->beginning.store == nullptr) return submission->done(Place(*submission));
          OnIo(
              submission, [this, submission] { return TakeOver(*submission); },
              [this, submission] { submission->done(Place(*submission)); });
        });
  });
}

// Does `work` on the I/O pool and goes on with `then` on the loop; an error is the answer.
void Coordinator::OnIo(const std::shared_ptr<Submission>& submission, std::function<Status()> work,
                       std::function<void()> then) {
  io_.Submit([this, alive = alive_, submission, work = std::move(work), then = std::move(then)] {
    Status done = work();
    loop_.Post([alive, submission, done = std::move(done), then = std::move(then)] {
      if (!*alive) {
        return submission->done(absl::UnavailableError("the coordinator is shutting down"));
      }
      if (!done.ok()) return submission->done(done);
      then();
    });
  });
}

Status Coordinator::PrepareSubmission(Submission& submission) {
  const rest::SubmitRequest& request = submission.request;
  WEIR_RETURN_IF_ERROR(CheckRequest(request));
  runtime::ClusterJob& job = submission.job;
  runtime::ExecutorStart& start = *submission.question.mutable_start();
  // A new job's name, and so its id, is known when it has been described; until then any unknown
  // one is as good.
  start.set_job_id(NewJobId("submission", env_.random));
  if (!request.from().empty()) {
    WEIR_ASSIGN_OR_RETURN(const CheckpointName from, ParseFrom(request.from()));
    WEIR_ASSIGN_OR_RETURN(ClusterJob * before, FindJob(from.job));
    if (!before->ended()) {
      return absl::FailedPreconditionError(
          fmt::format("job {} still runs: stop it first (weir stop {})", from.job, from.job));
    }
    if (before->record().IsSuperseded(from.checkpoint)) {
      return absl::OutOfRangeError(fmt::format(
          "--from {}: an earlier --from went back behind this checkpoint, and what it had "
          "committed was taken back; choose an older checkpoint or a newer one",
          request.from()));
    }
    if (from.savepoint) {
      const Status taken = before->store().TakeUpSavepoint(from.checkpoint);
      if (absl::IsNotFound(taken) || absl::IsDataLoss(taken)) return taken;
      if (!taken.ok()) {
        return CannotStore(taken, "take up the savepoint of " + request.from(),
                           options_.checkpoints);
      }
    }
    job = before->kept();
    submission.record = before->record();
    submission.from = from.checkpoint;
    start.set_job_id(from.job);
    submission.question.set_restore_from(before->store().Location(from.checkpoint));
  }
  if (request.has_beginning()) WEIR_RETURN_IF_ERROR(PrepareBeginning(submission));
  submission.question.set_drop_state(request.drop_state());
  job.clear_resources();
  for (const rest::Resource& resource : request.resources()) {
    runtime::ResourceRef& ref = *job.add_resources();
    ref.set_name(resource.name());
    ref.set_path(resource.path());
    ref.set_sha256(resource.sha256());
  }
  job.clear_parameters();
  for (const auto& [name, value] : request.parameters()) (*job.mutable_parameters())[name] = value;
  job.set_parallelism(std::max(1u, request.parallelism()));
  job.set_checkpoint_interval_micros(
      static_cast<int64_t>(request.checkpoint_interval_seconds() * 1e6));
  start.set_library_sha256(request.library_sha256());
  *start.mutable_parameters() = job.parameters();
  return absl::OkStatus();
}

Status Coordinator::PrepareBeginning(Submission& submission) {
  const rest::SubmitRequest& request = submission.request;
  if (!request.from().empty()) {
    return absl::InvalidArgumentError(
        "`from` goes on with a job, `beginning` is for a new one: give one of them");
  }
  if (!IsSha256(request.beginning().manifest_sha256())) {
    return absl::InvalidArgumentError("beginning.manifest_sha256 is no SHA-256");
  }
  WEIR_ASSIGN_OR_RETURN(const CheckpointName name, ParseFrom(request.beginning().checkpoint()));
  WEIR_ASSIGN_OR_RETURN(ClusterJob * other, FindJob(name.job));
  submission.beginning.store = &other->store();
  submission.beginning.checkpoint = name.checkpoint;
  submission.beginning.savepoint = name.savepoint;
  submission.beginning.holder = submission.question.start().job_id();
  return absl::OkStatus();
}

// On the I/O pool.
Status Coordinator::OpenBeginning(Submission& submission) {
  Submission::Beginning& beginning = submission.beginning;
  CheckpointStore& store = *beginning.store;
  if (!beginning.savepoint) {
    const Status leased = store.Lease(beginning.checkpoint, beginning.holder, limits::kLeaseMax);
    if (absl::IsNotFound(leased)) return leased;
    if (!leased.ok()) {
      return CannotStore(leased, fmt::format("lease checkpoint {}", beginning.checkpoint),
                         options_.checkpoints);
    }
  }
  WEIR_ASSIGN_OR_RETURN(
      NamedCheckpoint named,
      OpenCheckpointFolder(env_, beginning.savepoint ? store.SavepointLocation(beginning.checkpoint)
                                                     : store.Location(beginning.checkpoint)));
  StatusOr<std::string> bytes = blobs_.Read(submission.request.beginning().manifest_sha256());
  if (!bytes.ok()) return Annotate(bytes.status(), "the beginning's manifest has not been sent");
  StatusOr<Manifest> manifest = Manifest::Parse(*bytes, "beginning");
  if (!manifest.ok()) return absl::InvalidArgumentError(std::string(manifest.status().message()));
  // They become names of files.
  const std::set<std::string> there = named.manifest.Contents();
  for (const std::string& content : manifest->Contents()) {
    if (there.contains(content)) continue;
    return absl::InvalidArgumentError(
        fmt::format("the beginning lists a file that {} has not", named.location));
  }
  beginning.manifest = *std::move(manifest);
  beginning.objects = std::move(named.objects);
  submission.question.set_restore_manifest(*std::move(bytes));
  return absl::OkStatus();
}

// On the I/O pool.
Status Coordinator::TakeOver(Submission& submission) {
  Submission::Beginning& beginning = submission.beginning;
  LocalObjectStore objects(env_, options_.checkpoints);
  CheckpointStore store(objects, env_, CheckpointStoreOptions{submission.record.job_id});
  beginning.manifest.job_name = submission.record.identity.job_name;
  const StatusOr<Manifest> taken =
      store.TakeOver(std::move(beginning.manifest), beginning.objects->Location("files"));
  // If that fails the lease ends by itself.
  if (!beginning.savepoint) {
    beginning.store->Lease(beginning.checkpoint, beginning.holder, 0).IgnoreError();
  }
  if (taken.ok()) return absl::OkStatus();
  return CannotStore(taken.status(), "take over a checkpoint", options_.checkpoints);
}

// On the I/O pool.
Status Coordinator::Describe(Submission& submission) {
  if (submission.beginning.store != nullptr) WEIR_RETURN_IF_ERROR(OpenBeginning(submission));
  runtime::DescribeJob& question = submission.question;
  const runtime::ClusterJob& job = submission.job;
  runtime::ExecutorStart& start = *question.mutable_start();
  StatusOr<std::string> library = blobs_.Find(start.library_sha256());
  if (!library.ok()) return Annotate(library.status(), "the job's library has not been sent");
  start.set_library(*library);
  for (const runtime::ResourceRef& resource : job.resources()) {
    StatusOr<std::string> bytes = blobs_.Read(resource.sha256());
    if (!bytes.ok()) {
      return Annotate(bytes.status(), fmt::format("'{}' has not been sent", resource.name()));
    }
    runtime::ResourceFile& file = *start.add_resources();
    file.set_name(resource.name());
    file.set_path(resource.path());
    file.set_content(*std::move(bytes));
  }
  std::string said;
  StatusOr<runtime::JobDescription> answer = DescribeInChild(options_.program, question, said);
  if (!said.empty()) {
    LogLine line("the process that builds the job wrote: " + said);
    line.job = start.job_id();
    line.flood = "builders that write";
    HideParameters(job.parameters(), line.message);
    Log(line);
  }
  WEIR_ASSIGN_OR_RETURN(submission.description, std::move(answer));
  return absl::OkStatus();
}

// Whether it may run, and as what.
Status Coordinator::Admit(Submission& submission) {
  const runtime::JobDescription& description = submission.description;
  WEIR_ASSIGN_OR_RETURN(const JobGraph graph, JobGraph::Parse(description.graph()));
  JobRecord& record = submission.record;
  if (submission.from != 0) {
    const auto before = jobs_.find(record.job_id);
    if (before == jobs_.end() || !before->second->ended()) {
      return absl::FailedPreconditionError(
          fmt::format("job {} has been started by somebody else meanwhile", record.job_id));
    }
    record.last_checkpoint =
        std::max<CheckpointId>(record.last_checkpoint, description.last_committed());
    const CheckpointId committed =
        std::max<CheckpointId>(record.last_completed, description.last_committed());
    WEIR_RETURN_IF_ERROR(
        CheckGoingBack(record, graph, submission.from, committed, submission.request));
    record.crashes = 0;  // whoever starts on purpose has seen to them
  } else {
    record.job_id = NewJobId(description.job_name(), env_.random);
    record.created = env_.clock.Now();
    if (submission.beginning.store != nullptr) record.last_checkpoint = 1;
  }
  record.state = RunState::kRunning;
  record.failure.clear();
  record.updated = env_.clock.Now();
  record.identity.job_name = description.job_name();
  record.identity.library_sha256 = submission.request.library_sha256();
  record.identity.parameters = {submission.request.parameters().begin(),
                                submission.request.parameters().end()};
  record.identity.resources.clear();
  for (const runtime::ResourceRef& resource : submission.job.resources()) {
    record.identity.resources[resource.name()] = resource.sha256();
  }
  return absl::OkStatus();
}

StatusOr<rest::Submitted> Coordinator::Place(Submission& submission) {
  runtime::ClusterJob& job = submission.job;
  const JobRecord& record = submission.record;
  job.set_record(record.Serialize());
  job.set_start_from(submission.from);
  job.set_started(false);
  job.set_wish(runtime::WISH_RUN);
  job.clear_attempt();
  *job.mutable_description() = std::move(submission.description);
  WEIR_RETURN_IF_ERROR(Save(record.job_id, job));
  WEIR_ASSIGN_OR_RETURN(std::unique_ptr<ClusterJob> made,
                        ClusterJob::Make(std::move(job), env_, loop_, *this));
  ClusterJob& placed = *(jobs_[record.job_id] = std::move(made));
  LogLine line("submitted");
  line.job = record.job_id;
  Log(line);
  for (const std::string& lost : placed.kept().description().would_drop()) {
    line = LogLine::Warning(fmt::format("--drop-state: {}", lost));
    line.job = record.job_id;
    Log(line);
  }
  if (Status begun = placed.Begin(); !begun.ok()) {
    if (submission.from == 0) {  // it was never there
      jobs_.erase(record.job_id);
      begun.Update(store_->Remove(std::string(kJobPrefix) + record.job_id));
    }
    return begun;
  }
  rest::Submitted submitted;
  submitted.set_id(record.job_id);
  return submitted;
}

}  // namespace weir
