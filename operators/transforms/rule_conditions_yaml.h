// ConditionReader: the `when` of rules, as a rules file has it, to RuleConditions.
//
// Belongs to one parse, one thread; errors go to the RuleYaml. It gathers the payload's paths,
// which the conditions name by index.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "operators/transforms/rule_conditions.h"
#include "operators/transforms/rule_yaml.h"

namespace weir {

// What can be asked of a field: one row of the table that the reader goes by.
struct RuleFieldForm {
  std::string_view name;  // "type"; of the payload with its dot
  RuleField field;
  bool values;                             // a value or a list of them
  std::span<const std::string_view> asks;  // members of {...}
};
std::span<const RuleFieldForm> RuleFieldForms();
// Keys of a `when` that are no fields: all, any, not.
std::span<const std::string_view> RuleCombinations();

class ConditionReader {
 public:
  explicit ConditionReader(RuleYaml& yaml) : yaml_(yaml) {}

  // All members must hold.
  RuleCondition ReadWhen(const YAML::Node& when) { return ReadAll(when, "when", 0); }
  // Gives percentages of the condition that name no salt this one.
  static void Salt(RuleCondition& condition, std::string_view salt);

  std::vector<std::string> TakePaths() { return std::move(paths_); }

 private:
  RuleCondition ReadAll(const YAML::Node& node, std::string_view what, int depth);
  void ReadCombination(const std::string& key, const YAML::Node& value, int depth,
                       RuleCondition& condition);
  void ReadField(const RuleFieldForm& form, const std::string& key, const YAML::Node& value,
                 RuleCondition& condition);
  void ReadAsk(const RuleFieldForm& form, std::string_view field, const std::string& ask,
               const YAML::Node& value, FieldTest& test);
  void ReadValues(const RuleFieldForm& form, std::string_view what, const YAML::Node& value,
                  FieldTest& test);
  void ReadPattern(std::string_view what, const YAML::Node& value, FieldTest& test);
  void CheckPossible(const YAML::Node& node, std::string_view what, const FieldTest& test);
  size_t SlotOf(const std::string& path);

  RuleYaml& yaml_;
  std::vector<std::string> paths_;
  std::map<std::string, size_t> slots_;  // by path
  size_t patterns_ = 0;
};

}  // namespace weir
