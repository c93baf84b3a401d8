// A matching: which of two lists' elements meet, each at most one of the other list.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace weir::shadow {

inline constexpr size_t kUnmatched = SIZE_MAX;

// Makes of a matching (by left element; kUnmatched: it meets none) one of as many pairs as there
// can be. Who has met someone still has, maybe another one. `may_meet(left, right)` is asked as
// rarely as can be, and once at most of each two.
void MatchMost(std::vector<size_t>& partners, size_t right_size,
               const std::function<bool(size_t left, size_t right)>& may_meet);

}  // namespace weir::shadow
