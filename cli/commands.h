// The commands. Each returns the process's exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/common.h"
#include "core/limits.h"
#include "runtime/security/security_options.h"

namespace weir::cli {

struct RunFlags {
  JobFlags job;
  int parallelism = 1;
  int workers = 0;
  std::string memory = "2GiB";
  std::string data = "./weir-data";
  std::string checkpoint_interval = "10s";
  std::string from;
  bool fresh = false;
  bool accept_duplicates = false;
  bool drop_state = false;
  std::string output = "text";      // or json
  std::string log_format = "text";  // or json
  bool encode_edges = false;        // a test mode: every edge through its codec
};
int Run(const RunFlags& flags);

// Of the commands that ask a running cluster.
struct ClusterFlags {
  std::string coordinator;      // HOST:PORT; empty: of WEIR_COORDINATOR, or kCoordinatorDefault
  std::string token_file;       // empty: the token is in WEIR_TOKEN, or there is none
  std::string tls_ca;           // empty: of WEIR_TLS_CA, or the cluster has no TLS
  std::string output = "text";  // or json
};
inline constexpr const char* kCoordinatorDefault = "127.0.0.1:8081";

struct ShadowFlags {
  ClusterFlags cluster;  // whose job is the baseline, or where the comparison runs
  bool on_cluster = false;
  std::vector<std::string> command;  // as it was typed
  std::string baseline;              // a library, or the id of a job
  std::string candidate;
  std::vector<std::string> parameters;  // of both
  std::vector<std::string> baseline_parameters;
  std::vector<std::string> candidate_parameters;
  int parallelism = 1;
  std::string memory = "2GiB";  // of each executor
  std::string checkpoint_interval = "10s";
  uint64_t records = 0;  // to read; 0: all
  std::string time;      // to read for; empty: to the end
  std::string from;      // a checkpoint's folder; empty: both begin afresh
  std::string rules;
  std::string report = "./weir-shadow";
  std::string patience = "51h";     // of a record, in event time
  int cost_runs = 5;                // of each version; 0: cost is not measured
  std::string log_format = "text";  // or json
};
// Two versions of a job on the same input, and a verdict on how their outputs differ.
int Shadow(const ShadowFlags& flags);
// Loads a version of a job for a shadow; started by it alone.
struct PackFlags {
  JobFlags job;      // no library: a shadow::SubmittedVersion comes as a file
  std::string from;  // a checkpoint that must fit
};
int RunPack(const PackFlags& flags);
// One run of one version alone; the same.
struct MeasureFlags {
  std::string version;  // a packed one
  std::string data;
  std::string memory;
  std::string from;
  int parallelism = 1;
  uint64_t records = 0;
  std::string time;
};
int RunMeasure(const MeasureFlags& flags);

// A process of a run with --workers, or of a worker; started by them alone.
int RunExecutor();
// Loads a job's library for a coordinator; started by it alone.
int RunDescribe();

struct CoordinatorFlags {
  std::string listen = "127.0.0.1:8081";      // REST
  std::string rpc_listen = "127.0.0.1:6123";  // workers and executors
  std::string data;
  std::string checkpoints;  // a folder; empty: <data>/checkpoints
  SecurityOptions security;
  std::string log_format = "text";  // or json
};
// A cluster's head, until SIGTERM.
int RunCoordinator(const CoordinatorFlags& flags);

struct WorkerFlags {
  std::string join;
  int slots = 0;  // 0: as many as there are cores
  std::string memory = "2GiB";
  std::string memory_limit;  // a size, or "off"; empty: by `memory`
  std::string http = "127.0.0.1:0";
  std::string data;
  SecurityOptions security;
  std::string log_format = "text";  // or json
};
// Runs tasks for a coordinator, until SIGTERM has had them moved.
int RunWorker(const WorkerFlags& flags);

struct PlanFlags {
  JobFlags job;
  int parallelism = 1;
  std::string output = "text";  // json, dot
};
int Plan(const PlanFlags& flags);

struct CheckFlags {
  std::string checkpoint;
  JobFlags job;
  bool drop_state = false;
  std::string output = "text";  // or json
};
// Would this library restore from the checkpoint?
int Check(const CheckFlags& flags);

struct NewFlags {
  std::string kind;  // job or plugin
  std::string name;
  std::string output = "text";  // or json
};
// Makes the folder <name> of a new project in the working directory.
int New(const NewFlags& flags);

struct RouteFlags {
  std::string rules;
  std::string event;  // a JSON line, @FILE, or "-": standard input
  std::vector<std::string> id;
  std::string time;
  std::string type;
  std::string tenant;
  std::string priority;
  std::string output = "text";  // or json
};
int Route(const RouteFlags& flags);

struct SubmitFlags {
  ClusterFlags cluster;
  JobFlags job;
  int parallelism = 1;
  std::string checkpoint_interval = "10s";
  std::string from;
  bool accept_duplicates = false;
  bool drop_state = false;
  bool wait = false;
};
int Submit(const SubmitFlags& flags);

// Of the commands about one job.
struct ClusterJobFlags {
  ClusterFlags cluster;
  std::string job;
};
int List(const ClusterFlags& flags);
int Workers(const ClusterFlags& flags);
int ShowStatus(const ClusterJobFlags& flags);
int Cancel(const ClusterJobFlags& flags);
int Checkpoints(const ClusterJobFlags& flags);
int Exceptions(const ClusterJobFlags& flags);

struct StopFlags {
  ClusterJobFlags job;
  bool drain = false;
};
int Stop(const StopFlags& flags);

struct SavepointFlags {
  ClusterJobFlags job;
  std::string to;
};
int Savepoint(const SavepointFlags& flags);

struct RescaleFlags {
  ClusterJobFlags job;
  int parallelism = 1;
};
int Rescale(const RescaleFlags& flags);

}  // namespace weir::cli
