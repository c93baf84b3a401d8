// LocalJob: a cluster of its own on this machine for one job, until the job ends: the coordinator
// in this process, and with it the one executor, or several in processes of their own. What `weir
// run` is made of.
//
// A data folder belongs to one process at a time:
//   <data>/lock                   held while it runs
//   <data>/jobs/<job>/job.pb      the job's record: identity, state, attempt
//   <data>/jobs/<job>/crash       what the last attempt left if it crashed, until the next start
//   <data>/checkpoints/<job>/     its checkpoints
//   <data>/work/<job>/            local state of the running attempt; of no use afterwards
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "jobs/built_job.h"
#include "runtime/checkpoint/checkpoint_writer.h"
#include "runtime/coordinator/job_master.h"
#include "runtime/event_loop.h"
#include "runtime/executor_pool.h"
#include "runtime/executor_processes.h"
#include "runtime/folder_claims.h"
#include "runtime/job_status.h"
#include "runtime/log.h"
#include "runtime/resource_watcher.h"
#include "runtime/worker/counting_io_pool.h"
#include "state/checkpoint_store.h"
#include "state/job_record.h"
#include "state/object_store.h"

namespace weir {

struct LocalJobOptions {
  std::string data_dir = "./weir-data";
  JobIdentity identity;
  int parallelism = 1;
  // How many processes run the job, at most one for each subtask, and how to start one; 0: all runs
  // in this process. `executors` needs the program, and of `start` the library, its hash,
  // parameters and resources.
  int workers = 0;
  ExecutorProcessOptions executors;
  Duration checkpoint_interval = limits::kCheckpointIntervalDefault;  // 0: none but the last
  // State that was another job's, for a job that has no record yet: a checkpoint with this job's
  // stages, and where its files are, "files/<content>". Null: none.
  struct Beginning {
    Manifest manifest;
    std::unique_ptr<ObjectStore> objects;
  };
  std::shared_ptr<const Beginning> beginning;
  std::string from;    // a checkpoint folder; empty: the last checkpoint, if there is one
  bool fresh = false;  // start over, take back what was committed
  bool accept_duplicates = false;  // go back though a sink cannot take back what it put out
  bool drop_state = false;         // restore though some of the checkpoint's state would be lost
  int restarts_max = limits::kRestartsMax;
  bool encode_edges = false;
  Duration stall_max = 0;  // as Executor::Options has it; of executors in processes the limit
  size_t memory_bytes = limits::kMemoryBytesDefault;
};

struct LocalJobResult {
  RunState state = RunState::kFailed;
  JobStatus status;
  double elapsed_s = 0;
  bool already_finished = false;  // a finished run of the same identity; nothing was done
};

class LocalJob final : private JobMaster::Host {
 public:
  struct Observer {
    std::function<void(const JobStatus&)> progress;  // a few times a second
    std::function<void(const LogLine&)> log;
  };

  // Locks the data folder and decides where to start. The job and the environment must outlive the
  // result. The status code tells what is wrong: Unavailable (the folder is in use), OutOfRange or
  // DataLoss (the checkpoint does not fit or is damaged), Aborted (it has crashed too often),
  // anything else the configuration; the message says what to do.
  static StatusOr<std::unique_ptr<LocalJob>> Prepare(const BuiltJob& job, LocalJobOptions options,
                                                     Environment& env);
  ~LocalJob() override;

  const std::string& job_id() const { return record_.job_id; }
  // Runs the job until it ends. Called once, on the thread with which its processes end.
  LocalJobResult Run(const Observer& observer);
  // From any thread: stop with a checkpoint.
  void RequestStop();
  // From any thread: the sources end where they are; the job finishes.
  void RequestDrain();
  // From any thread: look now at the files of reloadable resources (Reloadable), which are
  // complete, rather than when the next look is due. False: the job has none.
  bool RequestReload();

 private:
  LocalJob(const BuiltJob& job, LocalJobOptions options, Environment& env);
  JobIdentity Comparable(const JobRecord& record) const;
  void LookAtResources(bool at_once);
  void OnResourceChanges(const std::vector<ResourceWatcher::Change>& changes, bool at_once);
  JobStatus StatusNow() const;
  // Finds or makes the record, and what to restore.
  Status ChooseStart();
  Status StartFrom(std::vector<JobRecord>& records);
  Status RefuseOtherIdentity(const JobRecord& unfinished);
  Status ResumeFromNewest();
  Status CheckFits(const Manifest& manifest);
  Status CheckStages();
  Status UseRecord(JobRecord record);
  // Makes options_.beginning the first checkpoint of this job.
  Status TakeBeginning();
  std::string CrashFile() const;
  Status CountCrash();
  Status CheckCrashes();
  StatusOr<CheckpointId> LastCommitted();
  StatusOr<bool> NothingCommitted();
  Status GoBack(CheckpointId target);
  Status CheckSinksRevoke(CheckpointId target, std::string_view why);

  StatusOr<std::unique_ptr<ExecutorPool>> MakeExecutors();
  std::vector<int> PlaceExecutors(int parallelism) override;
  void StartExecutors(uint32_t attempt, const std::vector<int>& shares) override;
  void Send(int executor, const runtime::ToExecutor& message) override;
  Status SaveRecord(const JobRecord& record, const runtime::AttemptState& attempt) override;
  Status SaveRecord(const JobRecord& record);
  void WriteManifest(Manifest manifest) override;
  void CollectGarbage(uint32_t attempts_over) override;
  void Log(const LogLine& line) override;

  const BuiltJob& job_;
  const LocalJobOptions options_;
  Environment& env_;
  std::unique_ptr<FileLock> lock_;
  FolderClaims claims_;
  std::unique_ptr<ObjectStore> objects_;
  std::unique_ptr<CheckpointStore> store_;
  JobRecord record_;
  bool already_finished_ = false;
  std::vector<std::string> warnings_;  // of Prepare(), told by Run()
  JobMaster::Options start_;
  ResourceWatcher watcher_;  // used on the I/O pool while looking_
  bool looking_ = false;
  bool look_again_ = false;  // at once, when the look that is under way has ended
  int64_t next_look_ = 0;

  const Observer* observer_ = nullptr;
  EventLoop loop_;
  CountingIoPool io_;  // looks at resources
  std::unique_ptr<CheckpointWriter> checkpoints_;
  std::unique_ptr<ExecutorPool> executors_;
  std::unique_ptr<JobMaster> master_;
};

}  // namespace weir
