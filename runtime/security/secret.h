// Secrets that are compared: of attempts, and tokens.
#pragma once

#include <string_view>

namespace weir {

// Whether they are the same bytes. How long it takes tells nothing but whether the lengths are.
bool SameSecret(std::string_view a, std::string_view b);

}  // namespace weir
