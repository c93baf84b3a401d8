// ShadowRules: what counts as a difference between two versions of a job, read from a YAML file
// (docs/shadow.md is its reference).
//
//   all:                                  # of every output
//     ignore: [meta.trace_id]
//     numbers: {relative: 1e-9}
//   outputs:
//     warehouse:                          # adds to what `all` says, and wins over it
//       key: [id]
//       fields:
//         price: {absolute: 0.01}
//         "items[*].at": {within: 5s}
//   known:
//     - {output: warehouse, field: tax, reason: "rounded up since 2.3", until: 2027-01-31}
//
// Immutable once read; any thread may ask. The same bytes and the same day give the same rules, so
// every subtask may read them for itself.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "shadow/field_rules.h"
#include "shadow/limits.h"

namespace weir::shadow {

// A difference that is expected for a while.
struct KnownDifference {
  enum class What : uint8_t { kField, kMissing, kExtra, kOrder, kOutput };
  std::string output;  // empty: of any
  What what = What::kField;
  std::string field;  // a path, of kField
  std::string reason;
  std::string until;  // "2027-01-31", the last day on which it counts
  bool expired = false;
  int line = 0;
};

struct OutputRules {
  std::vector<std::string>
      key;                // paths of the fields that tell records apart; empty: whole records
  bool ordered = false;   // records of one key come in the same order
  uint64_t minimum = 0;   // records of this output below which there is no PASS
  double fail_total = 0;  // part of the records that may differ in all
  FieldRules fields;
  // Index into known() of what is expected beside fields; -1: nothing.
  int known_missing = -1;
  int known_extra = -1;
  int known_order = -1;
  int known_output = -1;
};

class ShadowRules {
 public:
  ShadowRules();  // as of an empty file
  // Of an output that the file does not name: what it says of all.
  const OutputRules& For(std::string_view output) const;
  // Records of all outputs together below which there is no PASS.
  uint64_t minimum() const { return minimum_; }
  const std::vector<KnownDifference>& known() const { return known_; }
  // Outputs that the file names, so that one that does not exist can be told.
  std::vector<std::string> OutputNames() const;

 private:
  friend class ShadowRulesParser;
  OutputRules all_;
  std::map<std::string, OutputRules, std::less<>> outputs_;
  std::vector<KnownDifference> known_;
  uint64_t minimum_ = limits::kMinimumDefault;
};

// `now` tells which known differences have expired. InvalidArgument has all errors of the file, a
// line each: "shadow.yaml:12: ...".
StatusOr<std::shared_ptr<const ShadowRules>> ParseShadowRules(std::string_view yaml,
                                                              std::string_view file_name,
                                                              Timestamp now);

}  // namespace weir::shadow
