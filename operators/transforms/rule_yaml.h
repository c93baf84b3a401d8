// RuleYaml: reading a rules file by hand: members and lists of a YAML node, with every error kept
// under its line, so that all that is wrong with a file is told at once.
//
// Belongs to one parse, one thread. A file that unfolds through aliases to too many values is an
// error, and reading it ends.
#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "core/status.h"
#include "operators/transforms/rule_conditions.h"

namespace weir {

class RuleYaml {
 public:
  explicit RuleYaml(std::string_view file_name) : file_name_(file_name) {}

  void Error(int line, std::string message) { errors_.emplace(line, std::move(message)); }
  void Error(const YAML::Node& at, std::string message) { Error(LineOf(at), std::move(message)); }
  static int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }
  bool ok() const { return errors_.empty(); }
  // All of them, a line each, in the order of the file.
  Status Errors() const;

  // Reads the file and calls read(root); what it throws, and a file that is empty, too long or more
  // than one document, are errors.
  void Load(std::string_view yaml, const std::function<void(const YAML::Node& root)>& read);

  // False once the file has unfolded to more values than it may.
  bool Spend(const YAML::Node& at);
  // Calls fn(key, key node, value) for each member; duplicate and odd keys are errors.
  template <class Fn>
  void EachMember(const YAML::Node& map, std::string_view what, Fn fn);
  // Calls fn(node) for the scalar, or for each element of the list.
  template <class Fn>
  void EachScalar(const YAML::Node& node, std::string_view what, Fn fn);
  // Calls fn(node) for each element of a list that is not empty.
  template <class Fn>
  void EachElement(const YAML::Node& node, std::string_view what, Fn fn);

  std::optional<RuleNumber> Number(const YAML::Node& node, std::string_view what);
  std::optional<RuleNumber> Integer(const YAML::Node& node, std::string_view what);
  std::optional<RuleNumber> Time(const YAML::Node& node, std::string_view what);  // microseconds
  std::optional<bool> Flag(const YAML::Node& node, std::string_view what);

 private:
  const std::string_view file_name_;
  std::multimap<int, std::string> errors_;  // by line
  size_t spent_ = 0;
};

// Written without quotes, so that it may be a number.
inline bool IsPlain(const YAML::Node& node) { return node.Tag() == "?"; }
// A number as JSON has it, exactly.
std::optional<RuleNumber> ParseRuleNumber(std::string_view text);
// "; did you mean 'tenant'?" or the known words.
std::string Suggestion(std::string_view word, std::span<const std::string_view> known);
// The node on one line, cut where it is long; for people.
std::string OnOneLine(const YAML::Node& node);

template <class Fn>
void RuleYaml::EachMember(const YAML::Node& map, std::string_view what, Fn fn) {
  if (!map.IsMap()) return Error(map, fmt::format("{}: expected 'key: value' members", what));
  std::set<std::string> seen;
  for (const auto& member : map) {
    const YAML::Node& key = member.first;
    if (!Spend(key)) return;
    if (!key.IsScalar()) {
      Error(key, fmt::format("{}: a key must be a word", what));
    } else if (!seen.insert(key.Scalar()).second) {
      Error(key, fmt::format("{}: '{}' stands here twice", what, key.Scalar()));
    } else {
      fn(key.Scalar(), key, member.second);
    }
  }
}

template <class Fn>
void RuleYaml::EachScalar(const YAML::Node& node, std::string_view what, Fn fn) {
  auto one = [&](const YAML::Node& scalar) {
    if (scalar.IsScalar() || scalar.IsNull()) return fn(scalar);
    Error(scalar, fmt::format("{}: expected a value or a list of values", what));
  };
  if (node.IsSequence()) return EachElement(node, what, one);
  if (Spend(node)) one(node);
}

template <class Fn>
void RuleYaml::EachElement(const YAML::Node& node, std::string_view what, Fn fn) {
  if (!node.IsSequence()) return Error(node, fmt::format("{}: expected a list", what));
  if (node.size() == 0) return Error(node, fmt::format("{}: the list is empty", what));
  for (const YAML::Node& element : node) {
    if (!Spend(element)) return;
    fn(element);
  }
}

}  // namespace weir
