#include "shadow/comparison.h"

#include <algorithm>
#include <bit>
#include <map>
#include <tuple>

#include "core/hash.h"
#include "shadow/limits.h"
#include "shadow/matching.h"

namespace weir::shadow {
namespace {

bool HasUnknown(const std::vector<FieldDifference>& differences) {
  return std::any_of(differences.begin(), differences.end(),
                     [](const FieldDifference& one) { return !one.known; });
}

// Whether one version differs in a field in which the other does not, or not in its shape.
bool HasItsOwn(const std::vector<FieldDifference>& one, const std::vector<FieldDifference>& other) {
  return std::any_of(one.begin(), one.end(), [&](const FieldDifference& each) {
    return !each.known && std::none_of(other.begin(), other.end(), [&](const FieldDifference& of) {
      return of.path == each.path && IsShape(of.change) == IsShape(each.change);
    });
  });
}

// What only the candidate has comes first, then by a hash that nothing prefers.
uint64_t RankOf(bool only_candidate, std::string_view text) {
  return Hash64(text) >> 1 | (only_candidate ? 0 : uint64_t{1} << 63);
}

uint64_t DistanceClass(Timestamp a, Timestamp b) {
  const auto apart = static_cast<uint64_t>(std::max(a, b)) - static_cast<uint64_t>(std::min(a, b));
  return std::bit_width(apart);
}

RecordSample Sample(std::string_view kind, const KeyedRecords& records, std::string_view baseline,
                    std::string_view candidate, bool only_candidate) {
  RecordSample sample;
  sample.rank = RankOf(only_candidate, baseline.empty() ? candidate : baseline);
  sample.kind = kind;
  sample.key = Shown(records.key, limits::kKeyBytesMax);
  if (baseline.empty() || candidate.empty()) {
    sample.baseline = Shown(baseline, limits::kSampleTextBytesMax);
    sample.candidate = Shown(candidate, limits::kSampleTextBytesMax);
  } else {
    std::tie(sample.baseline, sample.candidate) =
        ShownApart(baseline, candidate, limits::kSampleTextBytesMax);
  }
  return sample;
}

}  // namespace

RecordComparer::RecordComparer(const OutputRules& rules) : rules_(rules), differ_(rules) {}

void RecordComparer::Compare(const KeyedRecords& records, OutputStatistics& statistics) {
  const auto& a = records.baseline;
  if (records.key.empty() && !rules_.key.empty()) statistics.without_key += a.size();
  if (a == records.again && a == records.candidate) {
    return statistics.AddEqual(records.block, a.size());
  }
  statistics.baseline_records += a.size();
  statistics.again_records += records.again.size();
  statistics.candidate_records += records.candidate.size();
  statistics.input.Add(records.block, a.size());
  const Pairing again = Pair(a, records.again);
  const Pairing candidate = Pair(a, records.candidate);
  Count(again, statistics.again);
  Count(candidate, statistics.candidate);
  for (size_t i = 0; i < a.size(); ++i) CountFields(records, i, candidate, again, statistics);
  CountExtra(records, candidate, again, statistics);
  statistics.reordered.Add(records.block, candidate.reordered, again.reordered);
  if (candidate.reordered) {
    statistics.AddSample(
        Sample("reordered", records, a[0], records.candidate[0], !again.reordered));
  }
}

RecordComparer::Pairing RecordComparer::Pair(const std::vector<std::string_view>& baseline,
                                             const std::vector<std::string_view>& others) {
  Pairing pairing;
  pairing.partner.assign(baseline.size(), kUnmatched);
  pairing.differences.resize(baseline.size());
  std::multimap<std::string_view, size_t> open;
  for (size_t i = 0; i < others.size(); ++i) open.emplace(others[i], i);
  std::vector<size_t> left;
  for (size_t i = 0; i < baseline.size(); ++i) {
    const auto found = open.find(baseline[i]);
    if (found == open.end()) {
      left.push_back(i);
      continue;
    }
    pairing.partner[i] = found->second;
    open.erase(found);
  }
  std::vector<size_t> right;  // in the order of their texts
  for (const auto& [text, index] : open) right.push_back(index);
  std::sort(left.begin(), left.end(), [&](size_t x, size_t y) {
    return std::pair(baseline[x], x) < std::pair(baseline[y], y);
  });
  PairRest(baseline, others, left, right, pairing);
  pairing.extra = std::move(right);
  if (rules_.ordered && baseline.size() == others.size()) {
    pairing.reordered =
        !std::is_sorted(pairing.partner.begin(), pairing.partner.end()) && pairing.extra.empty();
  }
  return pairing;
}

// Those that differ in the fewest fields meet first, and fields whose differences are known count
// less than any other. What is too many meets in the order of its texts.
void RecordComparer::PairRest(const std::vector<std::string_view>& baseline,
                              const std::vector<std::string_view>& others,
                              std::vector<size_t>& left, std::vector<size_t>& right,
                              Pairing& pairing) {
  auto meet = [&](size_t x, size_t y) {
    pairing.partner[x] = y;
    pairing.differences[x] = differ_.Compare(baseline[x], others[y]);
  };
  const size_t pairs = left.size() * right.size();
  if (pairs == 1 || pairs > limits::kKeyPairsMax) {
    const size_t common = std::min(left.size(), right.size());
    for (size_t i = 0; i < common; ++i) meet(left[i], right[i]);
    right.erase(right.begin(), right.begin() + static_cast<ptrdiff_t>(common));
    return;
  }
  struct Candidate {
    size_t unknown, fields, x, y;  // x, y: indexes into left and right
    auto operator<=>(const Candidate&) const = default;
  };
  std::vector<Candidate> candidates;
  for (size_t x = 0; x < left.size(); ++x) {
    for (size_t y = 0; y < right.size(); ++y) {
      const auto& fields = differ_.Compare(baseline[left[x]], others[right[y]]);
      const auto known = std::ranges::count_if(fields, &FieldDifference::known);
      candidates.push_back({fields.size() - static_cast<size_t>(known), fields.size(), x, y});
    }
  }
  // Of those that are equal under the rules, as many as can be.
  std::vector<size_t> partners(left.size(), kUnmatched);
  MatchMost(partners, right.size(),
            [&](size_t x, size_t y) { return candidates[x * right.size() + y].fields == 0; });
  std::vector<bool> right_taken(right.size());
  for (size_t x = 0; x < left.size(); ++x) {
    if (partners[x] != kUnmatched) right_taken[partners[x]] = true;
  }
  std::sort(candidates.begin(), candidates.end());
  for (const Candidate& one : candidates) {
    if (partners[one.x] != kUnmatched || right_taken[one.y]) continue;
    right_taken[one.y] = true;
    partners[one.x] = one.y;
  }
  for (size_t x = 0; x < left.size(); ++x) {
    if (partners[x] != kUnmatched) meet(left[x], right[partners[x]]);
  }
  size_t y = 0;
  std::erase_if(right, [&](size_t) { return right_taken[y++]; });
}

void RecordComparer::Count(const Pairing& pairing, Comparison& comparison) const {
  for (size_t i = 0; i < pairing.partner.size(); ++i) {
    if (pairing.partner[i] == kUnmatched) {
      ++comparison.missing;
    } else if (pairing.differences[i].empty()) {
      ++comparison.matched;
    } else if (HasUnknown(pairing.differences[i])) {
      ++comparison.mismatched;
    } else {
      ++comparison.known;
    }
  }
  comparison.extra += pairing.extra.size();
  comparison.reordered += pairing.reordered;
}

void RecordComparer::CountFields(const KeyedRecords& records, size_t record,
                                 const Pairing& candidate, const Pairing& again,
                                 OutputStatistics& statistics) {
  const std::string_view text = records.baseline[record];
  const bool candidate_missing = candidate.partner[record] == kUnmatched;
  const bool again_missing = again.partner[record] == kUnmatched;
  statistics.missing.Add(records.block, candidate_missing, again_missing);
  if (candidate_missing) {
    statistics.AddSample(Sample("missing", records, text, "", !again_missing));
  }
  const auto& c = candidate.differences[record];
  const auto& b = again.differences[record];
  if (c.empty() && b.empty()) return;
  statistics.records.Add(records.block, HasItsOwn(c, b), HasItsOwn(b, c));
  if (HasUnknown(c)) {
    RecordSample sample = Sample("mismatched", records, text,
                                 records.candidate[candidate.partner[record]], HasItsOwn(c, b));
    for (const FieldDifference& one : c) sample.fields.push_back(one.path);
    statistics.AddSample(std::move(sample));
  }
  for (size_t i = 0, j = 0; i < c.size() || j < b.size();) {
    const bool in_c = i < c.size() && (j == b.size() || c[i].path <= b[j].path);
    const bool in_b = j < b.size() && (i == c.size() || b[j].path <= c[i].path);
    CountField(records, text, c, in_c ? &c[i] : nullptr, in_b ? &b[j] : nullptr,
               statistics.Field(in_c ? c[i].path : b[j].path));
    i += in_c;
    j += in_b;
  }
}

void RecordComparer::CountField(const KeyedRecords& records, std::string_view text,
                                const std::vector<FieldDifference>& all,
                                const FieldDifference* candidate, const FieldDifference* again,
                                FieldStatistics& field) {
  const bool in_c = candidate != nullptr;
  const bool in_b = again != nullptr;
  field.differs.Add(records.block, in_c, in_b);
  field.shape.Add(records.block, in_c && IsShape(candidate->change),
                  in_b && IsShape(again->change));
  // Where one of both does not differ, its value is the baseline's.
  const FieldValue& a = in_c ? candidate->left : again->left;
  const FieldValue& c = in_c ? candidate->right : a;
  const FieldValue& b = in_b ? again->right : a;
  const int order = FieldValue::Compare(c, b);
  field.order.Add(records.block, order > 0, order < 0);
  ++field.compared;
  if (a.time && b.time && c.time) {
    ++field.times;
    if (in_c) ++field.distances[DistanceClass(*a.time, *c.time)].candidate;
    if (in_b) ++field.distances[DistanceClass(*a.time, *b.time)].again;
  }
  if (!in_c) return;
  field.changes.resize(kChanges);
  ++field.changes[static_cast<size_t>(candidate->change)];
  FieldSample sample;
  sample.rank = RankOf(!in_b, text);
  if (field.samples.size() == limits::kFieldSamplesMax && field.samples.back().rank < sample.rank) {
    return;
  }
  sample.key = Shown(records.key, limits::kKeyBytesMax);
  sample.change = NameOf(candidate->change);
  const bool apart = !candidate->apart.first.empty();
  sample.baseline = apart ? candidate->apart.first : candidate->left.shown;
  sample.candidate = apart ? candidate->apart.second : candidate->right.shown;
  sample.only_candidate = !in_b;
  for (const FieldDifference& one : all) {
    if (one.path != candidate->path) sample.companions.push_back(CompanionOf(one.path));
  }
  field.AddSample(std::move(sample));
}

void RecordComparer::CountExtra(const KeyedRecords& records, const Pairing& candidate,
                                const Pairing& again, OutputStatistics& statistics) {
  const uint64_t in_c = candidate.extra.size();
  const uint64_t in_b = again.extra.size();
  const uint64_t both = std::min(in_c, in_b);
  statistics.extra.AddBoth(records.block, in_c, in_b);
  for (size_t extra : candidate.extra) {
    statistics.AddSample(Sample("extra", records, "", records.candidate[extra], in_c > both));
  }
}

}  // namespace weir::shadow
