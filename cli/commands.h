// The commands. Each returns the process's exit code.
#pragma once

#include <string>
#include <vector>

#include "cli/common.h"
#include "core/limits.h"

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
  std::string output = "text";  // or json
  bool encode_edges = false;    // a test mode: every edge through its codec
};
int Run(const RunFlags& flags);

// A process of a run with --workers; started by it alone.
int RunExecutor();

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

}  // namespace weir::cli
