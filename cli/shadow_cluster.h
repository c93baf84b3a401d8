// The woven job of a shadow as a job of a cluster: submitted once, waited for until it has ended,
// and gone on with by a later command where it failed or was stopped.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "cli/common.h"
#include "cli/process_log.h"
#include "cli/rest_client.h"
#include "cli/signals.h"
#include "core/time.h"
#include "state/manifest.h"
#include "state/object_store.h"

namespace weir::cli {

struct ClusterShadow {
  const LoadedJob* woven = nullptr;
  int parallelism = 1;
  Duration checkpoint_interval = 0;
  // State to begin with, made of checkpoint `from` of a job of the cluster. None: it begins afresh.
  std::optional<Manifest> beginning;
  std::string from;

  ObjectStore* folder = nullptr;
  std::string job;      // the object that keeps the job's id
  std::string results;  // the folder of the objects that the job writes

  // Given what the baseline has read: whether the sources are to end. Empty: never.
  std::function<bool(uint64_t records)> enough;
};

// How many records the baseline has read, once the job is FINISHED. Ctrl-C ends the waiting and the
// process, not the job. Nothing comes back where there is no such end; that has been told, and
// exit_code says how to end.
std::optional<uint64_t> RunOnCluster(const RestClient& client, const ClusterShadow& shadow,
                                     SignalThread& signals, ProcessLog& process, int& exit_code);

}  // namespace weir::cli
