// RuleCondition: what a rule asks of an event, as a tree: tests of single fields, and all, any and
// not of others. Compiled when the rules are loaded; judging an event allocates nothing.
//
// Immutable once built; any thread may judge. A regular expression takes an uncontended lock inside
// RE2 for each text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "core/event.h"
#include "core/hash.h"
#include "core/status.h"
#include "operators/transforms/router_rules.h"

namespace re2 {
class RE2;
}

namespace weir {

// A number, exactly: a long double holds every 64-bit integer and every double.
using RuleNumber = long double;

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return Hash64(text); }
};

// A set of texts: a few are compared one by one, more are hashed.
class TextSet {
 public:
  void Add(std::string text);
  bool empty() const { return all_.empty(); }
  bool Contains(std::string_view text) const;
  const std::vector<std::string>& texts() const { return all_; }  // in the order of Add()

 private:
  std::vector<std::string> all_;
  std::unordered_set<std::string, TextHash, std::equal_to<>>
      hashed_;  // all of them, if they are many
};

enum class RuleField : uint8_t { kId, kTenant, kType, kPriority, kTime, kPayload };

// What is asked of one field. Everything that is given must hold.
struct FieldTest {
  RuleField field = RuleField::kType;
  size_t slot = 0;  // of the payload: of its dotted path in the program's JsonPaths

  // One of these values, where there are any. Of a payload a value meets its own kind only.
  bool has_values = false;
  TextSet texts;
  std::vector<RuleNumber> numbers;  // sorted
  bool null = false;
  bool yes = false;
  bool no = false;

  // Numbers: of priority, payload, and of time in microseconds since 1970.
  std::optional<RuleNumber> min;    // at least
  std::optional<RuleNumber> max;    // at most
  std::optional<RuleNumber> above;  // more than
  std::optional<RuleNumber> below;  // less than
  bool bounded() const { return min || max || above || below; }

  // Texts.
  std::vector<std::string> prefixes;          // any of them
  std::shared_ptr<const re2::RE2> pattern;    // is found in it
  std::optional<bool> exists;                 // the member is there; the text is not empty
  std::optional<uint64_t> percent_threshold;  // the salted hash is below it; ~0: every text
  uint64_t salt = 0;
};

enum class Judgement : uint8_t { kFails, kHolds, kBroken };  // broken: the payload is not JSON

struct RuleCondition {
  enum class Kind : uint8_t { kAll, kAny, kNot, kTest };
  Kind kind = Kind::kAll;
  std::vector<RuleCondition> parts;  // of all, any; of not: one
  FieldTest test;
  int line = 0;
  std::string text;  // as the file has it, on one line; for people

  Judgement Judge(const Event& event, PayloadFields& payload) const;
  // What of an event makes the condition fail, for people; empty if it holds.
  std::string WhyNot(const Event& event, PayloadFields& payload) const;
};

// How much a condition costs, roughly; what is cheap is asked first.
int CostOf(const RuleCondition& condition);

// Of `percent` (0 to 100) of all texts the salted hash is below this.
uint64_t PercentThreshold(double percent);

}  // namespace weir
