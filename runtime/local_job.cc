#include "runtime/local_job.h"

#include <fmt/format.h>

#include <algorithm>

#include "runtime/checkpoint/checkpoint_fit.h"
#include "runtime/checkpoint/going_back.h"
#include "runtime/crash_handler.h"
#include "runtime/data_folder.h"
#include "runtime/secrets_in_text.h"
#include "runtime/worker/memory_plan.h"

namespace weir {
namespace {

int ExecutorsOf(const LocalJobOptions& options) {
  return std::clamp(options.workers, 1, options.parallelism);
}

}  // namespace

LocalJob::LocalJob(const BuiltJob& job, LocalJobOptions options, Environment& env)
    : job_(job),
      options_(std::move(options)),
      env_(env),
      watcher_(job, env),
      loop_(env.clock),
      io_(env.io) {
  start_.parallelism = options_.parallelism;
  start_.checkpoint_interval = options_.checkpoint_interval;
  start_.restarts_max = options_.restarts_max;
  start_.identity = options_.identity;
  for (size_t s = 0; s < job_.stages.size(); ++s) {
    if (!job_.stages[s].reloadable) continue;
    start_.resources[job_.graph.stages[s].name] = {job_.stages[s].reloadable->resource,
                                                   job_.stages[s].reloadable->bytes};
  }
}

LocalJob::~LocalJob() = default;

StatusOr<std::unique_ptr<LocalJob>> LocalJob::Prepare(const BuiltJob& job, LocalJobOptions options,
                                                      Environment& env) {
  const int executors = ExecutorsOf(options);
  const int subtasks = (options.parallelism + executors - 1) / executors;
  const std::vector<std::string> parts = job.graph.Parts();
  for (const std::string& part : parts) {
    WEIR_RETURN_IF_ERROR(PlanMemory(job.graph, subtasks, options.memory_bytes, part).status());
  }
  if (parts.size() > 1 && options.workers == 0) {
    return absl::InvalidArgumentError(
        "the parts of this job run in executors of their own, as with --workers 1");
  }
  std::unique_ptr<LocalJob> local(new LocalJob(job, std::move(options), env));
  WEIR_ASSIGN_OR_RETURN(local->lock_, LockDataFolder(env, local->options_.data_dir));
  WEIR_RETURN_IF_ERROR(local->ChooseStart());
  return local;
}

Status LocalJob::UseRecord(JobRecord record) {
  record_ = std::move(record);
  store_ =
      std::make_unique<CheckpointStore>(*objects_, env_, CheckpointStoreOptions{record_.job_id});
  WEIR_RETURN_IF_ERROR(CountCrash());
  // Before anything is written, so that a wrong configuration changes nothing.
  const bool done =
      record_.state == RunState::kFinished && !options_.fresh && options_.from.empty();
  return done ? absl::OkStatus() : CheckStages();
}

std::string LocalJob::CrashFile() const {
  return JobRecords(env_.disk, options_.data_dir).FolderOf(record_.job_id) + "/crash";
}

// Takes what the last attempt left if it crashed into the record.
Status LocalJob::CountCrash() {
  StatusOr<std::string> left = ReadCrashFile(env_.disk, CrashFile());
  if (absl::IsNotFound(left.status())) return absl::OkStatus();
  WEIR_RETURN_IF_ERROR(left.status());
  // A file that is still there after it was counted is not counted again.
  if (record_.CountCrash(*std::move(left))) {
    WEIR_RETURN_IF_ERROR(SaveRecord(record_));
    warnings_.push_back(fmt::format("attempt {} crashed ({} in a row without a checkpoint): {}",
                                    record_.attempt, record_.crashes, record_.crash));
  }
  return env_.disk.Remove(CrashFile());
}

Status LocalJob::CheckCrashes() {
  if (!record_.CrashedTooOften()) return absl::OkStatus();
  WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> checkpoints, store_->List());
  std::erase_if(checkpoints, [this](CheckpointId id) { return record_.IsSuperseded(id); });
  const std::string way_on =
      checkpoints.empty() ? "there is no checkpoint yet, so start it with --fresh"
                          : fmt::format(
                                "start it with --from {}, which takes another library and other "
                                "parameters; --fresh starts over",
                                store_->Location(checkpoints.back()));
  return absl::AbortedError(fmt::format(
      "{} has crashed {} times in a row without a checkpoint between, and is not started again by "
      "itself. The last crash: {}. Mend the code or the input of that stage, then {}",
      record_.job_id, record_.crashes, record_.crash, way_on));
}

Status LocalJob::ChooseStart() {
  objects_ = std::make_unique<LocalObjectStore>(env_, options_.data_dir + "/checkpoints");
  WEIR_ASSIGN_OR_RETURN(std::vector<JobRecord> records,
                        JobRecords(env_.disk, options_.data_dir).LoadAll());
  if (!options_.from.empty()) return StartFrom(records);

  auto unfinished = [](const JobRecord& r) { return r.unfinished(); };
  auto same = [&](const JobRecord& r) { return Comparable(r) == options_.identity; };
  auto found = std::find_if(records.begin(), records.end(), same);
  if (found == records.end()) {
    found = std::find_if(records.begin(), records.end(), unfinished);
    if (found != records.end() && !options_.fresh) return RefuseOtherIdentity(*found);
  }
  if (found == records.end() && options_.fresh && !records.empty()) {
    // Another finished run: what it committed is taken back where this job's sinks find it.
    found = std::prev(records.end());
  }
  if (found == records.end()) {
    JobRecord record;
    record.job_id = NewJobId(options_.identity.job_name, env_.random);
    record.identity = options_.identity;
    record.created = env_.clock.Now();
    WEIR_RETURN_IF_ERROR(UseRecord(std::move(record)));
    return options_.beginning == nullptr ? absl::OkStatus() : TakeBeginning();
  }
  WEIR_RETURN_IF_ERROR(UseRecord(*found));
  if (options_.fresh) return GoBack(0);
  if (found->state == RunState::kFinished) {
    already_finished_ = true;
    return absl::OkStatus();
  }
  WEIR_RETURN_IF_ERROR(CheckCrashes());
  return ResumeFromNewest();
}

Status LocalJob::TakeBeginning() {
  Manifest manifest = options_.beginning->manifest;
  WEIR_RETURN_IF_ERROR(CheckFits(manifest));
  manifest.job_name = options_.identity.job_name;
  WEIR_ASSIGN_OR_RETURN(
      start_.restore,
      store_->TakeOver(std::move(manifest), options_.beginning->objects->Location("files")));
  record_.last_checkpoint = start_.restore->checkpoint;
  return absl::OkStatus();
}

// Names no way on that would be refused in its turn.
Status LocalJob::RefuseOtherIdentity(const JobRecord& unfinished) {
  record_ = unfinished;
  store_ =
      std::make_unique<CheckpointStore>(*objects_, env_, CheckpointStoreOptions{record_.job_id});
  const auto misplaced = FindMisplacedSink(record_, job_.graph, false);
  WEIR_ASSIGN_OR_RETURN(const bool untouched, NothingCommitted());
  std::vector<std::string> ways;
  WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> checkpoints, store_->List());
  std::erase_if(checkpoints, [this](CheckpointId id) { return record_.IsSuperseded(id); });
  if (!misplaced && !checkpoints.empty()) {
    const StatusOr<Manifest> newest = store_->LoadManifest(checkpoints.back());
    if (newest.ok() && CheckFits(*newest).ok()) {
      ways.push_back(fmt::format("--from {} starts this job from that run's last checkpoint",
                                 store_->Location(checkpoints.back())));
    }
  }
  if (untouched) {
    ways.push_back("--fresh starts over, and that run has committed nothing yet");
  } else if (!misplaced) {
    ways.push_back(
        fmt::format("--fresh{} starts over and moves what it committed to .revoked/",
                    SinksThatCannotRevoke(job_.graph).empty() ? "" : " --accept-duplicates"));
  } else {
    ways.push_back(
        fmt::format("--data with another folder runs this job beside it, for {}", misplaced->why));
  }
  ways.push_back("the command as it was goes on with that run");
  return absl::FailedPreconditionError(fmt::format(
      "{} holds an unfinished run, {}, of another identity ({}). Ways on: {}", options_.data_dir,
      record_.job_id, fmt::join(Differences(Comparable(record_), options_.identity), "; "),
      fmt::join(ways, "; ")));
}

Status LocalJob::ResumeFromNewest() {
  WEIR_ASSIGN_OR_RETURN(
      CheckpointStore::Newest newest,
      store_->NewestVerified([this](CheckpointId id) { return !record_.IsSuperseded(id); }));
  std::vector<std::string> skipped;
  for (const auto& [checkpoint, why] : newest.skipped) {
    skipped.push_back(fmt::format("checkpoint {}: {}", checkpoint, std::string(why.message())));
  }
  const CheckpointId sound = newest.manifest ? newest.manifest->checkpoint : 0;
  WEIR_ASSIGN_OR_RETURN(const CheckpointId committed, LastCommitted());
  if (committed > std::max(sound, newest.skipped.empty() ? 0 : newest.skipped[0].checkpoint)) {
    // Not even its manifest is left, but what it committed is there.
    skipped.insert(skipped.begin(), fmt::format("checkpoint {} was complete and is gone: {}",
                                                committed, store_->Location(committed)));
  }
  if (!newest.manifest) {
    if (skipped.empty()) {  // the run had come to none, or died on its way back to its start
      start_.revoke = record_.MustRevokeAfter(0);
      return absl::OkStatus();
    }
    return absl::DataLossError(fmt::format(
        "no checkpoint of {} can be verified: {}. Put the files back, or start over with --fresh{}",
        record_.job_id, fmt::join(skipped, "; "),
        SinksThatCannotRevoke(job_.graph).empty() ? "" : " --accept-duplicates"));
  }
  WEIR_RETURN_IF_ERROR(CheckFits(*newest.manifest));
  if (!skipped.empty()) {
    WEIR_RETURN_IF_ERROR(CheckSinksRevoke(sound, fmt::format("{}", fmt::join(skipped, "; "))));
    warnings_.push_back(fmt::format("{}; going back to checkpoint {}", fmt::join(skipped, "; "),
                                    newest.manifest->checkpoint));
    start_.revoke = true;
  }
  start_.revoke |= record_.MustRevokeAfter(newest.manifest->checkpoint);
  start_.restore = *std::move(newest.manifest);
  return absl::OkStatus();
}

Status LocalJob::StartFrom(std::vector<JobRecord>& records) {
  StatusOr<NamedCheckpoint> named = OpenCheckpointFolder(env_, options_.from);
  if (!named.ok()) return Annotate(named.status(), fmt::format("--from {}", options_.from));
  const Manifest& manifest = named->manifest;
  auto found = std::find_if(records.begin(), records.end(),
                            [&](const JobRecord& r) { return r.job_id == manifest.job_id; });
  if (found != records.end()) {
    WEIR_RETURN_IF_ERROR(UseRecord(*found));
    found = store_->LoadManifest(manifest.checkpoint).ok() ? found : records.end();
  }
  if (found == records.end()) {
    return absl::FailedPreconditionError(fmt::format(
        "--from {}: the checkpoint is not of the data folder {}; name its own with --data",
        options_.from, options_.data_dir));
  }
  if (record_.IsSuperseded(manifest.checkpoint)) {
    // Its own handles could be committed again, but not those of the checkpoints before it.
    return absl::OutOfRangeError(fmt::format(
        "--from {}: an earlier --from or --fresh went back behind this checkpoint, and what it had "
        "committed was taken back; choose an older checkpoint or a newer one",
        options_.from));
  }
  WEIR_RETURN_IF_ERROR(CheckFits(manifest));
  WEIR_RETURN_IF_ERROR(GoBack(manifest.checkpoint));
  start_.restore = std::move(named->manifest);
  return absl::OkStatus();
}

// On purpose: what later checkpoints committed will be taken back, by the sinks that can.
Status LocalJob::GoBack(CheckpointId target) {
  WEIR_ASSIGN_OR_RETURN(const CheckpointId committed, LastCommitted());
  WEIR_ASSIGN_OR_RETURN(const bool untouched, NothingCommitted());
  // A sink that is gone need not take anything back where nothing was committed later.
  const auto misplaced =
      FindMisplacedSink(record_, job_.graph, options_.drop_state && committed <= target);
  if (misplaced && !untouched) {
    return absl::FailedPreconditionError(fmt::format(
        "{}: keep the place, or choose another data folder with --data", misplaced->why));
  }
  if (committed > target) {
    WEIR_RETURN_IF_ERROR(CheckSinksRevoke(
        target, fmt::format("{} goes back behind checkpoint {}",
                            target == 0 ? "--fresh" : "--from " + options_.from, committed)));
  }
  start_.revoke = true;
  record_.crashes = 0;  // whoever starts on purpose has seen to them
  return absl::OkStatus();
}

// Neither now nor behind a way back that was interrupted.
StatusOr<bool> LocalJob::NothingCommitted() {
  WEIR_ASSIGN_OR_RETURN(const CheckpointId committed, LastCommitted());
  return committed == 0 && !record_.MustRevokeAfter(0);
}

// The highest checkpoint that may have committed something that is still there, as far as the
// record, the store and the sinks know.
StatusOr<CheckpointId> LocalJob::LastCommitted() {
  WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> found, store_->List());
  found.push_back(record_.last_completed);
  for (size_t s = 0; s < job_.stages.size(); ++s) {
    if (!job_.stages[s].last_committed) continue;
    StatusOr<CheckpointId> last =
        job_.stages[s].last_committed(env_, record_.job_id, job_.graph.stages[s].name);
    if (!last.ok()) {
      return Annotate(last.status(), fmt::format("stage '{}'", job_.graph.stages[s].name));
    }
    found.push_back(*last);
  }
  CheckpointId committed = 0;
  for (CheckpointId checkpoint : found) {
    // A record that was put back from a copy knows less than it used to: no number is used twice.
    record_.last_checkpoint = std::max(record_.last_checkpoint, checkpoint);
    if (!record_.IsSuperseded(checkpoint)) committed = std::max(committed, checkpoint);
  }
  return committed;
}

// Going back to `target` (0: the start) is right only where every sink takes back what it put out
// later.
Status LocalJob::CheckSinksRevoke(CheckpointId target, std::string_view why) {
  const std::string sinks = SinksThatCannotRevoke(job_.graph);
  if (sinks.empty()) return absl::OkStatus();
  const std::string behind = target == 0
                                 ? "what was put out"
                                 : fmt::format("what was put out after checkpoint {}", target);
  if (!options_.accept_duplicates) {
    return absl::DataLossError(fmt::format(
        "{}; the way on is {}, but sink {} cannot take back {}, and nothing has been changed. To "
        "go back all the same, add --accept-duplicates: those rows then come out again",
        why, target == 0 ? "to start over" : fmt::format("from checkpoint {}", target), sinks,
        behind));
  }
  warnings_.push_back(
      fmt::format("--accept-duplicates: sink {} cannot take back {}, so those rows "
                  "may come out again",
                  sinks, behind));
  return absl::OkStatus();
}

Status LocalJob::CheckFits(const Manifest& manifest) {
  WEIR_ASSIGN_OR_RETURN(const CheckpointFit fit, FitCheckpoint(manifest, job_));
  WEIR_RETURN_IF_ERROR(fit.Check(manifest.checkpoint, options_.drop_state));
  for (const std::string& lost : fit.Dropped()) {
    warnings_.push_back(fmt::format("--drop-state: {}", lost));
  }
  return absl::OkStatus();
}

Status LocalJob::CheckStages() {
  WEIR_ASSIGN_OR_RETURN(claims_, FolderClaims::Take(job_, record_.job_id, env_));
  for (size_t s = 0; s < job_.stages.size(); ++s) {
    if (!job_.stages[s].check) continue;
    Status status = job_.stages[s].check(env_, record_.job_id);
    if (status.ok()) continue;
    // Whatever is wrong here is for the user to mend, a path, a permission, a folder; but for a
    // server that is not there, and a disk that is full.
    const bool unreachable =
        absl::IsUnavailable(status) && !job_.stages[s].reads && job_.stages[s].writes.empty();
    const bool keep = unreachable || absl::IsResourceExhausted(status);
    return Status(
        keep ? status.code() : absl::StatusCode::kFailedPrecondition,
        fmt::format("stage '{}': {}", job_.graph.stages[s].name, std::string(status.message())));
  }
  return absl::OkStatus();
}

JobStatus LocalJob::StatusNow() const {
  JobStatus status = master_->status(env_.clock.MonotonicMicros());
  status.memory_budget_bytes = options_.memory_bytes;
  return status;
}

LocalJobResult LocalJob::Run(const Observer& observer) {
  LocalJobResult result;
  if (already_finished_) {
    result.already_finished = true;
    result.state = RunState::kFinished;
    // Its totals are in its last checkpoint.
    StatusOr<std::vector<CheckpointId>> checkpoints = store_->List();
    if (checkpoints.ok() && !checkpoints->empty()) {
      StatusOr<Manifest> last = store_->LoadManifest(checkpoints->back());
      if (last.ok()) start_.restore = *std::move(last);
    }
    master_ = std::make_unique<JobMaster>(job_.graph, record_, start_,
                                          static_cast<JobMaster::Host&>(*this));
    result.status = StatusNow();
    result.status.state = std::string(ToString(RunState::kFinished));
    return result;
  }
  observer_ = &observer;
  SetCrashFile(CrashFile());
  const int64_t started = env_.clock.MonotonicMicros();
  master_ = std::make_unique<JobMaster>(job_.graph, record_, start_,
                                        static_cast<JobMaster::Host&>(*this));
  checkpoints_ = std::make_unique<CheckpointWriter>(*store_, env_, loop_);
  StatusOr<std::unique_ptr<ExecutorPool>> executors = MakeExecutors();
  if (!executors.ok()) {
    result.status = StatusNow();
    result.status.failure = executors.status();
    return result;
  }
  executors_ = *std::move(executors);
  for (const std::string& warning : warnings_) Log(LogLine::Warning(warning));
  loop_.Post([this] { master_->Start(env_.clock.MonotonicMicros()); });
  int64_t next_progress = started;
  loop_.Run([&]() -> int64_t {
    const int64_t now = env_.clock.MonotonicMicros();
    if (now >= next_progress) {
      // Not at every tick: progress is itself posted to the loop, which would then never sleep.
      executors_->AskProgress();
      if (observer.progress) observer.progress(StatusNow());
      next_progress = now + limits::kProgressInterval;
    }
    int64_t next_tick = master_->Tick(now);
    if (master_->ended()) loop_.Stop();
    if (!watcher_.empty()) {
      if (now >= next_look_) LookAtResources(false);
      next_tick = std::min(next_tick, next_look_);
    }
    return std::min(next_tick, next_progress);
  });
  executors_.reset();
  checkpoints_->Wait();
  io_.WaitUntilIdle();
  SetCrashFile("");
  result.status = StatusNow();
  result.state = record_.state;
  result.elapsed_s = (env_.clock.MonotonicMicros() - started) / 1e6;
  observer_ = nullptr;
  return result;
}

void LocalJob::RequestStop() {
  loop_.Post([this] {
    if (master_ != nullptr) master_->RequestStop(env_.clock.MonotonicMicros());
  });
}

void LocalJob::RequestDrain() {
  loop_.Post([this] {
    if (master_ != nullptr) master_->RequestDrain(env_.clock.MonotonicMicros());
  });
}

Status LocalJob::SaveRecord(const JobRecord& record, const runtime::AttemptState&) {
  return SaveRecord(record);
}

Status LocalJob::SaveRecord(const JobRecord& record) {
  record_ = record;
  record_.updated = env_.clock.Now();
  return JobRecords(env_.disk, options_.data_dir).Save(record_);
}

void LocalJob::WriteManifest(Manifest manifest) {
  checkpoints_->WriteManifest(std::move(manifest),
                              [this](CheckpointId checkpoint, const Status& outcome) {
                                master_->OnManifestOutcome(checkpoint, outcome);
                              });
}

void LocalJob::CollectGarbage(uint32_t attempts_over) {
  checkpoints_->CollectGarbage(record_, attempts_over, [this](const Status& status) {
    // Garbage that stays costs room, not truth; the next checkpoint tries again.
    if (!status.ok()) Log(LogLine::Warning(std::string(status.message())));
    master_->OnGarbageCollected(env_.clock.MonotonicMicros());
  });
}

void LocalJob::Log(const LogLine& line) {
  if (observer_ == nullptr || !observer_->log) return;
  LogLine complete = line;
  complete.job = record_.job_id;
  if (complete.attempt == 0) complete.attempt = record_.attempt;
  HideParameters(record_.identity.parameters, complete.message);
  observer_->log(complete);
}

}  // namespace weir
