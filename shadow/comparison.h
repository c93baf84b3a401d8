// RecordComparer: the records of one key, in all three versions, to statistics.
//
// One per operator, one thread. Records are canonical texts (record.h). Within a key they are
// multisets: equal ones meet, then those that are equal under the rules, then those that differ
// least.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "shadow/difference.h"
#include "shadow/rules.h"
#include "shadow/statistics.h"

namespace weir::shadow {

// All records of one key in one bucket. In the order they came where the rules ask for it.
struct KeyedRecords {
  std::string_view key;  // for samples; empty for records without one
  // Where in the input they stand: a number that grows with arrival. The finer the better: it is
  // what tells noise that comes in runs from a change (statistics.h).
  uint64_t block = 0;
  std::vector<std::string_view> baseline;
  std::vector<std::string_view> again;
  std::vector<std::string_view> candidate;
};

class RecordComparer {
 public:
  // The rules must outlive it.
  explicit RecordComparer(const OutputRules& rules);
  void Compare(const KeyedRecords& records, OutputStatistics& statistics);

 private:
  // Which of the others' records is the counterpart of each of the baseline's.
  struct Pairing {
    std::vector<size_t> partner;  // by the baseline's record; kUnmatched: missing
    std::vector<size_t> extra;    // of the others, without counterpart
    std::vector<std::vector<FieldDifference>> differences;  // beside partner
    bool reordered = false;
  };
  Pairing Pair(const std::vector<std::string_view>& baseline,
               const std::vector<std::string_view>& others);
  void PairRest(const std::vector<std::string_view>& baseline,
                const std::vector<std::string_view>& others, std::vector<size_t>& left,
                std::vector<size_t>& right, Pairing& pairing);
  void Count(const Pairing& pairing, Comparison& comparison) const;
  void CountFields(const KeyedRecords& records, size_t record, const Pairing& candidate,
                   const Pairing& again, OutputStatistics& statistics);
  void CountField(const KeyedRecords& records, std::string_view text,
                  const std::vector<FieldDifference>& all, const FieldDifference* candidate,
                  const FieldDifference* again, FieldStatistics& field);
  void CountExtra(const KeyedRecords& records, const Pairing& candidate, const Pairing& again,
                  OutputStatistics& statistics);

  const OutputRules& rules_;
  RecordDiffer differ_;
};

}  // namespace weir::shadow
