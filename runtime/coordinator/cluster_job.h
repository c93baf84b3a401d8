// ClusterJob: one job of a coordinator. Its JobMaster decides; this keeps what must survive, has
// the executors started on workers, and passes on what they say.
//
// Lives on the coordinator's event loop: all calls and callbacks there. Made when a job has been
// submitted or was found in the store; from Begin() on it runs, until ended().
//
// After a restart of the coordinator Begin() takes the attempt up that was running: its executors
// connect again within limits::kReattachMax, or count as lost.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/environment.h"
#include "jobs/graph.h"
#include "runtime/checkpoint/checkpoint_writer.h"
#include "runtime/coordinator/job_master.h"
#include "runtime/coordinator/worker_table.h"
#include "runtime/event_loop.h"
#include "runtime/folder_claims.h"
#include "runtime/log.h"
#include "state/checkpoint_store.h"
#include "state/object_store.h"
#include "weir/runtime/cluster.pb.h"

namespace weir {

class ClusterJob final : private JobMaster::Host {
 public:
  // What a job takes of its coordinator. Calls return at once and call nothing back, but for Save.
  class Cluster {
   public:
    virtual ~Cluster() = default;
    virtual WorkerTable& workers() = 0;
    // Durable when it returns.
    virtual Status Save(const std::string& job_id, const runtime::ClusterJob& job) = 0;
    virtual void SendToWorker(const std::string& worker, const runtime::ToWorker& message) = 0;
    virtual void SendToExecutor(uint64_t session, const runtime::ToExecutor& message) = 0;
    virtual void CloseSession(uint64_t session) = 0;
    virtual std::string checkpoints() const = 0;  // the folder
    virtual void Log(const LogLine& line) = 0;
  };

  // DataLoss if what was kept cannot be read. All references must outlive it.
  static StatusOr<std::unique_ptr<ClusterJob>> Make(runtime::ClusterJob kept, Environment& env,
                                                    EventLoop& loop, Cluster& cluster);
  ~ClusterJob() override;

  const std::string& id() const { return record_.job_id; }
  const JobRecord& record() const { return record_; }
  const runtime::ClusterJob& kept() const { return kept_; }
  const JobGraph& graph() const { return graph_; }
  CheckpointStore& store() { return store_; }
  bool ended() const { return record_.state != RunState::kRunning; }
  bool running_on(const std::string& worker) const;
  // Ids of the workers that run it.
  std::vector<std::string> workers() const;
  // Of the attempt: who runs this subtask of every stage; empty: nobody.
  std::string worker_of(int subtask) const;
  JobStatus status() const;
  Timestamp last_checkpoint_at() const { return last_checkpoint_at_; }  // 0: none since it began

  // Once: runs it, unless it has ended before. An error is why it cannot run; then it is FAILED.
  Status Begin();
  // Does what is due; returns when to call next, at the latest.
  int64_t Tick(int64_t now_micros);

  // What its executors' connections say. False: it is none of this job's, or of an old attempt.
  bool OnHello(uint64_t session, const runtime::ExecutorHello& hello);
  void OnMessage(int executor, const runtime::ToCoordinator& message);
  void OnClosed(int executor, uint64_t session, const Status& why);
  // What their worker says. A worker that is lost takes its executors with it.
  void OnExecutorEnded(const runtime::ExecutorEnded& ended);
  void OnWorkerLost(const std::string& worker, const Status& why);
  // A worker that has come (back): what it runs.
  void OnWorkerJoined(const std::string& worker, const std::vector<runtime::ExecutorRef>& running);
  // It is to run nothing there any more, behind a checkpoint.
  void LeaveWorker();

  // Wishes are durable when these return OK, and none where they do not; FailedPrecondition for a
  // job that has ended.
  Status Cancel();
  Status Stop(bool drain, std::string* savepoint);  // the operation's id; empty: none is made
  Status TakeSavepoint(std::string* savepoint);
  Status Rescale(int parallelism);
  const runtime::Savepoint* FindSavepoint(const std::string& id) const;

 private:
  struct Member {
    std::string part;
    WorkerTable::Share share;
    uint64_t session = 0;  // 0: it has not said Hello, or is lost
    bool hello = false;    // it has said Hello
    std::string address;
    bool canceled = false;  // said so
    bool over = false;      // lost, or gone after it said Canceled
    int64_t deadline = 0;   // of what it is to do next; 0: none
    std::string late;       // what it has not done by then
  };

  ClusterJob(runtime::ClusterJob kept, JobRecord record, JobGraph graph, Environment& env,
             EventLoop& loop, Cluster& cluster);
  int64_t Now() const { return env_.clock.MonotonicMicros(); }
  Status Save();
  Status RefuseEnded() const;
  StatusOr<JobMaster::Options> StartOptions();
  runtime::ExecutorRef RefOf(int executor) const;
  void EndOnWorker(int executor);
  // All that are left, without a word to the master.
  void EndMembers();
  // The end of a member: its slots are free, and the master is told unless it has said Canceled.
  void End(int executor, JobMaster::Loss loss, std::string log_tail = "");
  void MakeMembers();
  // For each part of the job one with each share. Takes the slots.
  void AddMembers(const std::vector<WorkerTable::Share>& shares);
  void FollowWishes(int64_t now);
  Status SaveWish(const std::function<void(runtime::ClusterJob&)>& wish);
  runtime::Savepoint& AddSavepoint(runtime::ClusterJob& job);
  static bool IsSettled(const runtime::Savepoint& savepoint);
  void ExportSavepoints();
  void Keep(size_t savepoint);
  void AfterEnd();
  int64_t SaveEnd(int64_t now_micros);

  std::vector<int> PlaceExecutors(int parallelism) override;
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override;
  void Send(int executor, const runtime::ToExecutor& message) override;
  Status SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) override;
  void WriteManifest(Manifest manifest) override;
  void CollectGarbage(uint32_t attempts_over) override;
  void OnSavepoint(CheckpointId checkpoint) override;
  void OnAttemptFailed(uint32_t attempt, const Status& why) override;
  void Log(const LogLine& line) override;

  runtime::ClusterJob kept_;
  JobRecord record_;
  const JobGraph graph_;
  const std::vector<std::string> parts_;  // of the graph
  Environment& env_;
  EventLoop& loop_;
  Cluster& cluster_;
  LocalObjectStore objects_;
  CheckpointStore store_;
  CheckpointWriter checkpoints_;
  FolderClaims claims_;

  std::vector<WorkerTable::Share> placed_;  // for the attempt to come
  std::vector<Member> members_;             // of the attempt; index is the executor's
  std::string last_log_tail_;               // of the member that was lost first
  std::string lost_worker_;
  Timestamp last_checkpoint_at_ = 0;
  bool after_end_ = false;             // what follows the end has been done
  bool unsaved_ = false;               // what was saved last could not be
  int64_t save_again_at_ = 0;          // once the job has ended
  std::unique_ptr<JobMaster> master_;  // where the job has ended, for its totals alone
  // What is posted does nothing once this is gone.
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace weir
