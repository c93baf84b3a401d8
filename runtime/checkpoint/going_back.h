// Whether a job may go back to an older checkpoint: what its sinks committed later must be taken
// back, and only a sink that is where it was can do that. Pure.
//
// What a restore goes by is the job's record, which knows the places of all its sinks; `weir check`
// has no more than the checkpoint, which knows those that there were when it was taken.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "jobs/graph.h"
#include "state/job_record.h"
#include "state/manifest.h"

namespace weir {

struct MisplacedSink {
  std::string stage;
  std::string why;  // the sink, where it was, and what follows
};
// A sink that is not where it was; nullopt: there is none. may_be_gone: a sink that the graph has
// no more is none.
std::optional<MisplacedSink> FindMisplacedSink(const JobRecord& record, const JobGraph& graph,
                                               bool may_be_gone);
std::optional<MisplacedSink> FindMisplacedSink(const Manifest& manifest, const JobGraph& graph,
                                               bool may_be_gone);

// "'files', 'pages'"; empty: all can.
std::string SinksThatCannotRevoke(const JobGraph& graph);

}  // namespace weir
