// Races, as the baseline shows them: where two runs of the same code are alike in most records and
// in a part of them are not.
//
// A race lets each run take one of a few possible results: another duplicate, another order. In
// such a record some runs agree and one does not. A value that is random in every record that has
// it is none: no two runs ever agree. Nor is a clock, which only says when it was read.
//
// Where records race, a race may also send one elsewhere or change a field that it mostly leaves
// alone, and do so too rarely for the second baseline to show it. So "the baseline never differs
// from itself here" is no proof there: the verdict tests instead (verdict.h).
//
// What is a race is decided by records in which the second baseline differs, so no candidate can
// make a job look like one with races.
//
// A field of one name goes to several outputs of a job, of which some have few records. So a field
// that is noise in one of them is taken for deterministic in none. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "shadow/statistics.h"

namespace weir::shadow {

// Most records of the field, where it is noise, have a time on all sides.
bool IsClock(const FieldStatistics& field);

// Whether so many of an output's records are so few that it is hardly by chance where something
// else differs in one of them, too.
bool AreFew(uint64_t some, uint64_t records);

// What the baseline shows of noise, in all outputs of a job.
struct JobNoise {
  using Races = std::set<uint64_t>;    // CompanionOf() the paths of fields that race in few records
  std::map<std::string, Races> races;  // by output
  std::string race;  // the first one, for people; empty: none, in no field and no record
  std::set<std::string, std::less<>> fields;  // differ
  std::set<std::string, std::less<>> shapes;  // and differ in shape
};
JobNoise FindNoise(const std::map<std::string, OutputStatistics>& outputs);

// Whether each kept record in which the field differs in the candidate, and not in the second
// baseline, also differs in a field that races: then a race may have done it. False if none is
// kept.
bool OnlyBesideRaces(const FieldStatistics& field, const JobNoise::Races& races);

}  // namespace weir::shadow
