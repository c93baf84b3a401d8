// Comparator: where the records of the three versions meet. A keyed operator like any other: what
// it waits for is keyed state, what it has found leaves with the next checkpoint.
//
// Records meet by output and key, or by their whole text where they have no key. As soon as all
// versions have a record of the same text, it is a match and forgotten; mostly at once, in memory
// (match_buffer.h), but where the order of records counts. What is left waits until
// all versions have gone on by `patience` of event time (ComparatorOptions), and is then compared:
// within a key by RecordComparer; a text without a key becomes a leftover, which is paired in the
// end (pairing.h). A key whose records are due leaves those of the last quarter of the patience to
// wait for their counterparts.
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
#include "shadow/limits.h"
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

// So that three quarters of it are a day and a time zone.
inline constexpr Duration kPatienceDefault = Hours(51);

struct ComparatorOptions {
  std::shared_ptr<const ShadowRules> rules;
  // How long, in event time, a record waits for its counterparts behind its own time, or behind the
  // watermark at its arrival if that is later; the first watermark counts for what came before it.
  // What differs is only told then. So a record with a wrong event time still meets its
  // counterparts if it is too early by any time, or too late by three quarters of this.
  Duration patience = kPatienceDefault;
  // What waits in memory, before it is keyed state: at most so much, and an eighth of the
  // instance's memory. It does not change what is found.
  size_t buffer_bytes = limits::kBufferBytesMax;
  size_t keys_in_state = limits::kKeysInStateMax;  // as KeysInState has it
};

// Emits Batch<PartialResult>.
std::unique_ptr<Operator> MakeComparator(ComparatorOptions options);

// By what the stream of tapped records is keyed.
std::string_view MeetingOf(const TappedRecord& record);

}  // namespace weir::shadow
