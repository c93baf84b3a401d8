// How a coordinator's jobs and workers look from outside, as the messages of its REST interface.
#pragma once

#include "runtime/coordinator/cluster_job.h"
#include "runtime/coordinator/worker_table.h"
#include "weir/runtime/rest/api.pb.h"

namespace weir {

enum class Detail { kSummary, kOperators };

rest::Job ViewOf(const ClusterJob& job, Detail detail, Environment& env);
rest::Worker ViewOf(const WorkerInfo& worker, const WorkerTable& table, int64_t now_micros);
rest::SavepointOperation ViewOf(const runtime::Savepoint& savepoint);
rest::Submission SubmissionOf(const ClusterJob& job);
// Newest first.
rest::ExceptionList ExceptionsOf(const ClusterJob& job);
rest::Checkpoint ViewOf(const Manifest& manifest, std::string path);

}  // namespace weir
