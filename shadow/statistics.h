// OutputStatistics: what the comparison of one output has found so far.
//
// Plain values with a Codec, bounded by limits.h. Merge() is associative and commutative, so that
// partial statistics (of a subtask, a bucket, an attempt) may be put together in any order, and
// what is kept of fields and samples is a choice by hash that does not depend on it.
//
// Three versions ran: the baseline, the baseline again, and the candidate. A record of the baseline
// is compared with its counterpart in each of the others. Where the candidate is the baseline,
// those two are alike, so what differs *only* in the candidate and what differs *only* in the
// second baseline are equally many but for chance; noise.h tests that.
#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/codec.h"
#include "shadow/difference.h"

namespace weir::shadow {

// Records that differ from the baseline's in one of the two others alone, and in both.
struct PairedCounts {
  uint64_t only_candidate = 0;
  uint64_t only_again = 0;
  uint64_t both = 0;

  uint64_t candidate() const { return only_candidate + both; }
  uint64_t again() const { return only_again + both; }
  void Add(bool candidate, bool again, uint64_t count = 1);
  void Merge(const PairedCounts& other);
  bool operator==(const PairedCounts&) const = default;
  BOOST_DESCRIBE_CLASS(PairedCounts, (), (only_candidate, only_again, both), (), ())
};

// In which blocks of the input, stretches of it, an output has records, and how many. At most
// limits::kBlocksMax: where there are more, two neighbours become one.
struct InputBlocks {
  uint64_t shift = 0;                   // a block spans 2^shift of the caller's
  std::map<uint64_t, uint64_t> blocks;  // records

  void Add(uint64_t block, uint64_t records);
  void Merge(const InputBlocks& other);
  bool operator==(const InputBlocks&) const = default;
  BOOST_DESCRIBE_CLASS(InputBlocks, (), (shift, blocks), (), ())
};

// Paired counts, and how they are spread over blocks, as in InputBlocks. Noise comes in runs (a
// clock ticks, a process pauses), and then records are no independent witnesses, but blocks are.
struct PairedEvidence {
  struct Block {
    uint64_t candidate = 0;
    uint64_t again = 0;
    Block& operator+=(const Block& other);
    bool operator==(const Block&) const = default;
    BOOST_DESCRIBE_CLASS(Block, (), (candidate, again), (), ())
  };
  PairedCounts counts;
  uint64_t shift = 0;                // a block spans 2^shift of the caller's
  std::map<uint64_t, Block> blocks;  // of what only one of both has

  void Add(uint64_t block, bool candidate, bool again, uint64_t count = 1);
  // So many of each, as many as can be in both.
  void AddBoth(uint64_t block, uint64_t candidate, uint64_t again);
  void Merge(const PairedEvidence& other);
  bool operator==(const PairedEvidence&) const = default;
  BOOST_DESCRIBE_CLASS(PairedEvidence, (), (counts, shift, blocks), (), ())
};

// The differences of a block's counts, the candidate's minus the second baseline's, for all blocks
// of the input in their order, whether anything differs there or not.
std::vector<double> DifferencesByBlock(const PairedEvidence& evidence, const InputBlocks& input);

// One record in which a field of the candidate differs.
struct FieldSample {
  uint64_t rank = 0;  // the lowest are kept
  std::string key;    // of the record; empty if it has none
  std::string change;
  std::string baseline;  // the field's values, as JSON; empty: missing
  std::string candidate;
  bool only_candidate = false;       // the second baseline does not differ in it
  std::vector<uint64_t> companions;  // CompanionOf() the other fields that differ in this record
  bool operator==(const FieldSample&) const = default;
  BOOST_DESCRIBE_CLASS(FieldSample, (),
                       (rank, key, change, baseline, candidate, only_candidate, companions), (), ())
};
// A field's path, short.
uint64_t CompanionOf(std::string_view path);

struct FieldStatistics {
  PairedEvidence differs;
  PairedEvidence shape;  // of these, another type, null, or there on one side alone
  // Of records in which it differs anywhere: the candidate's value stands above (as
  // `only_candidate`) or below (as `only_again`) that of the second baseline.
  PairedEvidence order;
  uint64_t times = 0;     // of these, those with a time in all three
  uint64_t compared = 0;  // of these, all
  // Distances of times from the baseline's, by the power of two of their microseconds.
  std::map<uint64_t, PairedEvidence::Block> distances;
  std::vector<uint64_t> changes;  // of the candidate's records, by Change
  std::vector<FieldSample> samples;

  void AddSample(FieldSample sample);
  void Merge(const FieldStatistics& other);
  bool operator==(const FieldStatistics&) const = default;
  BOOST_DESCRIBE_CLASS(FieldStatistics, (),
                       (differs, shape, order, times, compared, distances, changes, samples), (),
                       ())
};

// A record of which the candidate's counterpart is missing, extra, or another.
struct RecordSample {
  uint64_t rank = 0;  // of each kind the lowest are kept
  std::string kind;   // "mismatched", "missing", "extra", "reordered"
  std::string key;
  std::string baseline;  // canonical, cut
  std::string candidate;
  std::vector<std::string> fields;  // that differ
  bool operator==(const RecordSample&) const = default;
  BOOST_DESCRIBE_CLASS(RecordSample, (), (rank, kind, key, baseline, candidate, fields), (), ())
};

// How the baseline's records compare with another version's.
struct Comparison {
  uint64_t matched = 0;
  uint64_t mismatched = 0;
  uint64_t known = 0;      // differ in expected fields alone
  uint64_t missing = 0;    // the other has no counterpart
  uint64_t extra = 0;      // the other has it and the baseline has not
  uint64_t reordered = 0;  // keys whose records come in another order, where that counts

  void Merge(const Comparison& other);
  bool operator==(const Comparison&) const = default;
  BOOST_DESCRIBE_CLASS(Comparison, (), (matched, mismatched, known, missing, extra, reordered), (),
                       ())
};

struct OutputStatistics {
  std::string output;
  uint64_t baseline_records = 0;
  uint64_t again_records = 0;
  uint64_t candidate_records = 0;
  uint64_t without_key = 0;  // of the baseline, though the rules name a key
  uint64_t unpaired = 0;     // beyond what is kept to be paired, or compared within a key
  // Keys of such records that both baselines have written alike and the candidate has not.
  uint64_t keys_changed = 0;
  InputBlocks input;       // where the baseline's compared records are
  Comparison candidate;    // the baseline against the candidate
  Comparison again;        // the baseline against itself: noise
  PairedEvidence records;  // differ in a field that is not known
  PairedEvidence missing;
  PairedEvidence extra;
  PairedEvidence reordered;
  std::map<std::string, FieldStatistics> fields;  // by path
  FieldStatistics other_fields;                   // of all beyond limits::kFieldsMax
  std::vector<RecordSample> samples;

  // The field's, or other_fields where there are too many. Valid until the next call.
  FieldStatistics& Field(std::string_view path);
  void AddSample(RecordSample sample);
  // So many records that all versions have alike.
  void AddEqual(uint64_t block, uint64_t records);
  // REQUIRES: of the same output.
  void Merge(const OutputStatistics& other);
  bool operator==(const OutputStatistics&) const = default;
  BOOST_DESCRIBE_CLASS(OutputStatistics, (),
                       (output, baseline_records, again_records, candidate_records, without_key,
                        unpaired, keys_changed, input, candidate, again, records, missing, extra,
                        reordered, fields, other_fields, samples),
                       (), ())

 private:
  void Bound();
};

}  // namespace weir::shadow
