// RouterRules: which labels an event goes to, as a YAML file says it.
//
//   match: first            # the first rule that holds (default), or all that do
//   default: warehouse      # label of events that no rule takes (default: warehouse); "none" drops
//   rules:                  # and counts them
//     - name: big-delays    # optional; for messages
//       when: {type: departure, tenant: [ATL, ORD], priority: {min: 2}, payload.delay: {min: 60}}
//       to: alerts          # a label or a list of labels
//
// All conditions of a rule must hold; a rule without any always does. tenant and type: a text or a
// list of texts ("" is an event that names none). priority: an integer, a list of them, or
// {min: , max: }, both inclusive. payload.<dotted path>: a scalar or a list of scalars, or any of
// {min: , max: , exists: true|false}; numbers compare as numbers, texts as texts, and a condition
// on a member that is missing or of another kind does not hold.
//
// Labels are those of partition_label.h; "dead-letters" and "none" are taken.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/event.h"
#include "core/json.h"
#include "core/slab.h"
#include "core/status.h"

namespace weir {

// The payload of one event after the other, each parsed at most once and only if asked for. One
// thread.
class LazyPayload {
 public:
  // REQUIRES: padding behind the payload, as a view into a slab has it.
  void Reset(std::string_view payload) {
    payload_ = payload;
    parsed_ = false;
  }
  // Null if the payload is not JSON; then error() says why.
  const JsonValue* root() {
    if (!parsed_) Parse();
    return status_.ok() ? &root_ : nullptr;
  }
  const Status& error() const { return status_; }

 private:
  void Parse();

  JsonParser parser_;
  std::string_view payload_;
  bool parsed_ = false;
  JsonValue root_;
  Status status_;
};

// A number, exactly: a long double holds every 64-bit integer and every double.
using RuleNumber = long double;

struct RuleScalar {
  enum class Kind { kNull, kBool, kNumber, kText };
  Kind kind = Kind::kNull;
  bool truth = false;
  RuleNumber number = 0;
  std::string text;
};

struct RuleCondition {
  enum class Field { kTenant, kType, kPriority, kPayload };
  Field field = Field::kType;
  std::string path;  // of a payload condition, dotted

  // Each that is not empty must hold.
  std::vector<std::string> texts;   // tenant, type: any of them
  std::vector<int64_t> integers;    // priority: any of them
  std::vector<RuleScalar> scalars;  // payload: any of them
  std::optional<RuleNumber> min;
  std::optional<RuleNumber> max;
  std::optional<bool> exists;
};

struct RouterRule {
  std::string name;
  std::vector<RuleCondition> conditions;  // the payload's last: they cost most
  std::vector<uint16_t> labels;
};

// Immutable; any thread may call it.
class RouterRules {
 public:
  // `labels` are distinct; rules and `fallback` name them by index. REQUIRES: what
  // ParseRouterRules() checks.
  RouterRules(bool match_all, std::vector<RouterRule> rules, std::vector<std::string> labels,
              std::vector<uint16_t> fallback);

  // Adds the labels the event goes to, each once. False: a condition needed the payload and it is
  // not JSON; nothing was added.
  bool Match(const Event& event, LazyPayload& payload, std::vector<uint16_t>& labels) const;

  // A view into slab(), which batches keep.
  std::string_view label(uint16_t index) const { return labels_[index]; }
  const SlabPtr& slab() const { return slab_; }

  bool match_all() const { return match_all_; }
  size_t rules() const { return rules_.size(); }
  const std::vector<std::string_view>& labels() const { return labels_; }

 private:
  const bool match_all_;
  const std::vector<RouterRule> rules_;
  const std::vector<uint16_t> fallback_;  // empty: none
  SlabPtr slab_;
  std::vector<std::string_view> labels_;
};

// InvalidArgument has all errors of the file at once, a line each: "rules.yaml:12: ...".
StatusOr<std::shared_ptr<const RouterRules>> ParseRouterRules(std::string_view yaml,
                                                              std::string_view file_name);

// Every event goes to `label`, as without a rules file. REQUIRES: IsPartitionLabel(label).
std::shared_ptr<const RouterRules> RouteEverythingTo(std::string_view label);

}  // namespace weir
