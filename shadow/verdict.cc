#include "shadow/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "shadow/noise.h"
#include "shadow/output_judge.h"
#include "shadow/races.h"

namespace weir::shadow {
namespace {

// What the jobs say of the output themselves.
void AddDeclared(const DeclaredOutput& declared, const OutputRules& rules, OutputVerdict& verdict) {
  if (declared.in_baseline != declared.in_candidate) {
    const std::string text = declared.in_baseline ? "the candidate has no such output"
                                                  : "the baseline has no such output";
    if (rules.known_output >= 0) {
      verdict.notes.push_back(text + ", as the rules expect");
    } else {
      verdict.outcome = Outcome::kFail;
      verdict.reasons.insert(verdict.reasons.begin(), text);
    }
  }
  if (!declared.schema_change.empty()) {
    verdict.notes.push_back("the schema of its rows has changed: " + declared.schema_change);
  }
}

}  // namespace

std::string_view NameOf(Outcome outcome) {
  static constexpr std::string_view kNames[] = {"PASS", "INCONCLUSIVE", "FAIL"};
  return kNames[static_cast<size_t>(outcome)];
}

int ExitCodeOf(Outcome outcome) {
  static constexpr int kCodes[] = {0, 4, 3};
  return kCodes[static_cast<size_t>(outcome)];
}

std::string_view NameOf(Finding finding) {
  static constexpr std::string_view kNames[] = {"noise",     "clock", "known",
                                                "tolerated", "doubt", "changed"};
  return kNames[static_cast<size_t>(finding)];
}

void ShadowResult::Declare(DeclaredOutput output) {
  std::string name = output.name;
  declared_.insert_or_assign(std::move(name), std::move(output));
}

void ShadowResult::Add(const OutputStatistics& statistics) {
  const auto [entry, fresh] = outputs_.try_emplace(statistics.output);
  entry->second.output = statistics.output;
  entry->second.Merge(statistics);
}

void ShadowResult::Add(std::string_view output, const Leftovers& leftovers) {
  leftovers_[std::string(output)].Merge(leftovers);
}

void ShadowResult::Add(const LeftoverText& leftover) {
  leftovers_[leftover.output].Add(leftover.text, leftover.counts);
}

void ShadowResult::Finish(const ShadowRules& rules) {
  for (const auto& [name, leftovers] : leftovers_) {
    OutputStatistics& statistics = outputs_[name];
    statistics.output = name;
    PairLeftovers(leftovers, rules.For(name), statistics);
  }
  leftovers_.clear();
  for (const auto& [name, declared] : declared_) {
    if (!declared.routed) outputs_[name].output = name;
  }
}

Verdict Judge(const ShadowResult& result, const ShadowRules& rules) {
  Verdict verdict;
  for (const auto& [name, statistics] : result.outputs()) {
    verdict.compared += statistics.baseline_records;
  }
  const JobNoise noise = FindNoise(result.outputs());
  std::deque<OutputJudge> judges;
  std::vector<double> tests;
  for (const auto& [name, statistics] : result.outputs()) {
    const OutputRules& own = rules.For(name);
    const auto declared = result.declared().find(name);
    // A route is there with its first record.
    const bool one_side =
        declared != result.declared().end()
            ? declared->second.in_baseline != declared->second.in_candidate
            : (statistics.baseline_records == 0) != (statistics.candidate_records == 0);
    judges.emplace_back(statistics, rules, own, one_side ? own.known_output : -1, verdict.compared,
                        noise);
    tests.insert(tests.end(), judges.back().tests().begin(), judges.back().tests().end());
  }
  // Of all outputs together, however many there are.
  tests = Holm(tests);
  auto corrected = tests.begin();
  for (OutputJudge& judge : judges) {
    const auto end = corrected + static_cast<ptrdiff_t>(judge.tests().size());
    OutputVerdict output = judge.Finish({corrected, end});
    corrected = end;
    if (const auto declared = result.declared().find(output.name);
        declared != result.declared().end()) {
      AddDeclared(declared->second, rules.For(output.name), output);
    }
    verdict.outputs.push_back(std::move(output));
  }
  std::stable_sort(verdict.outputs.begin(), verdict.outputs.end(),
                   [](const auto& a, const auto& b) { return a.outcome > b.outcome; });
  for (const OutputVerdict& output : verdict.outputs) {
    verdict.outcome = std::max(verdict.outcome, output.outcome);
    for (const std::string& reason : output.reasons) {
      verdict.reasons.push_back(output.name + ": " + reason);
    }
    for (const std::string& note : output.notes) verdict.notes.push_back(output.name + ": " + note);
  }
  if (verdict.compared < rules.minimum()) {
    verdict.outcome = std::max(verdict.outcome, Outcome::kInconclusive);
    verdict.reasons.push_back(
        fmt::format("{} records were compared, and a PASS needs {}: give it more input, or lower "
                    "'minimum' in the rules",
                    verdict.compared, rules.minimum()));
  }
  for (const KnownDifference& known : rules.known()) {
    if (!known.expired) continue;
    verdict.notes.push_back(
        fmt::format("the known difference on line {} of the rules ('{}') ended "
                    "on {} and no longer counts",
                    known.line, known.reason, known.until));
  }
  for (const std::string& name : rules.OutputNames()) {
    if (result.outputs().contains(name)) continue;
    const std::string text = fmt::format("the rules name the output '{}', which is none", name);
    if (const uint64_t minimum = rules.For(name).minimum; minimum > 0) {
      verdict.outcome = std::max(verdict.outcome, Outcome::kInconclusive);
      verdict.reasons.push_back(
          fmt::format("{}, and want at least {} records of it", text, minimum));
    } else {
      verdict.notes.push_back(text);
    }
  }
  return verdict;
}

}  // namespace weir::shadow
