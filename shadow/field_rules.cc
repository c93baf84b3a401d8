#include "shadow/field_rules.h"

#include <algorithm>
#include <map>
#include <set>

#include "shadow/limits.h"

namespace weir::shadow {
namespace {

template <class T>
void Override(const std::optional<T>& from, std::optional<T>& to) {
  if (from) to = from;
}
template <class T>
void Override(const std::optional<T>& from, T& to) {
  if (from) to = *from;
}

template <class To>
void Apply(const FieldSetting& setting, To& to) {
  Override(setting.ignore, to.ignore);
  Override(setting.unordered, to.unordered);
  Override(setting.fold_case, to.fold_case);
  Override(setting.fold_space, to.fold_space);
  Override(setting.absolute, to.absolute);
  Override(setting.relative, to.relative);
  Override(setting.within, to.within);
  Override(setting.fail_above, to.fail_above);
  Override(setting.key_slot, to.key_slot);
  Override(setting.known, to.known);
}

}  // namespace

FieldRules::FieldRules() : states_(1) {}

FieldRules::State FieldRules::Named(const Node& node, std::string_view name) {
  const auto found = std::lower_bound(
      node.members.begin(), node.members.end(), name,
      [](const auto& member, std::string_view wanted) { return member.first < wanted; });
  return found != node.members.end() && found->first == name ? found->second : node.other;
}

const FieldRule& FieldRules::At(std::string_view path) const {
  State state = root();
  if (path.starts_with('(')) return rule(state);
  const auto steps = ParseFieldPath(path);
  if (!steps.ok()) return rule(state);  // of a path that was cut
  for (const PathStep& step : *steps) {
    state = step.kind == PathStep::Kind::kElements ? Elements(state) : Member(state, step.name);
  }
  return rule(state);
}

// The paths of the file as a tree.
struct FieldRulesBuilder::Pattern {
  FieldSetting setting;
  std::map<std::string, std::unique_ptr<Pattern>> members;
  std::unique_ptr<Pattern> any;
  std::unique_ptr<Pattern> elements;

  Pattern& Child(const PathStep& step) {
    auto& child = step.kind == PathStep::Kind::kMember      ? members[step.name]
                  : step.kind == PathStep::Kind::kAnyMember ? any
                                                            : elements;
    if (child == nullptr) child = std::make_unique<Pattern>();
    return *child;
  }
};

// The subset construction: a state is the set of patterns that a path may still match, and the rule
// of what is around it.
struct FieldRulesBuilder::Subsets {
  using Set = std::vector<const Pattern*>;  // those by '*' first, so that names win

  uint32_t StateOf(const Set& set, const FieldRule& around) {
    FieldRule rule = around;
    rule.unordered = false;
    rule.key_slot = -1;
    for (const Pattern* pattern : set) Apply(pattern->setting, rule);
    const auto key = std::pair(set, rule);
    if (const auto found = states_of.find(key); found != states_of.end()) return found->second;
    const auto state = static_cast<uint32_t>(rules.states_.size());
    rules.states_.emplace_back().rule = rule;
    states_of.emplace(key, state);
    if (state >= limits::kPathStatesMax) {
      overflow = true;
      return state;
    }
    Set other;
    Set elements;
    std::set<std::string_view> names;
    for (const Pattern* pattern : set) {
      if (pattern->any) other.push_back(pattern->any.get());
      if (pattern->elements) elements.push_back(pattern->elements.get());
      for (const auto& [name, child] : pattern->members) names.insert(name);
    }
    std::vector<std::pair<std::string, uint32_t>> members;
    for (std::string_view name : names) {
      Set named = other;
      for (const Pattern* pattern : set) {
        const auto child = pattern->members.find(std::string(name));
        if (child != pattern->members.end()) named.push_back(child->second.get());
      }
      if (overflow) return state;
      members.emplace_back(name, StateOf(named, rule));
    }
    const uint32_t other_state = StateOf(other, rule);
    const uint32_t elements_state = StateOf(elements, rule);
    FieldRules::Node& node = rules.states_[state];
    node.members = std::move(members);
    node.other = other_state;
    node.elements = elements_state;
    return state;
  }

  FieldRules rules;
  std::map<std::pair<Set, FieldRule>, uint32_t> states_of;
  bool overflow = false;
};

bool FieldRules::tolerant() const {
  return std::any_of(states_.begin(), states_.end(), [](const Node& node) {
    return node.rule.absolute || node.rule.relative || node.rule.within;
  });
}

FieldRulesBuilder::FieldRulesBuilder() : root_(std::make_unique<Pattern>()) {}
FieldRulesBuilder::~FieldRulesBuilder() = default;
FieldRulesBuilder::FieldRulesBuilder(FieldRulesBuilder&&) noexcept = default;

void FieldRulesBuilder::Set(const FieldPath& path, const FieldSetting& setting) {
  Pattern* pattern = root_.get();
  for (const PathStep& step : path) pattern = &pattern->Child(step);
  Apply(setting, pattern->setting);
}

StatusOr<FieldRules> FieldRulesBuilder::Build() const {
  Subsets subsets;
  subsets.rules.states_.clear();
  subsets.StateOf({root_.get()}, FieldRule());
  if (subsets.overflow) {
    return absl::ResourceExhaustedError("the fields' paths are too many; use '*' in fewer of them");
  }
  return std::move(subsets.rules);
}

}  // namespace weir::shadow
