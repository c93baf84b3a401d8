// WEIR_CHECK(condition): what would be a bug of ours, not of the world outside. Prints where and
// ends the process, in every build.
#pragma once

namespace weir {

[[noreturn]] void CheckFailed(const char* condition, const char* file, int line);

}  // namespace weir

#define WEIR_CHECK(condition)                              \
  do {                                                     \
    if (__builtin_expect(!(condition), 0)) {               \
      ::weir::CheckFailed(#condition, __FILE__, __LINE__); \
    }                                                      \
  } while (false)
