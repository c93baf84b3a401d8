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

// wire
inline constexpr size_t kFrameBytesMax = 512ull << 20;  // payload of one frame: a row of any size
inline constexpr size_t kHelloBytesMax = 4 << 10;       // of a frame from a peer not known yet
inline constexpr size_t kSecretBytesMax = 256;          // of what the executors of an attempt share
inline constexpr size_t kPeersMax = 4096;               // executors of one attempt
inline constexpr size_t kUnknownConnectionsMax = 64;    // that have not said who they are
inline constexpr size_t kSendQueueBytesMax = 1ull << 30;  // that wait in a connection to be sent
inline constexpr size_t kGatheredWriteBytes = 256 << 10;  // of frames that are written at once
inline constexpr size_t kGatheredWriteFrames = 32;
inline constexpr Duration kHeartbeatInterval = Seconds(1);  // a connection is never silent longer
inline constexpr Duration kHeartbeatTimeout = Seconds(10);  // a silent one is lost
inline constexpr Duration kConnectTimeout = Seconds(10);
inline constexpr Duration kAcceptRetryDelay = Milliseconds(100);  // after a failed accept
inline constexpr Duration kHelloTimeout = Seconds(10);            // until a peer has said who it is
inline constexpr Duration kMeshReadyMax = Seconds(30);            // until all peers are connected
inline constexpr Duration kExecutorStartMax = Seconds(30);  // until an executor's process connects
inline constexpr Duration kReconnectInterval = Milliseconds(200);  // between two tries
// How long executors go on without their coordinator, which may start again.
inline constexpr Duration kCoordinatorAwayMax = Minutes(10);
inline constexpr Duration kReattachMax = Seconds(20);  // until executors come back to a coordinator
inline constexpr Duration kExecutorReportMax = Seconds(2);  // until a worker tells how one ended
inline constexpr Duration kDescribeMax = Minutes(1);  // until a job's builder has come to an end
inline constexpr uint32_t kWorkerSlotsMax = 1024;
inline constexpr uint32_t kParallelismMax = 64;
inline constexpr Duration kLeaveMax = Seconds(30);  // until a worker that leaves has been relieved
inline constexpr Duration kSuperviseInterval = Milliseconds(20);  // between looks at processes
inline constexpr Duration kComplainInterval = Seconds(10);  // between two lines about one trouble
inline constexpr size_t kLogTailBytes = 4 << 10;            // of an executor that has ended
inline constexpr int kJobFailuresKept = 20;
inline constexpr Duration kExecutorCancelMax = Seconds(10);  // until a canceled one has ended
inline constexpr size_t kCreditReturnParts =
    4;  // credit is returned when this part of a channel's capacity has been taken

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
inline constexpr size_t kSinkBlockBytes = 1 << 20;  // bytes compressed as one frame or member
inline constexpr size_t kSinkBufferedBytesMax =
    64ull << 20;  // open blocks of one sink subtask, all routes together
inline constexpr size_t kSinkInFlightBlocksMax =
    16;  // blocks of one sink subtask on their way through the I/O pool
inline constexpr size_t kSinkPartitionsMax =
    200'000;  // folders that one sink subtask writes to between two checkpoints
inline constexpr size_t kSinkPartitionBytes =
    2 << 10;  // of its memory for each of them; less memory means fewer, but not below ...
inline constexpr size_t kSinkPartitionsMin = 10'000;
inline constexpr size_t kSinkSyncEachMax =
    64;  // files and folders that are synced one by one; of more, their whole file system is
inline constexpr size_t kSinkOpenPartsMax = 128;  // open files of one sink subtask
inline constexpr size_t kSinkPartsAcrossMax =
    10'000;  // parts that one sink subtask leaves open across a checkpoint
inline constexpr uint64_t kSinkPartBytesDefault = 1ull << 30;  // of parts that may stay open: they
inline constexpr Duration kSinkPartTimeDefault = Hours(1);     // end at this size or age
inline constexpr int kSinkTimeSegmentsMax = 4;                 // folders of a time-partitioned path
inline constexpr int kOutputManifestFilesMax = 64;  // files of changes before they are merged

// router
inline constexpr size_t kRulesFileBytesMax = 1 << 20;
inline constexpr size_t kRulesValuesMax = 100'000;     // values of a rules file, aliases unfolded
inline constexpr size_t kRulesErrorsMax = 100;         // errors of a rules file that are told
inline constexpr int kRulesDepthMax = 16;              // all, any and not inside each other
inline constexpr size_t kRulesPatternsMax = 256;       // regular expressions of a rules file
inline constexpr int kRulesPatternBytesMax = 1 << 20;  // memory of one of them, compiled
inline constexpr size_t kRoutePortsMax = 64;           // that a router's stage may declare
inline constexpr size_t kRulesIndexMin =
    4;  // rules that ask one field for a text before they are found by its value

// reloadable resources
inline constexpr size_t kReloadableBytesMax = 4 << 20;              // of one; checkpoints hold it
inline constexpr Duration kReloadPollInterval = Milliseconds(500);  // between two looks at a file

// report
inline constexpr size_t kReportTenantsMax = 1000;     // that are named; the rest is summed up
inline constexpr size_t kReportTenantBytesMax = 256;  // of a name; longer ones are not named

// HTTP
inline constexpr size_t kHttpConnectionsMax = 256;  // the one that is idle longest makes room
inline constexpr size_t kHttpHeaderBytesMax = 16 << 10;
inline constexpr size_t kHttpJsonBytesMax = 1 << 20;         // body of a request in JSON
inline constexpr size_t kBlobBytesMax = 512ull << 20;        // a library or a file that a job needs
inline constexpr Duration kLeaseMax = Hours(1);              // of a checkpoint, at a time
inline constexpr size_t kHttpBodiesBytes = 1ull << 30;       // of all requests that are under way
inline constexpr Duration kHttpIdleTimeout = Seconds(60);    // between two requests
inline constexpr Duration kHttpHeaderTimeout = Seconds(10);  // from the first byte of a request
inline constexpr Duration kHttpBodyTimeout = Seconds(30);    // and as long as the slowest needs:
inline constexpr size_t kHttpBytesPerSecondMin = 1 << 20;
inline constexpr Duration kHttpAnswerTimeout = Seconds(120);  // until the answer is known
inline constexpr Duration kHttpLingerTimeout = Seconds(2);    // for who sends on after a refusal
inline constexpr size_t kHttpLogLinesMax = 20;                // of refused requests
inline constexpr Duration kHttpLogPeriod = Seconds(10);       // in this time; others are counted
inline constexpr size_t kRestIdBytesMax = 128;                // of a job, an operation
inline constexpr Duration kMetricsEndedJobAge = Minutes(15);  // then /metrics forgets it
inline constexpr size_t kRestAnswerBytesMax = 64ull << 20;    // that the command takes
inline constexpr Duration kRestAnswerTimeout = Seconds(180);  // that it waits for one
inline constexpr Duration kRestPollInterval = Milliseconds(200);
inline constexpr Duration kRestRetryInterval = Seconds(1);  // while the coordinator is away

// async
inline constexpr size_t kAsyncConcurrencyMax = 1024;       // calls of one instance at a time
inline constexpr Duration kAsyncShutdownMax = Seconds(2);  // that calls under way are waited for

// rebatch by key, of one instance
inline constexpr size_t kRebatchOpenMax = 1024;           // batches that gather rows at a time
inline constexpr size_t kRebatchOpenBytes = 16ull << 20;  // of all of them

// plugins
inline constexpr size_t kPluginFileBytesMax = 256ull << 20;
inline constexpr size_t kPluginNameBytesMax =
    48;  // of its name and version, and of what it declares
inline constexpr size_t kPluginStatesMax = 16;
inline constexpr size_t kPluginOutputsMax = 16;   // beside the main one
inline constexpr size_t kPluginCountersMax = 32;  // of its own
inline constexpr size_t kPluginStateValueBytesMax = 64 << 10;
inline constexpr Duration kPluginBatchBudget =
    Seconds(5);  // that one call with a batch may take, by default
inline constexpr size_t kPluginRowEventsMax = 65'536;     // events that may come of one
inline constexpr size_t kPluginRowBytesMax = 256 << 20;   // of all lines that come of one
inline constexpr size_t kPluginFieldBytesMax = 64 << 10;  // of an id, tenant or type that it sets
inline constexpr size_t kPluginErrorBytesMax = 4 << 10;   // of a message; what is longer is cut
inline constexpr size_t kPluginOutputBytes = 8 << 20;     // new bytes before rows are sent on

// plugins in a process of their own
inline constexpr Duration kIsolatedTimeout = Seconds(1);    // for one event
inline constexpr size_t kIsolatedMemoryBytes = 1ull << 30;  // that a plugin's process may allocate
inline constexpr size_t kIsolatedMemoryBytesMin = 16ull << 20;
inline constexpr Duration kIsolatedStartMax = Seconds(30);  // to load it and to set it up
inline constexpr size_t kIsolatedRequestBytes = 8 << 20;  // of events that are handed over at once
inline constexpr size_t kIsolatedEventBytesMax = 512ull << 20;  // of one event
inline constexpr size_t kIsolatedSettingsBytesMax = 8 << 20;
inline constexpr size_t kIsolatedWritesMax =
    65'536;                                  // into states and counters that may come of one event
inline constexpr int kIsolatedTriesMax = 2;  // of an event at which the process ends by itself
inline constexpr int kIsolatedKillsMax = 5;  // likewise, where somebody else seems to end it
inline constexpr int kIsolatedFailuresInRowMax =
    16;  // events without a good one between them, before it is waited
inline constexpr Duration kIsolatedBackoffMin = Milliseconds(1);
inline constexpr Duration kIsolatedBackoffMax = Milliseconds(200);
inline constexpr size_t kIsolatedLogBytesPerSecond = 64 << 10;  // of its output that is shown

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
