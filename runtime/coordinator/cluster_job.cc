#include "runtime/coordinator/cluster_job.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "core/check.h"
#include "core/limits.h"
#include "runtime/blob_store.h"
#include "runtime/secrets_in_text.h"

namespace weir {
namespace {

constexpr Duration kSaveAgainDelay = Seconds(1);

}  // namespace

StatusOr<std::unique_ptr<ClusterJob>> ClusterJob::Make(runtime::ClusterJob kept, Environment& env,
                                                       EventLoop& loop, Cluster& cluster) {
  WEIR_ASSIGN_OR_RETURN(JobRecord record, JobRecord::Parse(kept.record(), "a job's record"));
  WEIR_ASSIGN_OR_RETURN(JobGraph graph, JobGraph::Parse(kept.description().graph()));
  return std::unique_ptr<ClusterJob>(
      new ClusterJob(std::move(kept), std::move(record), std::move(graph), env, loop, cluster));
}

ClusterJob::ClusterJob(runtime::ClusterJob kept, JobRecord record, JobGraph graph, Environment& env,
                       EventLoop& loop, Cluster& cluster)
    : kept_(std::move(kept)),
      record_(std::move(record)),
      graph_(std::move(graph)),
      parts_(graph_.Parts()),
      env_(env),
      loop_(loop),
      cluster_(cluster),
      objects_(env, cluster.checkpoints()),
      store_(objects_, env, CheckpointStoreOptions{record_.job_id}),
      checkpoints_(store_, env, loop) {}

ClusterJob::~ClusterJob() { *alive_ = false; }

Status ClusterJob::Save() {
  kept_.set_record(record_.Serialize());
  Status saved = cluster_.Save(id(), kept_);
  unsaved_ = !saved.ok();
  return saved;
}

Status ClusterJob::SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) {
  record_ = record;
  record_.updated = env_.clock.Now();
  *kept_.mutable_attempt() = attempt;
  if (!std::exchange(placed_, {}).empty()) {  // the attempt that begins
    kept_.set_started(true);
    kept_.clear_placement();
    std::string secret;
    for (int i = 0; i < 2; ++i) secret += fmt::format("{:016x}", env_.random.Next());
    kept_.set_secret(secret);
    for (size_t i = 0; i < members_.size() / parts_.size(); ++i) {
      kept_.add_placement(members_[i].share.worker);
    }
  }
  return Save();
}

StatusOr<JobMaster::Options> ClusterJob::StartOptions() {
  JobMaster::Options options;
  options.parallelism = static_cast<int>(kept_.parallelism());
  options.checkpoint_interval = kept_.checkpoint_interval_micros();
  options.identity = record_.identity;
  options.restarts_max = std::nullopt;
  for (const runtime::ReloadableFile& file : kept_.description().reloadable()) {
    options.resources[file.stage()] = {file.resource(), file.content()};
  }
  CheckpointId from = kept_.started() ? 0 : kept_.start_from();
  if (from != 0) {
    options.revoke = true;
  } else {
    WEIR_ASSIGN_OR_RETURN(std::vector<CheckpointId> found, store_.List());
    std::erase_if(found, [&](CheckpointId checkpoint) { return record_.IsSuperseded(checkpoint); });
    if (!found.empty()) from = found.back();
    options.revoke = record_.MustRevokeAfter(from);
  }
  if (from == 0) return options;
  WEIR_ASSIGN_OR_RETURN(options.restore, store_.LoadManifest(from));
  store_.Adopt(*options.restore);
  return options;
}

Status ClusterJob::Begin() {
  StatusOr<JobMaster::Options> options = StartOptions();
  Status begun = options.status();
  if (begun.ok() && !ended()) {
    const auto& writes = kept_.description().writes();
    StatusOr<FolderClaims> claims = FolderClaims::Hold({writes.begin(), writes.end()}, id(), env_);
    begun = claims.status();
    if (begun.ok()) claims_ = *std::move(claims);
  }
  if (!begun.ok() && !ended()) {
    record_.state = RunState::kFailed;
    record_.failure = std::string(begun.message());
    begun.Update(Save());
  }
  if (!options.ok()) options = JobMaster::Options();  // there are no totals any more
  master_ = std::make_unique<JobMaster>(graph_, record_, *std::move(options),
                                        static_cast<JobMaster::Host&>(*this));
  if (ended()) {
    after_end_ = true;
    ExportSavepoints();
    return begun;
  }
  const int64_t now = Now();
  if (!kept_.started() || kept_.attempt().attempt() != record_.attempt) {
    master_->Start(now);
  } else {
    MakeMembers();
    for (Member& member : members_) {
      member.deadline = now + limits::kReattachMax;
      member.late = "did not come back to the coordinator";
    }
    master_->Reattach(kept_.attempt(), now);
  }
  FollowWishes(now);
  return absl::OkStatus();
}

// What was asked of a coordinator that was here before.
void ClusterJob::FollowWishes(int64_t now) {
  switch (kept_.wish()) {
    case runtime::WISH_STOP:
      return master_->RequestStop(now);
    case runtime::WISH_DRAIN:
      return master_->RequestDrain(now);
    case runtime::WISH_CANCEL:
      return master_->RequestCancel(now);
    default:
      break;
  }
  const auto& shares = kept_.attempt().shares();
  const uint32_t parallelism = std::accumulate(shares.begin(), shares.end(), 0u);
  if (kept_.started() && parallelism != kept_.parallelism()) {
    master_->Rescale(static_cast<int>(kept_.parallelism()), now);
  }
  ExportSavepoints();
}

int64_t ClusterJob::Tick(int64_t now_micros) {
  if (after_end_) return SaveEnd(now_micros);
  for (size_t i = 0; i < members_.size(); ++i) {
    Member& member = members_[i];
    if (member.over || member.deadline == 0 || now_micros < member.deadline) continue;
    EndOnWorker(static_cast<int>(i));
    End(static_cast<int>(i), {.why = absl::DeadlineExceededError(member.late)});
  }
  const int64_t next = master_->Tick(now_micros);
  if (!ended()) return next;
  after_end_ = true;
  AfterEnd();
  return SaveEnd(now_micros);
}

// Nobody else saves it any more, and a coordinator that starts again would run the job again.
int64_t ClusterJob::SaveEnd(int64_t now_micros) {
  if (unsaved_ && now_micros >= save_again_at_) {
    save_again_at_ = now_micros + kSaveAgainDelay;
    if (Save().ok()) Log("the job's end is saved");
  }
  return unsaved_ ? save_again_at_ : kMaxTimestamp;
}

// The master has ended: nothing of the job runs, and its folders are free for others.
void ClusterJob::AfterEnd() {
  EndMembers();
  claims_ = FolderClaims();
  LogLine line(fmt::format("{}{}", ToString(record_.state),
                           record_.failure.empty() ? "" : ": " + record_.failure));
  if (record_.state == RunState::kFailed) line.level = LogLevel::kError;
  Log(line);
  ExportSavepoints();
}

JobStatus ClusterJob::status() const {
  JobStatus status = master_->status(Now());
  if (ended()) {
    status.state = std::string(ToString(record_.state));
    if (!record_.failure.empty()) status.failure = absl::UnknownError(record_.failure);
  }
  return status;
}

bool ClusterJob::running_on(const std::string& worker) const {
  return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
    return !member.over && member.share.worker == worker;
  });
}

std::vector<std::string> ClusterJob::workers() const {
  std::set<std::string> workers;
  for (const Member& member : members_) {
    if (!member.over) workers.insert(member.share.worker);
  }
  return {workers.begin(), workers.end()};
}

std::string ClusterJob::worker_of(int subtask) const {
  for (const Member& member : members_) {
    if (subtask < member.share.subtasks) return member.over ? "" : member.share.worker;
    subtask -= member.share.subtasks;
  }
  return "";
}

void ClusterJob::WriteManifest(Manifest manifest) {
  checkpoints_.WriteManifest(std::move(manifest),
                             [this](CheckpointId checkpoint, const Status& outcome) {
                               if (outcome.ok()) last_checkpoint_at_ = env_.clock.Now();
                               master_->OnManifestOutcome(checkpoint, outcome);
                             });
}

void ClusterJob::CollectGarbage(uint32_t attempts_over) {
  checkpoints_.CollectGarbage(record_, attempts_over, [this](const Status& status) {
    // Garbage that stays costs room, not truth; the next checkpoint tries again.
    if (!status.ok()) Log(LogLine::Warning(std::string(status.message())));
    master_->OnGarbageCollected(Now());
  });
}

void ClusterJob::OnAttemptFailed(uint32_t attempt, const Status& why) {
  runtime::JobFailure& failure = *kept_.add_failures();
  failure.set_at(env_.clock.Now());
  failure.set_attempt(attempt);
  failure.set_worker(std::exchange(lost_worker_, ""));
  failure.set_message(std::string(why.message()));
  failure.set_log_tail(std::exchange(last_log_tail_, ""));
  if (kept_.failures_size() > limits::kJobFailuresKept) {
    kept_.mutable_failures()->DeleteSubrange(0, kept_.failures_size() - limits::kJobFailuresKept);
  }
  // Saved with the next attempt, or with the job's end.
}

void ClusterJob::Log(const LogLine& line) {
  LogLine complete = line;
  complete.job = id();
  if (complete.attempt == 0) complete.attempt = record_.attempt;
  HideParameters(kept_.parameters(), complete.message);
  cluster_.Log(complete);
}

}  // namespace weir
