// JobMaster: the coordinator's part in one job. Brings it through deployment, checkpoints, failures
// and its end.
//
// A state machine: messages, outcomes and the passing of time in; messages and effects out, through
// Host. It owns no thread, socket, clock or file, and all calls come from one thread.
//
//   Placing      until there is room for its executors
//   Starting     executors are being started, or come back to a coordinator that was away
//   Deploying    tasks are made and restored, the restored checkpoint's handles committed
//   Recovering   sinks clean up what other attempts left
//   Running
//   Canceling    the attempt is being ended; what follows is a restart or the end
//   Waiting      until the next attempt
//   Ended
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/limits.h"
#include "jobs/graph.h"
#include "runtime/checkpoint/checkpoint_coordinator.h"
#include "runtime/checkpoint/checkpoint_way.h"
#include "runtime/coordinator/task_report.h"
#include "runtime/execution_plan.h"
#include "runtime/job_status.h"
#include "runtime/log.h"
#include "state/job_record.h"
#include "state/manifest.h"
#include "weir/runtime/messages.pb.h"

namespace weir {

class JobMaster {
 public:
  // What the state machine asks for. Calls return at once, but for SaveRecord.
  class Host {
   public:
    virtual ~Host() = default;
    // How many of so many subtasks each executor of a part is to run in the next attempt; alike for
    // every part of the job. Empty: there is no room for all of them now; asked again a little
    // later.
    virtual std::vector<int> PlaceExecutors(int parallelism) = 0;
    // Makes the executors of a new attempt, as they were placed: those of the first part, then
    // those of the next (ExecutionPlan::parts). What is left of an earlier attempt is ended.
    // Answered by OnExecutorsStarted, or by OnExecutorLost.
    virtual void StartExecutors(uint32_t attempt, const std::vector<int>& shares) = 0;
    virtual void Send(int executor, const runtime::ToExecutor& message) = 0;
    // Durable when it returns. Who never calls Reattach() need not keep the attempt's state.
    virtual Status SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) = 0;
    // Answered by OnManifestOutcome.
    virtual void WriteManifest(Manifest manifest) = 0;
    // Answered by OnGarbageCollected. No checkpoint is taken meanwhile: what executors upload for
    // one would be garbage until its manifest stands. Attempts up to `attempts_over` are over: what
    // they have not finished nobody will.
    virtual void CollectGarbage(uint32_t attempts_over) = 0;
    // A savepoint, or what a stop has saved, is complete and committed: to be kept for ever.
    virtual void OnSavepoint(CheckpointId /*checkpoint*/) {}
    // Why an attempt has ended, however it goes on.
    virtual void OnAttemptFailed(uint32_t /*attempt*/, const Status& /*why*/) {}
    // For people: what happened, with all it is about but the job.
    virtual void Log(const LogLine& line) = 0;
  };

  struct ReloadableContent {
    std::string resource;  // its name in the job's identity
    std::string bytes;
  };
  struct Options {
    int parallelism = 1;
    Duration checkpoint_interval = limits::kCheckpointIntervalDefault;
    // Attempts without a completed checkpoint between them; none: however often, for who runs
    // unattended and waits for what is outside (a disk, a server) to come back.
    std::optional<int> restarts_max = limits::kRestartsMax;
    // What the first attempt starts from; later ones start from the last checkpoint.
    std::optional<Manifest> restore;
    // Take back what was committed after `restore`, because the start goes back on purpose.
    bool revoke = false;
    // The reloadable resources as the builder read them, by stage. Where `restore` has others,
    // those are in force until the first barrier.
    std::map<std::string, ReloadableContent> resources;
    // What the record is to say once the first attempt has opened, and so fits its checkpoint.
    JobIdentity identity;
  };

  JobMaster(const JobGraph& graph, JobRecord record, Options options, Host& host);

  void Start(int64_t now_micros);
  // Instead of Start(), where the coordinator itself has started again: goes on with the attempt
  // that runs, if its executors come back; else as with one that was lost. `attempt` is what was
  // saved last, with the record; Options::restore the last checkpoint that is complete.
  // OnExecutorsStarted or OnExecutorLost tell who has come back: until then the executors do what
  // they were told, and what they are told twice they answer again.
  void Reattach(const runtime::AttemptState& attempt, int64_t now_micros);
  // The addresses by which the executors of the attempt reach each other.
  void OnExecutorsStarted(uint32_t attempt, const std::vector<std::string>& addresses);
  // An executor that will say nothing more, whatever the reason; once for each.
  struct Loss {
    Status why;
    std::string crash;  // what it left if it crashed, as the crash handler words it; else empty
    bool by_itself = false;  // nobody here ended it
  };
  void OnExecutorLost(uint32_t attempt, int executor, const Loss& loss, int64_t now_micros);
  void OnMessage(int executor, const runtime::ToCoordinator& message, int64_t now_micros);
  // OK: the store has the manifest. Else it has not, for certain, and the status tells why.
  void OnManifestOutcome(CheckpointId checkpoint, const Status& status);
  void OnGarbageCollected(int64_t now_micros);
  // Stops with a checkpoint, of which OnSavepoint tells; the job ends as SUSPENDED.
  void RequestStop(int64_t now_micros);
  // The sources end where they are, and the job as FINISHED.
  void RequestDrain(int64_t now_micros);
  // Ends as CANCELED, without a checkpoint.
  void RequestCancel(int64_t now_micros);
  // A checkpoint of which OnSavepoint tells.
  void RequestSavepoint(int64_t now_micros);
  // Ends the attempt with a checkpoint and starts the next one behind it: at another parallelism,
  // or only placed anew. Nothing is read twice.
  void Rescale(int parallelism, int64_t now_micros);
  // Resources that have changed and that their stages take: in force behind the next barrier, which
  // is not long in coming. False: they are what is or will be in force.
  bool Reload(const std::map<std::string, std::string>& contents, int64_t now_micros);
  // A change that a stage does not take, or that cannot be read. What is in force stays.
  void OnReloadRefused(const std::vector<std::string>& stages, const Status& why);
  // Does what is due; returns when to call next, at the latest.
  int64_t Tick(int64_t now_micros);

  bool ended() const { return phase_ == Phase::kEnded; }
  JobStatus status(int64_t now_micros) const;

 private:
  enum class Phase {
    kCreated,
    kPlacing,
    kStarting,
    kDeploying,
    kRecovering,
    kRunning,
    kCanceling,
    kWaiting,
    kEnded
  };

  runtime::ToExecutor Message() const;
  Status SaveRecord();
  static Status RecordFailure(const Status& saved);
  runtime::AttemptState AttemptState() const;
  void StartAttempt(int64_t now_micros);
  // What is forgotten between two attempts.
  void ResetAttempt(int64_t now_micros);
  // The attempt has been waited for and runs (again).
  void OnRunning(int64_t now_micros);
  void OnTaskOpened(const runtime::TaskOpened& opened);
  void OnAck(const runtime::CheckpointAck& ack, int64_t now_micros);
  void OnCommitted(int executor, const runtime::Committed& committed);
  void OnCommitFinished(const runtime::CommitFinished& finished, int64_t now_micros);
  // There is an attempt that executors may have something to say of.
  bool has_attempt() const {
    return phase_ != Phase::kCreated && phase_ != Phase::kPlacing && phase_ != Phase::kEnded;
  }
  int executors() const { return static_cast<int>(shares_.size() * plan_.parts.size()); }
  // The one that has subtask 0 of all sinks.
  int sinks_executor() const;
  bool writing_manifest() const {
    return checkpoints_ != nullptr &&  // as it is before the first attempt
           checkpoints_->phase() == CheckpointCoordinator::Phase::kWriting;
  }
  void OnFailure(const Status& failure);
  void OnCanceled(int executor, int64_t now_micros);
  void SendToAll(const runtime::ToExecutor& message);
  void Log(LogLine line) const;
  void OnNotice(int executor, const runtime::Notice& notice) const;
  void OnProgress(const runtime::TaskProgress& progress, int64_t now_micros);
  void TriggerCheckpoint(BarrierKind kind, int64_t now_micros);
  void SendTrigger();
  void SendCommit();
  void SendDrain();
  void MaybeTrigger(int64_t now_micros);
  Manifest MakeManifest() const;
  // Ends the attempt; `after` says as what the job ends, nullopt: it restarts.
  // In a while, longer with each failure in a row.
  void TryAgain(int64_t now_micros);
  void CancelAttempt(std::optional<RunState> after);
  void CollectGarbage(uint32_t attempts_over);
  void End(RunState state);
  void FillOperators(JobStatus& status) const;
  // Barriers to come carry the newest resources.
  void ActivateResources(CheckpointId checkpoint);
  void RecordResources();

  const JobGraph& graph_;
  const Options options_;
  Host& host_;

  JobRecord record_;
  int parallelism_;  // of the next attempt
  Phase phase_ = Phase::kCreated;
  // Of the attempt.
  ExecutionPlan plan_;
  std::vector<int> shares_;     // subtasks of each executor of a part
  CheckpointId triggered_ = 0;  // the last checkpoint of this attempt
  BarrierKind triggered_kind_ = BarrierKind::kCheckpoint;
  std::unique_ptr<CheckpointCoordinator> checkpoints_;  // of the attempt
  CheckpointWay way_;                                   // of the last checkpoint
  std::set<int> committed_;  // executors, of the checkpoint whose handles are being committed
  runtime::FinishCommit finish_commit_;
  std::set<int> canceled_;  // executors that the attempt has no more
  std::set<TaskId> opened_;
  std::set<TaskId> finished_;
  bool stop_requested_ = false;
  bool drain_requested_ = false;
  bool savepoint_requested_ = false;
  bool savepoint_under_way_ = false;  // triggered, and not yet told: another attempt takes it anew
  bool restart_requested_ = false;    // behind a checkpoint, as Rescale() says
  bool collecting_ = false;
  bool reattached_ = false;  // the attempt was begun by a coordinator that was here before

  // The last completed checkpoint, and the counters it holds.
  CheckpointId restored_ = 0;  // what this attempt started from; 0: nothing
  bool revoke_ = false;
  CheckpointId last_completed_ = 0;
  std::map<std::string, StageCounters> completed_counters_;  // the job's, by stage
  std::map<std::string, StageCounters> base_counters_;       // as this attempt found them
  std::map<std::string, StageCounters> pending_counters_;    // of the manifest being written

  ResourceVersion completed_resources_;                  // of the last completed checkpoint
  ResourceVersion resources_;                            // behind the last barrier of this attempt
  std::map<std::string, std::string> wanted_resources_;  // by stage: the newest that were taken

  std::optional<RunState> after_cancel_;
  bool cause_known_ = false;  // of the attempt's failure: an executor was lost
  Status failure_;
  int restarts_ = 0;           // of this run
  int restarts_in_a_row_ = 0;  // without a checkpoint between them
  int64_t restart_at_ = 0;

  std::map<TaskId, TaskReport> task_progress_;
  JobStatus status_;
};

}  // namespace weir
