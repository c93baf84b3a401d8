// JobGraph: what a job is, without the code that runs it. Immutable once built, serialisable, and
// equal wherever the same library builds it from the same parameters and resources.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/schema.h"
#include "core/status.h"

namespace weir {

enum class StageRole : uint8_t { kSource, kOperator, kSink };

// What happens to a row that a stage cannot take.
enum class FailurePolicy : uint8_t { kDeadLetter, kDrop, kFail };

enum class Partitioning : uint8_t {
  kForward,  // subtask i to subtask i
  kKeyed,    // by the key group of the rows' key hashes
};

// The port by which rejected rows leave every stage.
inline constexpr int kDeadLetterPort = -1;

struct StageSpec {
  std::string name;  // the identity of its state
  std::string kind;  // "source", "dedup", ...; for people
  std::string
      component;  // with a name and a version of its own: a plugin, "redact 1.2.0"; for people
  StageRole role = StageRole::kOperator;
  bool keyed_state = false;
  bool id_state = false;  // ids of a dedup; like keyed state it gets a share of the memory budget
  // What its state is kept by; kept in checkpoints, since under another key none of it is found.
  std::optional<Schema> key = std::nullopt;
  FailurePolicy on_failure = FailurePolicy::kDeadLetter;
  std::string options;       // everything that shapes its output, as text; part of the fingerprint
  bool exactly_once = true;  // of a sink: takes part in checkpoints
  bool can_revoke = false;   // of a sink: can take back what it committed
  std::vector<std::string> outputs;  // names of its ports 1, 2, ... (Stream::Side)
  std::string place;  // of a sink: where its results are; going back is possible there alone
  // It calls something outside that a second run of the job would call as well, and nobody has said
  // that this does no harm. A shadow refuses it.
  bool outside = false;
  // What dead letters call it; empty: its name.
  std::string alias;
  // Stages of one part run in executors of their own, which have loaded what that part needs; most
  // jobs have one part, of no name. All sinks are in one part.
  std::string part;

  const std::string& name_in_dead_letters() const { return alias.empty() ? name : alias; }
};

struct EdgeSpec {
  int from = 0;
  int port = 0;
  int to = 0;
  int input_port = 0;
  Partitioning partitioning = Partitioning::kForward;
  Schema schema;
};

struct JobGraph {
  std::string job;
  std::vector<StageSpec> stages;  // every edge goes from a lower index to a higher one
  std::vector<EdgeSpec> edges;

  int FindStage(std::string_view name) const;  // -1: there is none
  // The names of its parts, in the order of their first stages; of a job without stages one, "".
  std::vector<std::string> Parts() const;
  uint64_t Fingerprint() const;
  std::string Serialize() const;
  static StatusOr<JobGraph> Parse(std::string_view bytes);
};

std::string_view ToString(FailurePolicy policy);
std::string_view ToString(Partitioning partitioning);

}  // namespace weir
