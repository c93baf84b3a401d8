// Does a checkpoint fit a job? What of it would be restored, how, and what would be lost: by stage,
// state and field. `weir check` shows it, and every restore is refused by it, before a task opens.
//
// Reads the manifest alone. What stages of other parts keep (StageCode::made_here) is left to the
// processes that have their code. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "jobs/built_job.h"
#include "state/manifest.h"

namespace weir {

struct FitFinding {
  enum class Verdict : uint8_t {
    kFits,     // it is restored, with the change that is told
    kStarts,   // the job has it and the checkpoint does not: it starts empty
    kKept,     // no code reads it any more; it is carried along
    kDropped,  // it would be lost: refused, unless that is asked for
    kRefused,  // it cannot be restored
  };
  Verdict verdict = Verdict::kFits;
  std::string stage;
  std::string state;   // of the stage; empty: all of it
  std::string change;  // "none", "added", "removed", "renamed", ...
  std::string field;   // what has changed: a path that begins with the state's name; may be empty
  std::string text;    // what has changed, and what comes of it, in words
};
std::string_view ToString(FitFinding::Verdict verdict);

struct CheckpointFit {
  std::vector<FitFinding> findings;  // in the order of the checkpoint's stages, then of the job's

  bool has(FitFinding::Verdict verdict) const;
  // OK, or OutOfRange with every reason. `drop_state`: what would be lost may be.
  Status Check(CheckpointId checkpoint, bool drop_state) const;
  // What is lost, a line for each.
  std::vector<std::string> Dropped() const;
};

// FailedPrecondition where a stage cannot say what it keeps; it names the stage.
StatusOr<CheckpointFit> FitCheckpoint(const Manifest& manifest, const BuiltJob& job);

}  // namespace weir
