// FieldRules: what the rules of one output say of each field, as an automaton that goes along with
// the walk over a record: one step per member or element, and no comparison of paths.
//
// Built once (FieldRulesBuilder, one thread), immutable then; any thread may walk.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/status.h"
#include "core/time.h"
#include "shadow/field_path.h"

namespace weir::shadow {

// What holds for one field. All but `unordered` and `key_slot` hold for what is below it as well.
struct FieldRule {
  bool ignore = false;
  bool unordered = false;          // a list: a multiset of its elements
  bool fold_case = false;          // of texts: A-Z are a-z
  bool fold_space = false;         // of texts: runs of white space are one blank, none at the ends
  std::optional<double> absolute;  // numbers: at most this far apart
  std::optional<double> relative;  // or this part of the larger one
  std::optional<Duration> within;  // times: at most this far apart
  double fail_above = 0;           // part of the records that may differ without FAIL
  int16_t key_slot = -1;           // which part of the record's key it is
  int16_t known = -1;              // index of the known difference

  auto operator<=>(const FieldRule&) const = default;
};

// What a rules file says of a path; what is not set is as around it.
struct FieldSetting {
  std::optional<bool> ignore, unordered, fold_case, fold_space;
  std::optional<double> absolute, relative;
  std::optional<Duration> within;
  std::optional<double> fail_above;
  std::optional<int16_t> key_slot;
  std::optional<int16_t> known;
};

class FieldRules {
 public:
  using State = uint32_t;
  FieldRules();  // without any rules
  State root() const { return 0; }
  const FieldRule& rule(State state) const { return states_[state].rule; }
  State Member(State state, std::string_view name) const {
    const Node& node = states_[state];
    return node.members.empty() ? node.other : Named(node, name);
  }
  State Elements(State state) const { return states_[state].elements; }
  // The rule of a field by the path that a difference has; of kLinePath and the like the root's.
  const FieldRule& At(std::string_view path) const;
  // Whether any two values that differ may be equal.
  bool tolerant() const;

 private:
  friend class FieldRulesBuilder;
  struct Node {
    FieldRule rule;
    std::vector<std::pair<std::string, State>> members;  // by name
    State other = 0;
    State elements = 0;
  };
  static State Named(const Node& node, std::string_view name);
  std::vector<Node> states_;
};

// Set() in the order of the file; a later one wins over an earlier, a name over a '*'.
class FieldRulesBuilder {
 public:
  FieldRulesBuilder();
  ~FieldRulesBuilder();
  FieldRulesBuilder(FieldRulesBuilder&&) noexcept;
  void Set(const FieldPath& path, const FieldSetting& setting);  // the empty path: every field
  // ResourceExhausted where '*' in many paths leads to too many states.
  StatusOr<FieldRules> Build() const;

 private:
  struct Pattern;
  struct Subsets;
  std::unique_ptr<Pattern> root_;
};

}  // namespace weir::shadow
