// OutputJudge: what was found of one output, judged. The tests of all outputs are corrected
// together, so it says first what it tests, and then, given that corrected, what it holds of the
// output.
//
// One thread. Internal to verdict.cc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "shadow/races.h"
#include "shadow/rules.h"
#include "shadow/statistics.h"
#include "shadow/verdict.h"

namespace weir::shadow {

class OutputJudge {
 public:
  // `known_output`: the known difference that only one version has the output; -1: none. What is
  // referred to must outlive it.
  OutputJudge(const OutputStatistics& statistics, const ShadowRules& all, const OutputRules& rules,
              int known_output, uint64_t compared, const JobNoise& noise);
  OutputJudge(const OutputJudge&) = delete;  // it points into itself
  OutputJudge& operator=(const OutputJudge&) = delete;

  // The probabilities of what is tested.
  const std::vector<double>& tests() const { return p_; }
  // To be called once, with these corrected.
  OutputVerdict Finish(std::vector<double> corrected);

 private:
  // Something that is tested, and where the answer goes.
  struct Open {
    FieldVerdict* field = nullptr;
    size_t index = 0;  // of verdict_.fields where `field` is null
    const PairedEvidence* evidence = nullptr;
    const FieldStatistics* statistics = nullptr;
    double fail_above = 0;
    bool certain = false;       // never noise: every difference counts
    bool maybe_clock = false;   // or a clock that has ticked
    std::vector<size_t> tests;  // of p_
    size_t order_test = SIZE_MAX;
  };

  void Gather();
  void AddField(std::string_view path, const FieldStatistics& field);
  void Prepare(std::string_view what, const PairedEvidence& evidence, int known,
               FieldVerdict& verdict);
  static void Fill(const PairedEvidence& evidence, FieldVerdict& verdict);
  FieldVerdict& FieldOf(const Open& open) {
    return open.field != nullptr ? *open.field : verdict_.fields[open.index];
  }
  const InputBlocks& Input() const { return verdict_.statistics.input; }
  size_t Test(double p) {
    p_.push_back(p);
    return p_.size() - 1;
  }
  double ExcessOf(const Open& open) const;
  void Decide(const Open& open);
  void Report(const FieldVerdict& one);
  void Worsen(Outcome outcome, std::string reason);
  void JudgeTotal();
  void JudgePairing();
  void JudgeMinimum();

  const OutputRules& rules_;
  const int known_missing_;
  const int known_extra_;
  const ShadowRules& all_;
  const bool enough_;
  const JobNoise& noise_;
  const JobNoise::Races& races_;  // of this output
  uint64_t records_ = 0;
  OutputVerdict verdict_;
  std::vector<Open> open_;
  std::vector<double> p_;
};

}  // namespace weir::shadow
