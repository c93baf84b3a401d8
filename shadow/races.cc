#include "shadow/races.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace weir::shadow {
namespace {

// A field that differs in more of the records than this is no race but random in itself.
constexpr double kPartMax = 0.25;
// A change in one record stands in one that races as well by chance with this probability at most.
constexpr double kFewMax = 0.05;
// Of the records in which the second baseline differs, two runs agree in at least this part. Values
// that are random in each run do so by chance, in one of as many records as there are values.
constexpr double kAgreeingMin = 0.1;

bool IsPart(uint64_t some, uint64_t records, double part) {
  return static_cast<double>(some) <= part * static_cast<double>(records);
}

bool IsRace(const FieldStatistics& field, uint64_t records) {
  const PairedCounts& counts = field.differs.counts;
  if (counts.again() == 0 || !IsPart(counts.again(), records, kPartMax) || IsClock(field)) {
    return false;
  }
  // The candidate agrees with the first baseline, or with the second.
  const PairedCounts& order = field.order.counts;
  const uint64_t apart = order.only_candidate + order.only_again;
  const uint64_t agreeing =
      counts.only_again + (field.compared > apart ? field.compared - apart : 0);
  return static_cast<double>(agreeing) >= kAgreeingMin * static_cast<double>(counts.again());
}

}  // namespace

bool IsClock(const FieldStatistics& field) {
  return field.compared > 0 && field.times * 10 >= field.compared * 9;
}

bool AreFew(uint64_t some, uint64_t records) { return IsPart(some, records, kFewMax); }

JobNoise FindNoise(const std::map<std::string, OutputStatistics>& outputs) {
  JobNoise noise;
  for (const auto& [name, output] : outputs) {
    JobNoise::Races& races = noise.races[name];
    const uint64_t records = std::max(output.baseline_records, output.again_records);
    auto tell = [&, &name = name](std::string_view what, uint64_t count) {
      if (noise.race.empty()) noise.race = fmt::format("{}: {} in {} records", name, what, count);
    };
    auto look = [&](std::string_view path, const FieldStatistics& field) {
      const uint64_t again = field.differs.counts.again();
      if (again > 0) noise.fields.emplace(path);
      if (field.shape.counts.again() > 0) noise.shapes.emplace(path);
      if (!IsRace(field, records)) return;
      if (AreFew(again, records)) races.insert(CompanionOf(path));
      tell(path, again);
    };
    for (const auto& [path, field] : output.fields) look(path, field);
    look(kOtherFieldsPath, output.other_fields);
    for (const auto& [what, evidence] : {std::pair{"missing", &output.missing},
                                         {"extra", &output.extra},
                                         {"reordered", &output.reordered}}) {
      if (evidence->counts.again() > 0) tell(what, evidence->counts.again());
    }
  }
  return noise;
}

bool OnlyBesideRaces(const FieldStatistics& field, const JobNoise::Races& races) {
  bool found = false;
  for (const FieldSample& sample : field.samples) {
    if (!sample.only_candidate) continue;
    found = true;
    if (std::none_of(sample.companions.begin(), sample.companions.end(),
                     [&](uint64_t one) { return races.contains(one); })) {
      return false;
    }
  }
  return found;
}

}  // namespace weir::shadow
