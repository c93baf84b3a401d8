// The rules that the conformance kit checks, each with the name that its messages carry. The table
// in docs/testing.md is compared with this one by a test.
#pragma once

#include <span>
#include <string_view>

namespace weir::testing {

enum class Rule {
  kNoFailure,
  kSameEachTime,
  kOwnState,
  kBatchCuts,
  kEmptyBatches,
  kFineTime,
  kOutputHeld,
  kBlockedEverywhere,
  kBarriers,
  kRestore,
  kRescale,
  kFrozenIsIndependent,
  kCheckpointComplete,
  kEndAnywhere,
  kNothingAfterEnd,
  kEmitsWithinCalls,
  kDeclaredPorts,
  kProgress,
  kNeverWaits,
  kWatermarkBehindRows,
  kWatermarkNeverFalls,
  kWatermarkNotAhead,
  kTimersInTime,
  kRejectOrEmit,
  kRejectLeavesNothing,
  kOwnKeys,
  kFreezeAtOnce,
  kDescribedState,
};

struct RuleInfo {
  Rule rule;
  std::string_view name;
  std::string_view text;
};

// All of them, in the order of the enum.
std::span<const RuleInfo> ConformanceRules();
std::string_view NameOf(Rule rule);

}  // namespace weir::testing
