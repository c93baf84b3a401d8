// What a shadow keeps at most: names and units, as in core/limits.h. All of it bounds one output.
#pragma once

#include <cstddef>
#include <cstdint>

namespace weir::shadow::limits {

// records
inline constexpr int kDepthMax = 256;  // of a record that is compared field by field
inline constexpr size_t kTextBytesMax =
    256 << 10;  // of a canonical text; of a longer one its hash is compared
inline constexpr size_t kTextBytesKept = 4 << 10;  // of a text that is longer
inline constexpr size_t kKeyBytesMax = 256;        // of a record's key; a longer one is cut

// rules
inline constexpr size_t kPathStatesMax = 100'000;  // of the automaton of one output's field paths
inline constexpr size_t kPathDepthMax = 64;        // steps of a path
inline constexpr size_t kKeyFieldsMax = 16;
inline constexpr size_t kKnownMax = 1000;  // known differences of a rules file
inline constexpr uint64_t kMinimumDefault = 1000;

// differences of one record
inline constexpr size_t kRecordFieldsMax = 64;  // fields that differ and are told apart
inline constexpr size_t kPathBytesMax = 200;
inline constexpr size_t kValueBytesMax = 200;     // of a value that is shown
inline constexpr size_t kListPairsMax = 1 << 16;  // elements of two unordered lists, multiplied,
                                                  // that are tried against each other
inline constexpr size_t kMatchWorkMax = 1 << 20;  // values that are tried so, for one record
inline constexpr size_t kKeyPairsMax = 32 * 32;   // likewise records of one key, in two versions

// waiting records
inline constexpr size_t kBufferBytesMax = 32ull << 20;   // of those in front of the state
inline constexpr size_t kKeysInStateMax = 250'000;      // that are known to be there
inline constexpr size_t kKeyRecordsMax = 1'000;         // of one key and version
inline constexpr size_t kKeyTextBytesMax = 1ull << 20;  // of all texts of one key

// statistics
inline constexpr size_t kFieldsMax = 512;      // that are told apart
inline constexpr size_t kBlocksMax = 128;      // of which the counts of a field are kept
inline constexpr size_t kFieldSamplesMax = 3;  // of a field
inline constexpr size_t kKindSamplesMax = 10;  // records of an output that are missing, extra, ...
inline constexpr size_t kSampleTextBytesMax = 4 << 10;

// records without a key
inline constexpr size_t kLeftoversMax = 10'000;            // texts
inline constexpr size_t kLeftoversBytesMax = 64ull << 20;  // of all of them
inline constexpr size_t kPairingLeavesMax = 128;           // fields of a record it is paired by
inline constexpr size_t kPairingNearestMax = 1'000;        // records that nothing else pairs
inline constexpr size_t kPairingGroupMax = 8;              // records that look alike

}  // namespace weir::shadow::limits
