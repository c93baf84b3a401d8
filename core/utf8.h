// What to do with bytes that should be UTF-8 and come from somewhere else.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// Every byte that does not belong to a well-formed character becomes U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// Control characters and what is no UTF-8 as \x1b: names of jobs and messages may be anybody's, and
// must not drive a terminal.
std::string Printable(std::string_view text);

}  // namespace weir
