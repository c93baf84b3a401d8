// Whether a job may go back to an older checkpoint: what its sinks committed later must be taken
// back, and only a sink that is where it was can do that. Pure.
#pragma once

#include <string>

#include "jobs/graph.h"
#include "state/job_record.h"

namespace weir {

// A sink of the record that is not where it was, and what follows; empty: there is none.
// may_be_gone: a sink that the graph has no more is none.
std::string MisplacedSink(const JobRecord& record, const JobGraph& graph, bool may_be_gone);

// "'files', 'pages'"; empty: all can.
std::string SinksThatCannotRevoke(const JobGraph& graph);

}  // namespace weir
