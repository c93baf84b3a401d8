// Limits of who may connect, and of the files that security stands on; beside those of
// core/limits.h, in the same namespace.
#pragma once

#include <cstddef>

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

}  // namespace weir::limits
