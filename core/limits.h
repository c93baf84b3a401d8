// Everything in Weir has a limit; here are their names, units and defaults. What a job may set
// itself is an option of its stage that defaults to a value from here.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/time.h"

namespace weir::limits {

// core
inline constexpr size_t kBatchRowsDefault = 1024;  // rows a source puts into one batch
inline constexpr size_t kSlabPaddingBytes =
    64;  // readable bytes behind every slab, for SIMD parsers
inline constexpr size_t kReadChunkBytes = 256 << 10;  // bytes a source reads at once
inline constexpr size_t kLineBytesMax = 128 << 20;    // a longer line is a dead letter
inline constexpr size_t kDeadLetterRecordBytesMax =
    64 << 10;  // of such a line the dead letter keeps this much
inline constexpr int kJsonDepthMax = 16'384;

// event time
inline constexpr Duration kClockSkewMax = Hours(24);  // a time further ahead of arrival is unusable

// sources
inline constexpr uint64_t kSplitRangeBytes = 64ull
                                             << 20;  // plain files are cut into ranges of this size
inline constexpr size_t kOpenSplitsMax = 128;        // open handles of one source subtask
inline constexpr size_t kWatchStepFiles =
    1000;  // files of a watched folder that are compared between two batches

// memory
inline constexpr size_t kMemoryBytesDefault = 2ull << 30;    // the budget of an executor
inline constexpr size_t kProcessBytes = 16ull << 20;         // code, threads, tables of RocksDB
inline constexpr size_t kSinkMemoryBytesMin = 4ull << 20;    // of one sink instance
inline constexpr size_t kStateMemoryBytesMin = 16ull << 20;  // of one instance that holds state
inline constexpr size_t kInstanceBytesDefault =
    256ull << 20;  // of an instance that was given no share of a budget

// exchange
inline constexpr size_t kExchangeBudgetBytes = 64ull << 20;  // all channels of an executor together
inline constexpr size_t kChannelBytesMin = 256 << 10;        // a channel's share is never less
inline constexpr Duration kCoalesceDelay =
    Milliseconds(1);  // rows wait at most this long for company
inline constexpr Duration kWatermarkHoldMax =
    Seconds(1);  // a sender that is too far ahead waits while anything comes from others

// tasks
inline constexpr Duration kStepMax = Milliseconds(1);
inline constexpr size_t kNamedCountersMax = 256;                  // of an operator instance
inline constexpr Duration kProgressInterval = Milliseconds(100);  // between two progress reports

// state
inline constexpr size_t kFrozenBytesMax =
    256ull << 20;  // dirty ids or keys of a task before it writes without a barrier
inline constexpr size_t kStateKeyBytesMax = 64 << 10;    // of a key, and of a map state's sub-key
inline constexpr size_t kStateValueBytesMax = 64 << 20;  // of one value or entry
inline constexpr size_t kIdsKeptBytes =
    64ull << 20;  // ids of a dedup subtask that stay in memory after they were written
inline constexpr size_t kTimersAheadPerGroup =
    16;  // timers of a kind that an instance holds in memory of each key group, the next to fire
inline constexpr size_t kTimersAheadMax = 64 << 10;  // of all key groups of an instance
inline constexpr int kRocksOpenFilesMax = 256;       // that one RocksDB keeps open
inline constexpr size_t kBlockCacheBytes =
    32ull << 20;  // of all RocksDBs of a process, until a budget is set

// file sink
inline constexpr size_t kSinkBlockBytes = 1 << 20;  // bytes compressed as one zstd frame
inline constexpr size_t kSinkBufferedBytesMax =
    64ull << 20;  // open blocks of one sink subtask, all routes together
inline constexpr size_t kSinkInFlightBlocksMax =
    16;  // blocks of one sink subtask on their way through the I/O pool
inline constexpr size_t kSinkPartitionsMax =
    10'000;  // routes that one sink subtask writes between two checkpoints
inline constexpr size_t kSinkOpenPartsMax = 128;  // open files of one sink subtask

// router
inline constexpr size_t kRulesFileBytesMax = 1 << 20;
inline constexpr size_t kRulesValuesMax = 100'000;  // values of a rules file, aliases unfolded
inline constexpr size_t kRulesErrorsMax = 100;      // errors of a rules file that are told

// plugins
inline constexpr size_t kPluginFileBytesMax = 256ull << 20;
inline constexpr size_t kPluginNameBytesMax = 48;         // of a name, and of a version
inline constexpr size_t kPluginRowEventsMax = 65'536;     // events that may come of one
inline constexpr size_t kPluginRowBytesMax = 256 << 20;   // of all lines that come of one
inline constexpr size_t kPluginFieldBytesMax = 64 << 10;  // of an id, tenant or type that it sets
inline constexpr size_t kPluginErrorBytesMax = 4 << 10;   // of a message; what is longer is cut
inline constexpr size_t kPluginOutputBytes = 8 << 20;     // new bytes before rows are sent on

// checkpoints
inline constexpr int kCheckpointsKept = 3;
inline constexpr Duration kCheckpointIntervalDefault = Seconds(10);

// failures
inline constexpr int kRestartsMax = 10;  // attempts without a completed checkpoint between them
inline constexpr int kCrashesMax =
    3;  // of the process, without a completed checkpoint between them
inline constexpr Duration kRestartDelayMin = Milliseconds(100);
inline constexpr Duration kRestartDelayMax = Seconds(30);

}  // namespace weir::limits
