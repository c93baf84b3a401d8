// Coordinator: a cluster's head: which workers there are, which jobs run on them, and what is asked
// of both. It never loads a job's library.
//
//   <data>/lock         one coordinator at a time
//   <data>/store/       what must survive: jobs and their attempts (state/durable_map.h)
//   <data>/blobs/       libraries and resources by SHA-256
//   <checkpoints>/      checkpoints of all jobs; workers must see the same folder (by its marker)
//
// Killed and started again it finds its jobs in the store, and workers and executors, who have gone
// on meanwhile, connect anew: attempts that run go on.
//
// Everything happens on the event loop, which is the thread that calls Run(). Requests
// (ClusterApi) come from any thread.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "core/environment.h"
#include "runtime/blob_store.h"
#include "runtime/coordinator/cluster_job.h"
#include "runtime/coordinator/worker_table.h"
#include "runtime/event_loop.h"
#include "runtime/net/connection.h"
#include "runtime/net/doorkeeper.h"
#include "runtime/net/network_thread.h"
#include "runtime/rest/cluster_api.h"
#include "runtime/security/token_authority.h"
#include "runtime/worker/counting_io_pool.h"
#include "state/durable_map.h"

namespace weir {

// In the store, before a job's id.
inline constexpr std::string_view kJobPrefix = "job/";
// In the checkpoints' folder.
inline constexpr const char* kMarkerFile = "cluster-marker";

struct CoordinatorOptions {
  std::string data_dir;
  std::string checkpoints;  // a folder; empty: <data>/checkpoints
  Address rpc_listen{"127.0.0.1", 6123};
  std::string program;                     // "weir": run as `weir describe`
  std::shared_ptr<const TlsContext> tls;   // of workers and executors; null: in the clear
  std::shared_ptr<TokenAuthority> tokens;  // null: every worker that reaches it may join
  std::function<void(const LogLine& line)> log;
};

class Coordinator final : public ClusterApi, private ClusterJob::Cluster {
 public:
  // Locks the data folder, finds its jobs, begins to listen. Unavailable: the folder or the address
  // is in use.
  static StatusOr<std::unique_ptr<Coordinator>> Start(NetworkThread& network, Environment& env,
                                                      CoordinatorOptions options);
  ~Coordinator() override;

  const Address& rpc_address() const { return doorkeeper_->address(); }
  // Until Stop(). Jobs go on without it.
  void Run();
  void Stop();  // from any thread

  Status Ready() override;
  void ListJobs(Done<rest::JobList> done) override;
  void GetJob(const std::string& job, Done<rest::Job> done) override;
  void SubmitJob(const rest::SubmitRequest& request, Done<rest::Submitted> done) override;
  void GetSubmission(const std::string& job, Done<rest::Submission> done) override;
  void CancelJob(const std::string& job, Done<rest::Job> done) override;
  void StopJob(const std::string& job, const rest::StopRequest& request,
               Done<rest::SavepointOperation> done) override;
  void TriggerSavepoint(const std::string& job, const rest::SavepointRequest& request,
                        Done<rest::SavepointOperation> done) override;
  void GetSavepoint(const std::string& job, const std::string& operation,
                    Done<rest::SavepointOperation> done) override;
  void RescaleJob(const std::string& job, const rest::RescaleRequest& request,
                  Done<rest::Job> done) override;
  void ListCheckpoints(const std::string& job, Done<rest::CheckpointList> done) override;
  void LeaseCheckpoint(const std::string& job, const rest::LeaseRequest& request,
                       Done<rest::CheckpointLease> done) override;
  void ListExceptions(const std::string& job, Done<rest::ExceptionList> done) override;
  void ListWorkers(Done<rest::WorkerList> done) override;
  void TakeSnapshot(Done<rest::Snapshot> done) override;
  void PutBlob(const std::string& sha256, std::string bytes, Done<rest::Blob> done) override;
  void FindBlob(const std::string& sha256, Done<rest::Blob> done) override;
  void ReadBlob(const std::string& sha256, Done<std::string> done) override;

 private:
  // A connection that has said Hello: of a worker, or of an executor.
  struct Session {
    std::unique_ptr<Connection> connection;
    std::string worker;  // its id, once it has joined or is about to
    bool joined = false;
    WorkerInfo info;  // of a worker that is about to join
    std::vector<runtime::ExecutorRef> running;
    std::string job;  // of an executor
    int executor = -1;
  };
  struct Submission;

  Coordinator(NetworkThread& network, Environment& env, CoordinatorOptions options);
  Status Open();
  Status MakeMarker();
  Status RecoverJobs();
  int64_t Tick();

  StatusOr<Connection::Callbacks> Greet(const Frame& first,
                                        std::unique_ptr<Connection>& connection);
  void OnArrival(uint64_t id, const Frame& hello);
  void OnFrame(uint64_t session, const Frame& frame);
  void OnClosed(uint64_t session, const Status& why);
  void OnExecutorHello(uint64_t id, Session& session, const runtime::ExecutorHello& hello);
  Status MayJoin(const std::string& token) const;
  void OnWorkerHello(uint64_t id, Session& session, const runtime::WorkerHello& hello);
  void OnWorkerMessage(uint64_t id, Session& session, const runtime::FromWorker& message);
  void OnJoined(uint64_t id, Session& session);
  void OnNeedBlob(uint64_t session, const std::string& sha256);
  void SendGoodbyes();
  // Answers a connection that is not taken, and ends it when that has been sent.
  void Refuse(uint64_t id, const std::string& why);
  void SendTo(uint64_t session, const google::protobuf::MessageLite& message);

  rest::Worker WorkerView(const WorkerInfo& worker) const;
  StatusOr<ClusterJob*> FindJob(const std::string& id);
  Status PrepareSubmission(Submission& submission);
  Status PrepareBeginning(Submission& submission);
  void OnIo(const std::shared_ptr<Submission>& submission, std::function<Status()> work,
            std::function<void()> then);
  Status OpenBeginning(Submission& submission);
  Status Describe(Submission& submission);
  Status Admit(Submission& submission);
  Status TakeOver(Submission& submission);
  StatusOr<rest::Submitted> Place(Submission& submission);
  // What a disk of the coordinator has refused, for who has asked for it: no fault of theirs.
  // ResourceExhausted: it is full; else Unavailable.
  static Status CannotStore(const Status& why, std::string_view what, const std::string& folder);
  // On the I/O pool.
  StatusOr<rest::CheckpointLease> LeaseOf(CheckpointStore& store, const JobRecord& record,
                                          const rest::LeaseRequest& request);
  // Runs `work` on the loop and gives its result to `done`.
  template <class T>
  void Ask(Done<T> done, std::function<StatusOr<T>()> work);

  WorkerTable& workers() override { return workers_; }
  Status Save(const std::string& job_id, const runtime::ClusterJob& job) override;
  void SendToWorker(const std::string& worker, const runtime::ToWorker& message) override;
  void SendToExecutor(uint64_t session, const runtime::ToExecutor& message) override;
  void CloseSession(uint64_t session) override;
  std::string checkpoints() const override { return options_.checkpoints; }
  void Log(const LogLine& line) override { options_.log(line); }

  NetworkThread& network_;
  Environment& env_;
  CoordinatorOptions options_;
  EventLoop loop_;
  CountingIoPool io_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<DurableMap> store_;
  BlobStore blobs_;
  std::string marker_content_;  // of kMarkerFile
  WorkerTable workers_;
  std::map<std::string, std::unique_ptr<ClusterJob>> jobs_;  // by id
  std::map<uint64_t, Session> sessions_;
  std::vector<std::unique_ptr<Connection>> closing_;  // what was sent to them is on its way
  std::atomic<bool> ready_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  // What the network thread shares: connections that are not in sessions_ yet.
  std::mutex mutex_;
  uint64_t last_session_ = 0;                                 // guarded by mutex_
  std::map<uint64_t, std::unique_ptr<Connection>> arrivals_;  // guarded by mutex_
  std::unique_ptr<Doorkeeper> doorkeeper_;
};

}  // namespace weir
