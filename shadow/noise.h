// The test that tells a change from noise.
//
// The baseline ran twice (statistics.h). If the candidate is the baseline, it and the second
// baseline are exchangeable: of the records that differ in one of both alone, each is the
// candidate's with probability 1/2. So the number of the candidate's is tested against a fair coin
// (the exact sign test of McNemar), one-sided, since a candidate that is less noisy is no fault.
//
// Records that differ in runs are not independent, so blocks of the input are tested as well, which
// are made longer until neighbours no longer differ alike: under exchangeability the sign of each
// block's difference is a fair coin, too. Up to kExactBlocks blocks all signs are tried; of more,
// the sum over the root of the sum of squares is compared with a normal tail times 3.178, which
// bounds every such sum (Bentkus and Dzindzalieta, 2015). Both must be significant: the larger p
// counts.
//
// Several fields are tested, so Holm's correction makes kAlphaFail the probability that anything in
// any output is called changed though nothing is.
//
// A field that never differs between the two baselines, in at least the minimum of records, is
// taken for deterministic: one difference is a change. If it does differ, but so rarely that by
// chance the second baseline shows none, that is wrong; docs/shadow.md says how often.
//
// Pure functions; any thread.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "shadow/statistics.h"

namespace weir::shadow {

inline constexpr double kAlphaFail = 0.001;  // p below: a change
inline constexpr double kAlphaDoubt = 0.02;  // p below: not enough to tell
inline constexpr size_t kExactBlocks = 16;

// The probability that a fair coin shows `heads` or more in `tosses`.
double SignTest(uint64_t heads, uint64_t tosses);
// The probability that random signs of these numbers have their sum or a larger one; 1 if it is <=
// 0.
double BlockTest(std::span<const double> differences);
// The larger of both: that the candidate differs more than the second baseline by chance. `input`:
// of the output.
double PairedTest(const PairedEvidence& evidence, const InputBlocks& input);
// The same in either direction.
double PairedTestTwoSided(const PairedEvidence& evidence, const InputBlocks& input);
// Whether the records would be significant, and the blocks would be if there were more of them:
// they are fewer than 6, or all agree and are too few for that to say enough.
bool NeedsMoreBlocks(const PairedEvidence& evidence, const InputBlocks& input, double alpha);
// p values, adjusted (Holm), in their order.
std::vector<double> Holm(std::span<const double> p);

}  // namespace weir::shadow
