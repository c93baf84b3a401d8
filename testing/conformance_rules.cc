#include "testing/conformance_rules.h"

#include <algorithm>
#include <iterator>

#include "core/check.h"

namespace weir::testing {
namespace {

constexpr RuleInfo kRules[] = {
    {Rule::kNoFailure, "no-failure", "No call fails or throws on rows that the case gives."},
    {Rule::kSameEachTime, "same-each-time", "The same input has the same output each time."},
    {Rule::kOwnState, "own-state",
     "Instances share no state: two that run in turns do what each does alone."},
    {Rule::kBatchCuts, "batch-cuts", "It does not matter how rows are cut into batches."},
    {Rule::kEmptyBatches, "empty-batches", "A batch without rows changes nothing."},
    {Rule::kFineTime, "fine-time",
     "It does not matter in how many steps the clocks and the watermark move."},
    {Rule::kOutputHeld, "output-held",
     "What was emitted stays as it was, however late it is taken."},
    {Rule::kBlockedEverywhere, "blocked-everywhere",
     "State and I/O that are busy at every call, and wake-ups that come late or for nothing, lose "
     "and double nothing."},
    {Rule::kBarriers, "barriers",
     "Checkpoints anywhere, also with nothing between them, change nothing."},
    {Rule::kRestore, "restore",
     "Freeze and restore into a new instance, whenever the inbox is empty, lose and double "
     "nothing."},
    {Rule::kRescale, "rescale", "The same at another parallelism each time."},
    {Rule::kFrozenIsIndependent, "frozen-is-independent",
     "What Freeze() hands over does not change with what the instance does next."},
    {Rule::kCheckpointComplete, "checkpoint-complete",
     "OnCheckpointComplete() and Commit() may be repeated."},
    {Rule::kEndAnywhere, "end-anywhere", "The input may end anywhere; what was held comes out."},
    {Rule::kNothingAfterEnd, "nothing-after-end",
     "Nothing is emitted after Drain(kEndOfInput) is done."},
    {Rule::kEmitsWithinCalls, "emits-within-calls",
     "Output is used within the call that it was given to."},
    {Rule::kDeclaredPorts, "declared-ports", "Rows leave on ports that exist."},
    {Rule::kProgress, "progress", "kMoreOutput comes to an end, and whoever is kBlocked is woken."},
    {Rule::kNeverWaits, "never-waits", "No call waits for the I/O pool."},
    {Rule::kWatermarkBehindRows, "watermark-behind-rows",
     "No watermark overtakes rows that were received before it."},
    {Rule::kWatermarkNeverFalls, "watermark-never-falls", "The output watermark never falls."},
    {Rule::kWatermarkNotAhead, "watermark-not-ahead",
     "The output watermark is not ahead of the input's."},
    {Rule::kTimersInTime, "timers-in-time",
     "A timer of event time puts out nothing before the watermark has reached it."},
    {Rule::kRejectOrEmit, "reject-or-emit", "A row that is rejected has no output."},
    {Rule::kRejectLeavesNothing, "reject-leaves-nothing",
     "A row that is rejected leaves nothing behind that changes another row's output."},
    {Rule::kOwnKeys, "own-keys", "Keyed state is used for keys of the instance's own key groups."},
    {Rule::kFreezeAtOnce, "freeze-at-once",
     "Freeze() returns at once; what takes time is in Write()."},
    {Rule::kDescribedState, "described-state",
     "DescribeState() tells all that a checkpoint holds of the stage."},
};

}  // namespace

std::span<const RuleInfo> ConformanceRules() { return kRules; }

std::string_view NameOf(Rule rule) {
  const auto found = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const RuleInfo& info) { return info.rule == rule; });
  WEIR_CHECK(found != std::end(kRules));
  return found->name;
}

}  // namespace weir::testing
