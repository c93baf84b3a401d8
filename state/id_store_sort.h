// Sorts fingerprints: hashes, so they are spread evenly over their range and a radix sort needs one
// or two passes. Any other input is sorted too, more slowly.
#pragma once

#include <vector>

#include "core/hash.h"

namespace weir {

// Ascending by (high, low). `scratch` is clobbered and grown as needed.
void SortFingerprints(std::vector<Fingerprint>& ids, std::vector<Fingerprint>& scratch);

}  // namespace weir
