// The `weir` command: reads the command line and calls the command. The one file that includes
// CLI11, which is slow to compile.
#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>
#include <limits>

#include "cli/commands.h"
#include "cli/common.h"

// Read by jemalloc: memory that was freed goes back to the system within a fifth of a second, not
// ten seconds, and that of threads which sleep as well, so that the process stays near its budget.
extern "C" {
extern const char* malloc_conf;
const char* malloc_conf = "background_thread:true,dirty_decay_ms:200,muzzy_decay_ms:0";
}

namespace {

constexpr const char* kVersion = "weir " WEIR_VERSION;

constexpr const char* kAcceptDuplicates =
    "Go back to an older checkpoint though a sink cannot take back what it put out later: those "
    "rows come again";
constexpr const char* kDropState =
    "Restore though the job has no use for some of the checkpoint's state, which is lost";

void AddJobFlags(CLI::App& command, weir::cli::JobFlags& job) {
  command
      .add_option("LIB", job.library,
                  "The job library, for example build/jobs/libevent_pipeline.so, or the name of a "
                  "ready-made one, event_pipeline")
      ->required();
  command
      .add_option("-D,--param", job.parameters,
                  "A parameter of the job, key=value; may be repeated")
      ->allow_extra_args(false);
  // With a library, --help lists the job's parameters as well.
  command.set_help_flag();
  command.add_flag("-h,--help", job.help, "Print this and the job's parameters");
}

void AddOutputFlag(CLI::App& command, std::string& output) {
  command.add_option("-o,--output", output, "Form of the output")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

void AddLogFlag(CLI::App& command, std::string& format) {
  command.add_option("--log-format", format, "Form of what it says on stderr")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
}

// Of every command that asks a running cluster.
void AddClusterFlags(CLI::App& command, weir::cli::ClusterFlags& cluster) {
  command.add_option("--coordinator", cluster.coordinator,
                     "HOST:PORT of the cluster's REST interface; else that of WEIR_COORDINATOR, or "
                     "127.0.0.1:8081");
  command.add_option("--token-file", cluster.token_file,
                     "File with the token to present; else that of WEIR_TOKEN");
  command.add_option("--tls-ca", cluster.tls_ca,
                     "The CA of a cluster with TLS (PEM); else that of WEIR_TLS_CA");
  AddOutputFlag(command, cluster.output);
}

// Of every command that others connect to.
void AddSecurityFlags(CLI::App& command, weir::SecurityOptions& security) {
  command.add_option("--tls-cert", security.tls.cert, "This process's certificate (PEM)");
  command.add_option("--tls-key", security.tls.key, "Its private key (PEM)");
  command.add_option("--tls-ca", security.tls.ca, "The certificates of the CAs that are believed");
  command.add_option("--token-file", security.token_file,
                     "Who may do what, and the token to join with; see docs/security.md");
}

CLI::App* AddJobCommand(CLI::App& app, const char* name, const char* help,
                        weir::cli::ClusterJobFlags& flags) {
  CLI::App* command = app.add_subcommand(name, help);
  command->add_option("JOB", flags.job, "Its id, as `weir list` shows it")->required();
  AddClusterFlags(*command, flags.cluster);
  return command;
}

// --help on its own needs no LIB.
bool AsksForCommandHelp(const CLI::App& command, int argc, char** argv) {
  if (argc < 3 || argv[1] != command.get_name()) return false;
  std::string flag = argv[2];
  return argc == 3 && (flag == "-h" || flag == "--help");
}

}  // namespace

int main(int argc, char** argv) {
  using namespace weir::cli;
  RaiseOpenFilesLimit();
  std::signal(SIGXFSZ, SIG_IGN);  // so that a write behind the limit fails, as on a full disk
  CLI::App app{"Weir: stateful stream processing, exactly once.", "weir"};
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);

  RunFlags run;
  CLI::App* run_command = app.add_subcommand("run", "Run a job on this machine until it ends");
  AddJobFlags(*run_command, run.job);
  run_command->add_option("-p,--parallelism", run.parallelism, "Subtasks of every stage")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  run_command
      ->add_option("--workers", run.workers,
                   "Run the subtasks in so many processes of their own; 0: in this one")
      ->check(CLI::Range(0, 64))
      ->capture_default_str();
  run_command
      ->add_option("--memory", run.memory,
                   "What the engine may hold in memory, such as 512MiB; more state goes to disk")
      ->capture_default_str();
  run_command
      ->add_option("--data", run.data,
                   "Folder of checkpoints and local state; one process at a time")
      ->capture_default_str();
  run_command
      ->add_option("--checkpoint-interval", run.checkpoint_interval,
                   "Time between checkpoints, such as 500ms or 10s; 0s: only one at the end")
      ->capture_default_str();
  run_command->add_option("--from", run.from, "Start from this checkpoint folder (.../chk-7)");
  run_command->add_flag("--fresh", run.fresh,
                        "Start over; what an earlier run committed moves to .revoked/");
  run_command->add_flag("--accept-duplicates", run.accept_duplicates, kAcceptDuplicates);
  run_command->add_flag("--drop-state", run.drop_state, kDropState);
  run_command->add_option("-o,--output", run.output, "Form of the final report")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  AddLogFlag(*run_command, run.log_format);
  run_command
      ->add_flag("--test-encode-edges", run.encode_edges, "Send every batch through its codec")
      ->group("");

  PlanFlags plan;
  CLI::App* plan_command = app.add_subcommand("plan", "Show a job's stages, edges and guarantees");
  AddJobFlags(*plan_command, plan.job);
  plan_command->add_option("-p,--parallelism", plan.parallelism, "Subtasks of every stage")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  plan_command->add_option("-o,--output", plan.output, "Form of the output")
      ->check(CLI::IsMember({"text", "json", "dot"}))
      ->capture_default_str();

  CheckFlags check;
  CLI::App* check_command =
      app.add_subcommand("check", "Tell whether a job would restore from a checkpoint, and how");
  check_command->add_option("CHECKPOINT", check.checkpoint, "Its folder (.../chk-7)")->required();
  AddJobFlags(*check_command, check.job);
  check_command->add_flag("--drop-state", check.drop_state, kDropState);
  AddOutputFlag(*check_command, check.output);

  NewFlags make;
  CLI::App* new_command = app.add_subcommand("new", "Make a project of your own from a template");
  new_command->add_option("KIND", make.kind, "job or plugin")
      ->required()
      ->check(CLI::IsMember({"job", "plugin"}));
  new_command->add_option("NAME", make.name, "The job's or plugin's name, and that of its folder")
      ->required();

  AddOutputFlag(*new_command, make.output);

  RouteFlags route;
  CLI::App* route_command =
      app.add_subcommand("route", "Explain which routes events take by a rules file");
  route_command->add_option("--rules", route.rules, "The rules file, YAML (docs/routing.md)")
      ->required();
  route_command
      ->add_option("--event", route.event,
                   "An event as a line of JSON; @FILE or - reads lines from a file or from stdin")
      ->required();
  route_command->add_option("--id", route.id, "Fields of the event's id, as the job's parameter id")
      ->delimiter(',')
      ->allow_extra_args(false);
  route_command->add_option("--time", route.time, "Field of the event's time");
  route_command->add_option("--type", route.type, "Field of the event's type");
  route_command->add_option("--tenant", route.tenant, "Field of the event's tenant");
  route_command->add_option("--priority", route.priority, "Field of the event's priority");
  AddOutputFlag(*route_command, route.output);

  SubmitFlags submit;
  CLI::App* submit_command = app.add_subcommand("submit", "Start a job on a running cluster");
  AddJobFlags(*submit_command, submit.job);
  submit_command->add_option("-p,--parallelism", submit.parallelism, "Subtasks of every stage")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  submit_command
      ->add_option("--checkpoint-interval", submit.checkpoint_interval,
                   "Time between checkpoints, such as 500ms or 10s; 0s: only one at the end")
      ->capture_default_str();
  submit_command->add_option("--from", submit.from,
                             "Start from this checkpoint or savepoint of the cluster (JOB/sav-9)");
  submit_command->add_flag("--accept-duplicates", submit.accept_duplicates, kAcceptDuplicates);
  submit_command->add_flag("--drop-state", submit.drop_state, kDropState);
  submit_command->add_flag("--wait", submit.wait,
                           "Wait until the job has ended, and end as it did");
  AddClusterFlags(*submit_command, submit.cluster);

  ClusterFlags list, workers;
  CLI::App* list_command = app.add_subcommand("list", "Show the jobs of a cluster");
  AddClusterFlags(*list_command, list);
  CLI::App* workers_command = app.add_subcommand("workers", "Show the workers of a cluster");
  AddClusterFlags(*workers_command, workers);
  ClusterJobFlags status, cancel, checkpoints, exceptions;
  CLI::App* status_command =
      AddJobCommand(app, "status", "Show a job of a cluster and its operators", status);
  CLI::App* cancel_command =
      AddJobCommand(app, "cancel", "End a job of a cluster without a savepoint", cancel);
  CLI::App* checkpoints_command =
      AddJobCommand(app, "checkpoints", "Show what a job can be started from again", checkpoints);
  CLI::App* exceptions_command =
      AddJobCommand(app, "exceptions", "Show why a job's attempts ended", exceptions);
  StopFlags stop;
  CLI::App* stop_command =
      AddJobCommand(app, "stop", "End a job of a cluster with a savepoint", stop.job);
  stop_command->add_flag("--drain", stop.drain,
                         "Let everything out first, timers and open batches too: for a job that "
                         "is not started again from here");
  SavepointFlags savepoint;
  CLI::App* savepoint_command =
      AddJobCommand(app, "savepoint", "Take a savepoint of a job that runs on", savepoint.job);
  savepoint_command->add_option("--to", savepoint.to,
                                "Where to put it; else beside the job's checkpoints");
  RescaleFlags rescale;
  CLI::App* rescale_command =
      AddJobCommand(app, "rescale", "Let a job go on at another parallelism", rescale.job);
  rescale_command->add_option("-p,--parallelism", rescale.parallelism, "Subtasks of every stage")
      ->check(CLI::Range(1, 64))
      ->required();

  CoordinatorFlags coordinator;
  CLI::App* coordinator_command = app.add_subcommand(
      "coordinator", "A cluster's head: keeps its jobs and hands their tasks to workers");
  coordinator_command->add_option("--listen", coordinator.listen, "Where REST is answered")
      ->capture_default_str();
  coordinator_command->add_option("--rpc-listen", coordinator.rpc_listen, "Where workers join")
      ->capture_default_str();
  coordinator_command
      ->add_option("--data", coordinator.data, "Folder of what it keeps; one process at a time")
      ->required();
  coordinator_command->add_option("--checkpoints", coordinator.checkpoints,
                                  "Folder of checkpoints, which all workers share; "
                                  "default: checkpoints in --data");
  AddSecurityFlags(*coordinator_command, coordinator.security);
  AddLogFlag(*coordinator_command, coordinator.log_format);

  WorkerFlags worker;
  CLI::App* worker_command =
      app.add_subcommand("worker", "Runs tasks of a cluster's jobs on this machine");
  worker_command->add_option("--join", worker.join, "The coordinator's --rpc-listen")->required();
  worker_command->add_option("--slots", worker.slots, "Subtasks at once; default: the cores")
      ->check(CLI::Range(1, 1024));
  worker_command
      ->add_option("--memory", worker.memory,
                   "What the engine may hold in memory, divided among the slots")
      ->capture_default_str();
  worker_command->add_option("--memory-limit", worker.memory_limit,
                             "What the processes of its jobs may hold in all, user code included, "
                             "divided among the slots; "
                             "one that holds more is ended. off: no limit; default: twice its "
                             "share of --memory and 256MiB");
  worker_command->add_option("--http", worker.http, "Where health and metrics are answered")
      ->capture_default_str();
  worker_command->add_option("--data", worker.data, "Folder of local state; one process at a time")
      ->required();
  AddSecurityFlags(*worker_command, worker.security);
  AddLogFlag(*worker_command, worker.log_format);

  ShadowFlags shadow;
  CLI::App* shadow_command = app.add_subcommand(
      "shadow", "Run two versions of a job on the same input and compare what they would write");
  shadow_command
      ->add_option("--baseline", shadow.baseline,
                   "The job library of the version that is trusted; or the id of a job of a "
                   "cluster, with whose last checkpoint and parameters both begin")
      ->required();
  shadow_command
      ->add_option("--candidate", shadow.candidate, "That of the version that is looked at")
      ->required();
  shadow_command
      ->add_option("-D,--param", shadow.parameters,
                   "A parameter of both versions, key=value; may be repeated")
      ->allow_extra_args(false);
  shadow_command
      ->add_option("--baseline-param", shadow.baseline_parameters,
                   "One of the baseline alone, in place of any of both")
      ->allow_extra_args(false);
  shadow_command
      ->add_option("--candidate-param", shadow.candidate_parameters,
                   "One of the candidate alone, likewise")
      ->allow_extra_args(false);
  shadow_command->add_option("-p,--parallelism", shadow.parallelism, "Subtasks of every stage")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  shadow_command
      ->add_option("--memory", shadow.memory, "What each of the four processes may hold in memory")
      ->capture_default_str();
  shadow_command
      ->add_option("--checkpoint-interval", shadow.checkpoint_interval,
                   "Time between checkpoints, from which a run that was killed goes on")
      ->capture_default_str();
  CLI::Option* records =
      shadow_command->add_option("--records", shadow.records, "End when so many were read")
          ->check(CLI::Range(int64_t{1}, std::numeric_limits<int64_t>::max()));
  shadow_command->add_option("--for", shadow.time, "End after so long, such as 10m")
      ->excludes(records);
  shadow_command->add_option("--from", shadow.from,
                             "Both begin with the state of this checkpoint of the baseline's job "
                             "(.../chk-7); it is only read");
  shadow_command->add_option("--rules", shadow.rules,
                             "What counts as a difference (docs/shadow.md), in YAML");
  shadow_command
      ->add_option("--report", shadow.report,
                   "Folder of the reports; a run that was killed goes on from what is there")
      ->capture_default_str();
  shadow_command
      ->add_option("--patience", shadow.patience,
                   "How long, in event time, a record waits for its counterparts before a "
                   "difference is told; one with an event time that is too late by three quarters "
                   "of it still meets them")
      ->capture_default_str();
  AddClusterFlags(*shadow_command, shadow.cluster);
  shadow_command->add_flag("--on-cluster", shadow.on_cluster,
                           "The comparison is a job of the cluster rather than of this machine; so "
                           "it is with --coordinator where --baseline is a library");
  shadow_command
      ->add_option("--cost-runs", shadow.cost_runs,
                   "Runs of each version alone, by which their cost is compared; 0: none")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  AddLogFlag(*shadow_command, shadow.log_format);

  CLI::App* executor_command = app.add_subcommand("executor", "")->group("");
  CLI::App* describe_command = app.add_subcommand("describe", "")->group("");

  PackFlags pack;
  CLI::App* pack_command = app.add_subcommand("pack", "")->group("");
  AddJobFlags(*pack_command, pack.job);
  pack_command->get_option("LIB")->required(false);
  pack_command->add_option("--from", pack.from);
  MeasureFlags measure;
  CLI::App* measure_command = app.add_subcommand("measure", "")->group("");
  measure_command->add_option("VERSION", measure.version)->required();
  measure_command->add_option("--data", measure.data)->required();
  measure_command->add_option("--memory", measure.memory)->required();
  measure_command->add_option("--from", measure.from);
  measure_command->add_option("--parallelism", measure.parallelism);
  measure_command->add_option("--records", measure.records);
  measure_command->add_option("--for", measure.time)->required();

  for (CLI::App* command :
       {run_command, plan_command, check_command, route_command, submit_command}) {
    if (AsksForCommandHelp(*command, argc, argv)) {
      std::cout << command->help();
      return kDone;
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error, std::cout, std::cerr) == 0 ? kDone : kUsage;
  }
  if (run_command->parsed()) {
    if (run.job.help) std::cout << run_command->help() << "\n";
    return Run(run);
  }
  if (coordinator_command->parsed()) return RunCoordinator(coordinator);
  if (worker_command->parsed()) return RunWorker(worker);
  if (executor_command->parsed()) return RunExecutor();
  if (describe_command->parsed()) return RunDescribe();
  if (pack_command->parsed()) return RunPack(pack);
  if (measure_command->parsed()) return RunMeasure(measure);
  if (shadow_command->parsed()) {
    shadow.command = {"weir"};
    shadow.command.insert(shadow.command.end(), argv + 1, argv + argc);
    return Shadow(shadow);
  }
  if (submit_command->parsed()) {
    if (submit.job.help) std::cout << submit_command->help() << "\n";
    return Submit(submit);
  }
  if (list_command->parsed()) return List(list);
  if (workers_command->parsed()) return Workers(workers);
  if (status_command->parsed()) return ShowStatus(status);
  if (cancel_command->parsed()) return Cancel(cancel);
  if (stop_command->parsed()) return Stop(stop);
  if (savepoint_command->parsed()) return Savepoint(savepoint);
  if (rescale_command->parsed()) return Rescale(rescale);
  if (checkpoints_command->parsed()) return Checkpoints(checkpoints);
  if (exceptions_command->parsed()) return Exceptions(exceptions);
  if (check_command->parsed()) {
    if (check.job.help) std::cout << check_command->help() << "\n";
    return Check(check);
  }
  if (new_command->parsed()) return New(make);
  if (route_command->parsed()) return Route(route);
  if (plan.job.help) std::cout << plan_command->help() << "\n";
  return Plan(plan);
}
