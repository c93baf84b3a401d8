// Weave: one job that runs two versions of a job on the same input and compares what they would
// have written.
//
//   source -+-> baseline's stages  -> taps -+
//           +-> again's stages     -> taps -+-> comparator -> results
//           +-> candidate's stages -> taps -+
//
// The baseline runs twice. Each version is a part of its own (StageSpec::part), so no two versions
// share a process; stages are named "<part>-<stage>". A source that both versions have alike is run
// once, in the baseline's part, and every version gets the same rows from it. In place of each sink
// stands a tap (shadow/tap.h). Nothing of a version's sinks is ever made.
//
// Pure: no version's library is loaded here. Whoever runs a part hands in the code of that part.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "jobs/built_job.h"
#include "jobs/job_builder.h"
#include "shadow/comparator.h"
#include "shadow/rules.h"
#include "shadow/tapped_record.h"
#include "state/manifest.h"

namespace weir::shadow {

struct WeaveOptions {
  std::string job;  // the name of the woven one
  JobGraph baseline;
  JobGraph candidate;
  std::set<std::string, std::less<>> routed_sinks;  // OutputNames::routed
  std::shared_ptr<const ShadowRules> rules;
  std::string rules_sha256;              // part of the fingerprint
  Duration patience = kPatienceDefault;  // ComparatorOptions::patience
  SinkSpec<PartialResult> results;
  // The part whose code is wanted; empty: the graph is enough.
  std::string part;
  // What the version's library has built, where `part` is a version's. Its graph is the version's.
  const BuiltJob* code = nullptr;
};

// FailedPrecondition: a version does not stay inside, or the code is of another graph than its own.
StatusOr<BuiltJob> Weave(WeaveOptions options);

// FailedPrecondition: a stage calls something outside and does not say that it may do so in a
// shadow (StageSpec::outside).
Status CheckStaysInside(const JobGraph& graph, Version version);

// Whether stage `name` of both graphs is a source that reads the same and hands on the same type.
bool SharesSource(const JobGraph& baseline, const JobGraph& candidate, std::string_view name);

// The checkpoint that a woven job begins with, of one that the baseline's job has made: each
// version gets the state of its stages, and nothing of its sinks.
Manifest WeaveCheckpoint(const Manifest& manifest, const JobGraph& baseline,
                         const JobGraph& candidate);

// The name of a version's stage in the woven job.
std::string WovenName(Version version, std::string_view stage);

}  // namespace weir::shadow
