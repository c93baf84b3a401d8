// The `weir` command: reads the command line and calls the command. The one file that includes
// CLI11, which is slow to compile.
#include <CLI/CLI.hpp>
#include <iostream>

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
  run_command->add_flag("--accept-duplicates", run.accept_duplicates,
                        "Go back to an older checkpoint though a sink cannot take back what it put "
                        "out later: those rows come again");
  run_command->add_flag("--drop-state", run.drop_state, kDropState);
  run_command->add_option("-o,--output", run.output, "Form of the final report")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
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
  check_command->add_option("-o,--output", check.output, "Form of the output")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();

  NewFlags make;
  CLI::App* new_command = app.add_subcommand("new", "Make a project of your own from a template");
  new_command->add_option("KIND", make.kind, "job or plugin")
      ->required()
      ->check(CLI::IsMember({"job", "plugin"}));
  new_command->add_option("NAME", make.name, "The job's or plugin's name, and that of its folder")
      ->required();

  new_command->add_option("-o,--output", make.output, "Form of the output")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();

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
  route_command->add_option("-o,--output", route.output, "Form of the output")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();

  CLI::App* executor_command = app.add_subcommand("executor", "")->group("");

  for (CLI::App* command : {run_command, plan_command, check_command, route_command}) {
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
  if (executor_command->parsed()) return RunExecutor();
  if (check_command->parsed()) {
    if (check.job.help) std::cout << check_command->help() << "\n";
    return Check(check);
  }
  if (new_command->parsed()) return New(make);
  if (route_command->parsed()) return Route(route);
  if (plan.job.help) std::cout << plan_command->help() << "\n";
  return Plan(plan);
}
