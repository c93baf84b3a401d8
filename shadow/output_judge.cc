#include "shadow/output_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "shadow/noise.h"

namespace weir::shadow {
namespace {

// Of a leftover's records this part may have no counterpart to be looked for.
constexpr double kUnpairedMax = 0.001;
// Times that are noise: what is at least this far, and four times as far as noise ever was, is
// none.
constexpr uint64_t kFarClass = 30;  // 2^29 microseconds, about nine minutes
constexpr uint64_t kFartherClasses = 2;
// Where more of the records than these have no counterpart in the baseline's second run, and they
// are no few that a race moves to an output that has few, the comparison says nothing.
constexpr double kApartMax = 0.5;
constexpr uint64_t kApartMin = 100;
// A field that differs in this part of the records between the baselines cannot show other values.
constexpr double kSaturated = 0.9;

std::string Percent(uint64_t part, uint64_t whole) {
  if (whole == 0) return "0%";
  return fmt::format("{:.3g}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

// How many of the candidate's times are farther off than any clock's noise.
uint64_t FarTimes(const FieldStatistics& field) {
  uint64_t farthest_noise = 0;
  for (const auto& [distance, counts] : field.distances) {
    if (counts.again > 0) farthest_noise = distance;
  }
  uint64_t far = 0;
  for (const auto& [distance, counts] : field.distances) {
    if (distance > farthest_noise + kFartherClasses && distance >= kFarClass)
      far += counts.candidate;
  }
  return far;
}

}  // namespace

OutputJudge::OutputJudge(const OutputStatistics& statistics, const ShadowRules& all,
                         const OutputRules& rules, int known_output, uint64_t compared,
                         const JobNoise& noise)
    : rules_(rules),
      known_missing_(known_output >= 0 ? known_output : rules.known_missing),
      known_extra_(known_output >= 0 ? known_output : rules.known_extra),
      all_(all),
      enough_(compared >= all.minimum()),
      noise_(noise),
      races_(noise.races.at(statistics.output)) {
  verdict_.name = statistics.output;
  verdict_.statistics = statistics;
  records_ = std::max(statistics.baseline_records, statistics.candidate_records);
  Gather();
}

OutputVerdict OutputJudge::Finish(std::vector<double> corrected) {
  p_ = std::move(corrected);
  for (Open& open : open_) Decide(open);
  std::stable_sort(verdict_.fields.begin(), verdict_.fields.end(),
                   [](const FieldVerdict& a, const FieldVerdict& b) {
                     return std::tuple(a.finding, a.only_candidate) >
                            std::tuple(b.finding, b.only_candidate);
                   });
  for (const FieldVerdict& field : verdict_.fields) Report(field);
  for (const FieldVerdict* one : {&verdict_.missing, &verdict_.extra, &verdict_.reordered}) {
    Report(*one);
  }
  JudgeTotal();
  JudgePairing();
  JudgeMinimum();
  return std::move(verdict_);
}

void OutputJudge::Gather() {
  const OutputStatistics& found = verdict_.statistics;
  for (const auto& [path, field] : found.fields) AddField(path, field);
  if (found.other_fields.compared > 0) AddField(kOtherFieldsPath, found.other_fields);
  Prepare("missing records", found.missing, known_missing_, verdict_.missing);
  Prepare("extra records", found.extra, known_extra_, verdict_.extra);
  Prepare("reordered records", found.reordered, rules_.known_order, verdict_.reordered);
}

void OutputJudge::AddField(std::string_view path, const FieldStatistics& field) {
  const FieldRule& rule = rules_.fields.At(path);
  FieldVerdict& one = verdict_.fields.emplace_back();
  one.path = path;
  one.samples = field.samples;
  if (rule.known >= 0) one.known = all_.known()[static_cast<size_t>(rule.known)].reason;
  if (!field.changes.empty()) {
    const auto most = std::max_element(field.changes.begin(), field.changes.end());
    if (*most > 0) one.change = NameOf(static_cast<Change>(most - field.changes.begin()));
  }
  Fill(field.differs, one);
  if (field.differs.counts.candidate() == 0 || !one.known.empty()) return;
  Open open;
  open.index = verdict_.fields.size() - 1;
  open.evidence = &field.differs;
  open.statistics = &field;
  open.fail_above = rule.fail_above;
  const bool is_noise = noise_.fields.contains(path);
  // Few times that differ by little may be a clock that ticks between two readings.
  open.maybe_clock = enough_ && !is_noise && IsClock(field) && FarTimes(field) == 0 &&
                     AreFew(field.differs.counts.candidate(), records_);
  open.certain = enough_ && !is_noise && !open.maybe_clock && !OnlyBesideRaces(field, races_);
  if (!open.certain) {
    if (!IsClock(field) || !(is_noise || open.maybe_clock)) {
      open.tests.push_back(Test(PairedTest(field.differs, Input())));
    } else {
      open.tests.push_back(Test(std::exp2(-static_cast<double>(FarTimes(field)))));
    }
    const bool shape_is_noise = noise_.shapes.contains(path);
    const uint64_t shapes = field.shape.counts.only_candidate;
    // A shape that the baselines never have is a change, however noisy the values are; but one
    // that came with another record, where records race, is as good as any.
    const bool races = !races_.empty() && AreFew(field.differs.counts.again(), records_);
    open.certain = enough_ && !shape_is_noise && !races && shapes > 0;
    if (shape_is_noise || (races && shapes > 0)) {
      open.tests.push_back(Test(PairedTest(field.shape, Input())));
    }
    if (!IsClock(field)) open.order_test = Test(PairedTestTwoSided(field.order, Input()));
  }
  open_.push_back(std::move(open));
}

void OutputJudge::Prepare(std::string_view what, const PairedEvidence& evidence, int known,
                          FieldVerdict& verdict) {
  verdict.path = what;
  if (known >= 0) verdict.known = all_.known()[static_cast<size_t>(known)].reason;
  Fill(evidence, verdict);
  if (evidence.counts.candidate() == 0 || known >= 0) return;
  Open open;
  open.field = &verdict;
  open.evidence = &evidence;
  open.certain = enough_ && evidence.counts.again() == 0 && noise_.race.empty();
  if (!open.certain) open.tests.push_back(Test(PairedTest(evidence, Input())));
  open_.push_back(std::move(open));
}

void OutputJudge::Fill(const PairedEvidence& evidence, FieldVerdict& verdict) {
  verdict.differs = evidence.counts.candidate();
  verdict.noise = evidence.counts.again();
  verdict.only_candidate = evidence.counts.only_candidate;
  verdict.only_again = evidence.counts.only_again;
  if (!verdict.known.empty() && verdict.differs > 0) verdict.finding = Finding::kKnown;
}

// What part of the records differs beyond noise. A field that is noise in all of them cannot
// differ in more; but it may have another shape, or be a clock that is far off.
double OutputJudge::ExcessOf(const Open& open) const {
  const auto excess = [](const PairedCounts& counts) {
    return static_cast<double>(counts.only_candidate) - static_cast<double>(counts.only_again);
  };
  double most = excess(open.evidence->counts);
  if (open.statistics != nullptr) {
    most = std::max(most, excess(open.statistics->shape.counts));
    if (IsClock(*open.statistics)) {
      most = std::max(most, static_cast<double>(FarTimes(*open.statistics)));
    }
  }
  return most / static_cast<double>(std::max<uint64_t>(records_, 1));
}

void OutputJudge::Decide(const Open& open) {
  FieldVerdict& one = FieldOf(open);
  const PairedCounts& counts = open.evidence->counts;
  const double excess = ExcessOf(open);
  one.p = open.certain ? 0 : 1;
  for (size_t test : open.tests) one.p = std::min(one.p, p_[test]);
  if (one.p < kAlphaFail) {
    one.finding =
        excess > open.fail_above || open.fail_above == 0 ? Finding::kChanged : Finding::kTolerated;
    one.why = open.certain && counts.again() == 0
                  ? "the baseline never differs from itself here"
                  : fmt::format(
                        "{} records differ in the candidate alone, {} in the second "
                        "baseline alone: no chance (p = {:.1g})",
                        counts.only_candidate, counts.only_again, one.p);
    return;
  }
  if (open.maybe_clock) {
    one.finding = Finding::kDoubt;
    one.why = fmt::format(
        "{} times differ by little in the candidate alone: a change, or a clock that the "
        "baselines "
        "happened to read alike; ignore it if it is one, or give it a tolerance",
        counts.only_candidate);
    return;
  }
  if (open.order_test != SIZE_MAX && p_[open.order_test] < kAlphaFail) {
    const PairedCounts& order = open.statistics->order.counts;
    const bool above = order.only_candidate > order.only_again;
    one.finding = Finding::kDoubt;
    one.p = p_[open.order_test];
    one.why = fmt::format(
        "it is noise, but the candidate's values stand {} those of the second baseline in {} "
        "records and {} in {}: a change, or a clock or counter that runs on between versions; "
        "ignore it if it is one",
        above ? "above" : "below", above ? order.only_candidate : order.only_again,
        above ? "below" : "above", above ? order.only_again : order.only_candidate);
    return;
  }
  if (one.p < kAlphaDoubt || NeedsMoreBlocks(*open.evidence, Input(), kAlphaFail)) {
    const bool clock = open.statistics != nullptr && IsClock(*open.statistics);
    if (one.p >= kAlphaDoubt && clock) {
      one.finding = Finding::kClock;
      return;
    }
    one.finding =
        excess > open.fail_above || open.fail_above == 0 ? Finding::kDoubt : Finding::kTolerated;
    one.why = fmt::format(
        "{} records differ in the candidate alone, {} in the second baseline "
        "alone: more than noise, but too few or too close together to be "
        "sure; a longer run would tell",
        counts.only_candidate, counts.only_again);
    return;
  }
  if (!enough_ && counts.again() == 0) {
    one.finding = Finding::kDoubt;
    one.why = "too few records to know whether it is noise";
  } else if (open.statistics != nullptr && IsClock(*open.statistics)) {
    one.finding = Finding::kClock;
  }
}

void OutputJudge::Report(const FieldVerdict& one) {
  if (one.finding == Finding::kChanged) {
    Worsen(Outcome::kFail,
           fmt::format("{}: {} of {} records ({}), {} by noise; {}", one.path, one.differs,
                       records_, Percent(one.differs, records_), one.noise, one.why));
  } else if (one.finding == Finding::kDoubt) {
    Worsen(Outcome::kInconclusive, fmt::format("{}: {}", one.path, one.why));
  } else if (one.finding == Finding::kNoise && one.noise == 0 && one.differs > 0) {
    const std::string where = noise_.fields.contains(one.path)
                                  ? "since it is noise in another output"
                                  : "since records race: in the baseline itself, " + noise_.race;
    verdict_.notes.push_back(fmt::format(
        "{}: {} in the candidate and none in the second baseline, which may be chance "
        "(p = {:.2g}), {}",
        one.path, one.differs, std::exp2(-static_cast<double>(one.only_candidate)), where));
  } else if (one.finding == Finding::kNoise && one.noise > 0 &&
             static_cast<double>(one.noise) > kSaturated * static_cast<double>(records_)) {
    verdict_.notes.push_back(fmt::format(
        "{} differs in nearly every record of the baseline, too: of its values only shape and "
        "order were compared",
        one.path));
  }
}

void OutputJudge::Worsen(Outcome outcome, std::string reason) {
  verdict_.outcome = std::max(verdict_.outcome, outcome);
  verdict_.reasons.push_back(std::move(reason));
}

// Many fields may each differ within what the rules allow.
void OutputJudge::JudgeTotal() {
  if (rules_.fail_total <= 0) return;
  const OutputStatistics& found = verdict_.statistics;
  double excess = 0;
  const auto add = [&](const PairedCounts& counts, bool known) {
    if (known) return;
    excess += static_cast<double>(counts.only_candidate) - static_cast<double>(counts.only_again);
  };
  add(found.records.counts, false);  // known fields are none of these
  add(found.missing.counts, known_missing_ >= 0);
  add(found.extra.counts, known_extra_ >= 0);
  const double part = excess / static_cast<double>(std::max<uint64_t>(records_, 1));
  if (part > rules_.fail_total) {
    Worsen(Outcome::kFail,
           fmt::format("{:.3g}% of the records differ beyond noise; the rules allow {:.3g}%",
                       100 * part, 100 * rules_.fail_total));
  }
}

void OutputJudge::JudgePairing() {
  const OutputStatistics& found = verdict_.statistics;
  if (found.without_key > 0) {
    verdict_.notes.push_back(fmt::format(
        "{} records lack a field of the key and were compared as a whole", found.without_key));
  }
  const uint64_t apart = std::max(known_missing_ < 0 ? found.missing.counts.again() : 0,
                                  known_extra_ < 0 ? found.extra.counts.again() : 0);
  if (apart >= kApartMin &&
      static_cast<double>(apart) > kApartMax * static_cast<double>(records_)) {
    Worsen(Outcome::kInconclusive,
           fmt::format("{} of {} records have no counterpart in another run of the baseline, so "
                       "a change of them cannot be told from noise; name the fields that tell "
                       "records apart as 'key' in the rules, or ignore those that are random",
                       apart, records_));
  }
  if (found.unpaired == 0) return;
  if (found.keys_changed > 0) {
    Worsen(Outcome::kInconclusive,
           fmt::format("keys with too many records to tell which of them is which: of {}, they "
                       "are the same in both baselines, and others in the candidate",
                       found.keys_changed));
  }
  const std::string text = fmt::format(
      "{} records {}", found.unpaired,
      rules_.key.empty() ? "have no equal counterpart and are too many to be paired without a key"
                         : "have a key that too many others have, or none, and were not compared");
  if (static_cast<double>(found.unpaired) > kUnpairedMax * static_cast<double>(records_)) {
    Worsen(Outcome::kInconclusive,
           text + "; name the fields that tell records apart as 'key' in the rules");
  } else {
    verdict_.notes.push_back(text);
  }
}

void OutputJudge::JudgeMinimum() {
  const uint64_t compared = verdict_.statistics.baseline_records;
  if (compared < rules_.minimum) {
    Worsen(Outcome::kInconclusive,
           fmt::format("{} records were compared; the rules ask for {}: give it more input",
                       compared, rules_.minimum));
  }
}

}  // namespace weir::shadow
