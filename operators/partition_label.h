// What a partition of a file sink may be called. Labels come from rules and from data, and become
// names of folders: nothing that passes this check can leave the folder it is put in, hide in it,
// or meet the sink's own folders.
#pragma once

#include <cstddef>
#include <string_view>

namespace weir {

inline constexpr size_t kPartitionLabelCharsMax = 100;
// The rule, for messages.
inline constexpr std::string_view kPartitionLabelRule =
    "1 to 100 characters out of A-Z, a-z, 0-9, '_', '-' and '.', not beginning with '.'";

bool IsPartitionLabel(std::string_view label);

}  // namespace weir
