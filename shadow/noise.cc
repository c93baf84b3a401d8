#include "shadow/noise.h"

#include <algorithm>
#include <bit>
#include <boost/math/special_functions/beta.hpp>
#include <cmath>
#include <numeric>

namespace weir::shadow {
namespace {

// Bentkus and Dzindzalieta: P(sum of signed numbers >= t) <= 3.178 P(Z >= t), their squares' sum 1.
constexpr double kSignBound = 3.178;

double NormalTail(double t) { return 0.5 * std::erfc(t / std::sqrt(2.0)); }

// Neighbours that are more alike than this are no independent witnesses.
constexpr double kCorrelationMax = 0.2;
constexpr size_t kBlocksMin = 8;  // that are looked at for it
// With fewer a test of them says nothing.
constexpr size_t kBlocksForAnything = 6;

// Of neighbours, from -1 to 1.
double Correlation(const std::vector<double>& blocks) {
  const double mean =
      std::accumulate(blocks.begin(), blocks.end(), 0.0) / static_cast<double>(blocks.size());
  double squares = 0;
  double products = 0;
  for (size_t i = 0; i < blocks.size(); ++i) {
    squares += (blocks[i] - mean) * (blocks[i] - mean);
    if (i > 0) products += (blocks[i] - mean) * (blocks[i - 1] - mean);
  }
  return squares > 0 ? products / squares : 0;
}

// How many more records of the candidate differ in each stretch of the input than of the second
// baseline, times `sign`, where that is not 0. Stretches are made longer until neighbours look
// independent.
std::vector<double> Differences(const PairedEvidence& evidence, const InputBlocks& input,
                                double sign) {
  std::vector<double> blocks = DifferencesByBlock(evidence, input);
  while (blocks.size() >= 2 * kBlocksMin && Correlation(blocks) > kCorrelationMax) {
    std::vector<double> longer((blocks.size() + 1) / 2);
    for (size_t i = 0; i < blocks.size(); ++i) longer[i / 2] += blocks[i];
    blocks = std::move(longer);
  }
  std::erase(blocks, 0.0);
  for (double& block : blocks) block *= sign;
  return blocks;
}

double Test(const PairedEvidence& evidence, const InputBlocks& input, bool candidate) {
  const PairedCounts& counts = evidence.counts;
  const uint64_t heads = candidate ? counts.only_candidate : counts.only_again;
  const double records = SignTest(heads, counts.only_candidate + counts.only_again);
  return std::max(records, BlockTest(Differences(evidence, input, candidate ? 1 : -1)));
}

}  // namespace

double SignTest(uint64_t heads, uint64_t tosses) {
  if (heads == 0) return 1;
  // The binomial tail is the incomplete beta function.
  return boost::math::ibeta(static_cast<double>(heads), static_cast<double>(tosses - heads) + 1,
                            0.5);
}

double BlockTest(std::span<const double> differences) {
  const double sum = std::accumulate(differences.begin(), differences.end(), 0.0);
  if (sum <= 0) return 1;
  if (differences.size() <= kExactBlocks) {
    // Gray code: each step turns one sign.
    const uint64_t all = uint64_t{1} << differences.size();
    double signed_sum = sum;
    std::vector<double> signs(differences.begin(), differences.end());
    uint64_t reached = 1;
    for (uint64_t i = 1; i < all; ++i) {
      double& turned = signs[static_cast<size_t>(std::countr_zero(i))];
      turned = -turned;
      signed_sum += 2 * turned;
      reached += signed_sum >= sum;
    }
    return static_cast<double>(reached) / static_cast<double>(all);
  }
  double squares = 0;
  for (double one : differences) squares += one * one;
  return std::min(1.0, kSignBound * NormalTail(sum / std::sqrt(squares)));
}

double PairedTest(const PairedEvidence& evidence, const InputBlocks& input) {
  return Test(evidence, input, true);
}

double PairedTestTwoSided(const PairedEvidence& evidence, const InputBlocks& input) {
  return std::min(1.0, 2 * std::min(Test(evidence, input, true), Test(evidence, input, false)));
}

bool NeedsMoreBlocks(const PairedEvidence& evidence, const InputBlocks& input, double alpha) {
  const PairedCounts& counts = evidence.counts;
  if (SignTest(counts.only_candidate, counts.only_candidate + counts.only_again) >= alpha) {
    return false;
  }
  const std::vector<double> differences = Differences(evidence, input, 1);
  if (differences.size() < kBlocksForAnything) return true;
  const double least = std::exp2(-static_cast<double>(differences.size()));
  return least >= alpha && BlockTest(differences) <= least;
}

std::vector<double> Holm(std::span<const double> p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t i = 0; i < order.size(); ++i) {
    const double factor = static_cast<double>(p.size() - i);
    largest = std::max(largest, std::min(1.0, factor * p[order[i]]));
    adjusted[order[i]] = largest;
  }
  return adjusted;
}

}  // namespace weir::shadow
