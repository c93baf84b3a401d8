// What the commands that ask a cluster print: tables for people.
#pragma once

#include <string>

#include "weir/runtime/rest/api.pb.h"

namespace weir::cli {

std::string JobListText(const rest::JobList& list);
std::string JobText(const rest::Job& job);
std::string CheckpointListText(const rest::CheckpointList& list);
std::string ExceptionListText(const rest::ExceptionList& list);
std::string WorkerListText(const rest::WorkerList& list);

// "FAILED: why", of a job in a line.
std::string StateText(const rest::Job& job);

}  // namespace weir::cli
