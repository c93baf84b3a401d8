// A version of a job as it is run alone, to see what it costs: its own sources and stages, and a
// meter (shadow/run_meter.h) in place of each sink. A meter makes the lines that the sink would
// write, and counts their bytes; nothing is written anywhere.
#pragma once

#include <memory>

#include "jobs/built_job.h"
#include "shadow/run_meter.h"
#include "state/manifest.h"

namespace weir::shadow {

// How many of its instances at that parallelism read: RunMeter::Options::readers.
int ReadersOf(const JobGraph& graph, int parallelism);

// The meter must live as long as the job runs.
BuiltJob MeasuredJob(BuiltJob version, std::shared_ptr<RunMeter> meter);

// The checkpoint with which it begins, of one that the baseline's job has made: nothing of sinks,
// nor of stages that the version does not have.
Manifest MeasuredCheckpoint(const Manifest& manifest, const JobGraph& version);

// What a checkpoint holds.
uint64_t StateBytes(const Manifest& manifest);

}  // namespace weir::shadow
