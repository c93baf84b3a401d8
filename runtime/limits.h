// Limits of who may connect, of the files that security stands on, of logs, and of what executors
// may hold; beside those of core/limits.h, in the same namespace.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/limits.h"

namespace weir::limits {

// who may connect
inline constexpr size_t kRefusalLinesMax = 20;           // of refused connections that are logged
inline constexpr Duration kRefusalPeriod = Seconds(10);  // in this time; the others are counted

// security
inline constexpr size_t kTlsFileBytesMax = 1 << 20;  // of a certificate, a key, or certificates
inline constexpr size_t kTokenFileBytesMax = 1 << 20;
inline constexpr size_t kTokensMax = 1000;    // of a token file
inline constexpr size_t kTokenBytesMin = 16;  // shorter ones can be guessed
inline constexpr size_t kTokenBytesMax = 256;
inline constexpr size_t kTokenNameBytesMax = 64;
inline constexpr Duration kTokenFilePollInterval = Seconds(1);  // between two looks at the file

// logs
inline constexpr size_t kLogLinesMax = 20;           // of one kind
inline constexpr Duration kLogPeriod = Seconds(10);  // in this time; others are counted
inline constexpr size_t kLogFloodsMax = 1024;        // kinds that are told apart
inline constexpr size_t kNoticeLinesMax = 100;       // of an operator, in kLogPeriod
inline constexpr uint64_t kExecutorLogBytesMax =
    8 << 20;  // of a file of what an executor writes to its standard error
inline constexpr int kExecutorLogFilesMax = 3;  // such files of an executor

// an operator that holds its slot
inline constexpr Duration kStallMax = Milliseconds(100);  // of one call, untold
inline constexpr Duration kStallLookInterval = Milliseconds(20);

// memory of executors
inline constexpr size_t kExecutorMemoryBytesMin =
    8 * kProcessBytes;  // with less no job runs (worker/memory_plan.h)
inline constexpr Duration kMemoryLookInterval = Milliseconds(100);  // between looks at it
inline constexpr uint64_t kExecutorMemorySlackBytes =
    256ull << 20;  // that an executor may hold beyond twice its share of --memory
inline constexpr int kExecutorOomScore = 300;  // above its worker's: it goes first

}  // namespace weir::limits
