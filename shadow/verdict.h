// The verdict of a shadow: PASS, FAIL or INCONCLUSIVE, with reasons in plain words.
//
// ShadowResult gathers what the comparators wrote, in any order; Judge() is a pure function of it
// and the rules. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "shadow/noise.h"
#include "shadow/pairing.h"
#include "shadow/rules.h"
#include "shadow/statistics.h"

namespace weir::shadow {

enum class Outcome : uint8_t { kPass, kInconclusive, kFail };  // the worst counts
std::string_view NameOf(Outcome outcome);                      // "PASS", ...
int ExitCodeOf(Outcome outcome);                               // 0, 4, 3

// An output as both jobs declare it, before a record is written.
struct DeclaredOutput {
  std::string name;
  bool in_baseline = true;
  bool in_candidate = true;
  std::string schema_change;  // what differs in the rows' schema, for people; empty: nothing
  // Both write routes, which are outputs of their own: under its own name it is none.
  bool routed = false;
};

// What all comparators have found.
class ShadowResult {
 public:
  void Declare(DeclaredOutput output);
  void Add(const OutputStatistics& statistics);
  void Add(std::string_view output, const Leftovers& leftovers);
  void Add(const LeftoverText& leftover);
  // Pairs what is left over. To be called once, in the end.
  void Finish(const ShadowRules& rules);

  const std::map<std::string, OutputStatistics>& outputs() const { return outputs_; }
  const std::map<std::string, DeclaredOutput>& declared() const { return declared_; }

 private:
  std::map<std::string, OutputStatistics> outputs_;
  std::map<std::string, Leftovers> leftovers_;
  std::map<std::string, DeclaredOutput> declared_;
};

enum class Finding : uint8_t {
  kNoise,      // differs no more than the baseline does from itself
  kClock,      // times that differ between the baselines as well, by little
  kKnown,      // expected by the rules
  kTolerated,  // changed in fewer records than the rules allow
  kDoubt,      // more often than noise, but not surely
  kChanged,
};
std::string_view NameOf(Finding finding);  // "noise", "clock", "known", ...

// A field, or one of missing, extra and reordered records.
struct FieldVerdict {
  std::string path;
  Finding finding = Finding::kNoise;
  uint64_t differs = 0;  // records of the candidate that differ
  uint64_t noise = 0;    // records of the second baseline that differ
  uint64_t only_candidate = 0;
  uint64_t only_again = 0;
  double p = 1;        // that it is noise, corrected for all that was tested; 0: no noise at all
  std::string why;     // in plain words
  std::string known;   // the reason that the rules give
  std::string change;  // the most frequent one
  std::vector<FieldSample> samples;
};

struct OutputVerdict {
  std::string name;
  Outcome outcome = Outcome::kPass;
  std::vector<std::string> reasons;  // of what is no PASS
  std::vector<std::string> notes;
  std::vector<FieldVerdict> fields;  // the worst first
  FieldVerdict missing, extra, reordered;
  OutputStatistics statistics;
};

struct Verdict {
  Outcome outcome = Outcome::kPass;
  std::vector<std::string> reasons;  // each with its output
  std::vector<std::string> notes;    // rules that have expired, or name what is not there
  uint64_t compared = 0;
  std::vector<OutputVerdict> outputs;  // the worst first, then by name
};

// REQUIRES: result.Finish() was called.
Verdict Judge(const ShadowResult& result, const ShadowRules& rules);

}  // namespace weir::shadow
