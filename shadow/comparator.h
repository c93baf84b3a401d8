// Comparator: where the records of the three versions meet. A keyed operator like any other: what
// it waits for is keyed state, what it has found leaves with the next checkpoint.
//
// Records meet by output and key, or by their whole text where they have no key. As soon as all
// versions have a record of the same text, it is a match and forgotten. What is left waits until
// all versions have gone on by `patience` of event time (ComparatorOptions), and is then compared:
// within a key by RecordComparer; a text without a key becomes a leftover, which is paired in the
// end (pairing.h).
//
// What is found is summed up in memory and goes out in front of every barrier and at the end of the
// input, as one PartialResult for each output of which there is something new; leftovers go out one
// by one.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "operators/operator.h"
#include "shadow/comparison.h"
#include "shadow/pairing.h"
#include "shadow/rules.h"
#include "shadow/statistics.h"
#include "shadow/tapped_record.h"

namespace weir::shadow {

// A part of what a shadow has found; all results together, in any order, are what it has found.
struct PartialResult {
  std::optional<OutputStatistics> statistics;
  std::optional<LeftoverText> leftover;
  BOOST_DESCRIBE_CLASS(PartialResult, (), (statistics, leftover), (), ())
};

inline constexpr Duration kPatienceDefault = Hours(38);

struct ComparatorOptions {
  std::shared_ptr<const ShadowRules> rules;
  // How long, in event time, a record waits for its counterparts behind its own time and the
  // watermark. What differs is only told then, so this is what a wrong event time may be off by and
  // still be told as one; a day and a time zone.
  Duration patience = kPatienceDefault;
};

// Emits Batch<PartialResult>.
std::unique_ptr<Operator> MakeComparator(ComparatorOptions options);

// By what the stream of tapped records is keyed.
std::string_view MeetingOf(const TappedRecord& record);

}  // namespace weir::shadow
