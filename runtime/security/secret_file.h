// Files that security stands on: keys, tokens, certificates. Read whole, bounded, and refused where
// others may read a secret.
#pragma once

#include <cstddef>
#include <string>

#include "core/status.h"

namespace weir {

// The content of a file that is no secret. InvalidArgument where it is larger than bytes_max; else
// as ErrnoStatus(), with the path and the reason.
StatusOr<std::string> ReadPublicFile(const std::string& path, size_t bytes_max);

// The same of a secret. FailedPrecondition where users may read or write it who are neither its
// owner nor in its group: it says which command mends that.
StatusOr<std::string> ReadSecretFile(const std::string& path, size_t bytes_max);

}  // namespace weir
