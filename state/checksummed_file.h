// Small files that are read whole, with a checksum around their content. Internal to state/.
#pragma once

#include <string>
#include <string_view>

#include "core/status.h"

namespace weir {

std::string WrapWithChecksum(std::string_view content);
// DataLoss names `where` and what is wrong.
StatusOr<std::string> UnwrapChecked(std::string_view bytes, std::string_view where);

}  // namespace weir
