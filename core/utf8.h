// What to do with bytes that should be UTF-8 and come from somewhere else.
#pragma once

#include <string>
#include <string_view>

namespace weir {

// Every byte that does not belong to a well-formed character becomes U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// Characters that change the direction of the text around them as \u202e, in UTF-8: by them a name
// could make the words beside it read as others.
std::string WithoutDirections(std::string_view text);

// These, control characters as \x1b, and what is no UTF-8 likewise: names of jobs and messages may
// be anybody's, and must not drive a terminal.
std::string Printable(std::string_view text);

}  // namespace weir
