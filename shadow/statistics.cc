#include "shadow/statistics.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <tuple>

#include "core/check.h"
#include "core/hash.h"
#include "shadow/limits.h"

namespace weir::shadow {
namespace {

// Keeps the samples that come first, each once.
template <class Sample, class Key>
void KeepFirst(std::vector<Sample>& samples, size_t kept, Key key) {
  std::sort(samples.begin(), samples.end(),
            [&](const Sample& a, const Sample& b) { return key(a) < key(b); });
  samples.erase(std::unique(samples.begin(), samples.end()), samples.end());
  if (samples.size() > kept) samples.resize(kept);
}

void KeepFirst(std::vector<FieldSample>& samples) {
  KeepFirst(samples, limits::kFieldSamplesMax, [](const FieldSample& sample) {
    return std::tie(sample.rank, sample.key, sample.change, sample.baseline, sample.candidate,
                    sample.only_candidate, sample.companions);
  });
}

// Of each kind, so that a frequent one leaves room for a rare one.
void KeepFirst(std::vector<RecordSample>& samples) {
  std::map<std::string, std::vector<RecordSample>> kinds;
  for (RecordSample& sample : samples) kinds[sample.kind].push_back(std::move(sample));
  samples.clear();
  for (auto& [kind, of_kind] : kinds) {
    KeepFirst(of_kind, limits::kKindSamplesMax, [](const RecordSample& sample) {
      return std::tie(sample.rank, sample.key, sample.baseline, sample.candidate, sample.fields);
    });
    std::move(of_kind.begin(), of_kind.end(), std::back_inserter(samples));
  }
}

// Which fields are told apart where there are too many.
std::pair<uint64_t, std::string_view> RankOf(std::string_view path) { return {Hash64(path), path}; }

// Of PairedEvidence and InputBlocks.
template <class Blocks>
void Coarsen(uint64_t to_shift, Blocks& of) {
  if (to_shift <= of.shift) return;
  decltype(of.blocks) coarse;
  for (const auto& [block, counts] : of.blocks) coarse[block >> (to_shift - of.shift)] += counts;
  of.blocks = std::move(coarse);
  of.shift = to_shift;
}

// To the smallest shift that leaves few enough, which is the same in whatever order they came.
template <class Blocks>
void Bound(Blocks& of) {
  while (of.blocks.size() > limits::kBlocksMax) Coarsen(of.shift + 1, of);
}

template <class Blocks>
void MergeBlocks(const Blocks& from, Blocks& to) {
  Coarsen(from.shift, to);
  for (const auto& [block, counts] : from.blocks) {
    to.blocks[block >> (to.shift - from.shift)] += counts;
  }
  Bound(to);
}

}  // namespace

uint64_t CompanionOf(std::string_view path) { return Hash64(path); }

void PairedCounts::Add(bool candidate, bool again, uint64_t count) {
  if (candidate && again) {
    both += count;
  } else if (candidate) {
    only_candidate += count;
  } else if (again) {
    only_again += count;
  }
}

void PairedCounts::Merge(const PairedCounts& other) {
  only_candidate += other.only_candidate;
  only_again += other.only_again;
  both += other.both;
}

PairedEvidence::Block& PairedEvidence::Block::operator+=(const Block& other) {
  candidate += other.candidate;
  again += other.again;
  return *this;
}

void PairedEvidence::Add(uint64_t block, bool candidate, bool again, uint64_t count) {
  counts.Add(candidate, again, count);
  if (candidate == again || count == 0) return;
  Block& one = blocks[block >> shift];
  (candidate ? one.candidate : one.again) += count;
  Bound(*this);
}

void PairedEvidence::AddBoth(uint64_t block, uint64_t candidate, uint64_t again) {
  const uint64_t both = std::min(candidate, again);
  Add(block, true, true, both);
  Add(block, true, false, candidate - both);
  Add(block, false, true, again - both);
}

void PairedEvidence::Merge(const PairedEvidence& other) {
  counts.Merge(other.counts);
  MergeBlocks(other, *this);
}

void InputBlocks::Add(uint64_t block, uint64_t records) {
  if (records == 0) return;
  blocks[block >> shift] += records;
  Bound(*this);
}

void InputBlocks::Merge(const InputBlocks& other) { MergeBlocks(other, *this); }

std::vector<double> DifferencesByBlock(const PairedEvidence& evidence, const InputBlocks& input) {
  PairedEvidence counts = evidence;
  InputBlocks all = input;
  Coarsen(all.shift, counts);
  Coarsen(counts.shift, all);
  for (const auto& [block, records] : all.blocks) counts.blocks.try_emplace(block);
  std::vector<double> differences;
  for (const auto& [block, one] : counts.blocks) {
    differences.push_back(static_cast<double>(one.candidate) - static_cast<double>(one.again));
  }
  return differences;
}

void FieldStatistics::AddSample(FieldSample sample) {
  if (samples.size() == limits::kFieldSamplesMax && samples.back().rank < sample.rank) return;
  samples.push_back(std::move(sample));
  KeepFirst(samples);
}

void FieldStatistics::Merge(const FieldStatistics& other) {
  differs.Merge(other.differs);
  shape.Merge(other.shape);
  order.Merge(other.order);
  times += other.times;
  compared += other.compared;
  for (const auto& [distance, counts] : other.distances) {
    distances[distance].candidate += counts.candidate;
    distances[distance].again += counts.again;
  }
  changes.resize(std::max(changes.size(), other.changes.size()));
  for (size_t i = 0; i < other.changes.size(); ++i) changes[i] += other.changes[i];
  samples.insert(samples.end(), other.samples.begin(), other.samples.end());
  KeepFirst(samples);
}

void Comparison::Merge(const Comparison& other) {
  matched += other.matched;
  mismatched += other.mismatched;
  known += other.known;
  missing += other.missing;
  extra += other.extra;
  reordered += other.reordered;
}

FieldStatistics& OutputStatistics::Field(std::string_view path) {
  if (path == kOtherFieldsPath) return other_fields;
  std::string name(path);
  if (const auto found = fields.find(name); found != fields.end()) return found->second;
  fields.try_emplace(name);
  Bound();
  const auto found = fields.find(name);
  return found == fields.end() ? other_fields : found->second;
}

void OutputStatistics::AddSample(RecordSample sample) {
  // As KeepFirst() leaves them, those of a kind stand together, the last of them first to go.
  size_t kept = 0;
  uint64_t last = 0;
  for (const RecordSample& one : samples) {
    if (one.kind != sample.kind) continue;
    ++kept;
    last = one.rank;
  }
  if (kept == limits::kKindSamplesMax && last < sample.rank) return;
  samples.push_back(std::move(sample));
  KeepFirst(samples);
}

void OutputStatistics::AddEqual(uint64_t block, uint64_t records) {
  baseline_records += records;
  again_records += records;
  candidate_records += records;
  input.Add(block, records);
  candidate.matched += records;
  again.matched += records;
}

void OutputStatistics::Merge(const OutputStatistics& other) {
  WEIR_CHECK(output == other.output);
  baseline_records += other.baseline_records;
  again_records += other.again_records;
  candidate_records += other.candidate_records;
  without_key += other.without_key;
  unpaired += other.unpaired;
  input.Merge(other.input);
  keys_changed += other.keys_changed;
  candidate.Merge(other.candidate);
  again.Merge(other.again);
  records.Merge(other.records);
  missing.Merge(other.missing);
  extra.Merge(other.extra);
  reordered.Merge(other.reordered);
  for (const auto& [path, field] : other.fields) fields[path].Merge(field);
  other_fields.Merge(other.other_fields);
  samples.insert(samples.end(), other.samples.begin(), other.samples.end());
  KeepFirst(samples);
  Bound();
}

// Of too many fields those with the lowest hashes stay. What stays in the end has stayed all the
// time, and so has all its counts.
void OutputStatistics::Bound() {
  if (fields.size() <= limits::kFieldsMax) return;
  std::vector<std::pair<uint64_t, std::string>> ranks;
  for (const auto& [path, field] : fields) ranks.emplace_back(RankOf(path));
  std::sort(ranks.begin(), ranks.end());
  for (size_t i = limits::kFieldsMax; i < ranks.size(); ++i) {
    const auto dropped = fields.find(ranks[i].second);
    FieldStatistics field = std::move(dropped->second);
    fields.erase(dropped);
    other_fields.Merge(field);
  }
}

}  // namespace weir::shadow
