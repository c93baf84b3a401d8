#include "shadow/matching.h"

#include <deque>
#include <optional>
#include <utility>

namespace weir::shadow {

// One augmenting path after the other, each the shortest one (breadth first).
void MatchMost(std::vector<size_t>& partners, size_t right_size,
               const std::function<bool(size_t left, size_t right)>& may_meet) {
  std::vector<size_t> of_right(right_size, kUnmatched);
  for (size_t left = 0; left < partners.size(); ++left) {
    if (partners[left] != kUnmatched) of_right[partners[left]] = left;
  }
  std::vector<std::optional<bool>> answers(partners.size() * right_size);
  const auto asked = [&](size_t left, size_t right) {
    std::optional<bool>& answer = answers[left * right_size + right];
    if (!answer) answer = may_meet(left, right);
    return *answer;
  };
  for (size_t start = 0; start < partners.size(); ++start) {
    if (partners[start] != kUnmatched) continue;
    std::vector<size_t> reached_from(right_size, kUnmatched);  // right elements: from which left
    std::deque<size_t> open = {start};
    size_t free = kUnmatched;
    while (!open.empty() && free == kUnmatched) {
      const size_t left = open.front();
      open.pop_front();
      for (size_t right = 0; right < right_size && free == kUnmatched; ++right) {
        if (reached_from[right] != kUnmatched || !asked(left, right)) continue;
        reached_from[right] = left;
        if (of_right[right] == kUnmatched) {
          free = right;
        } else {
          open.push_back(of_right[right]);
        }
      }
    }
    // Everyone on the way moves on by one.
    while (free != kUnmatched) {
      const size_t left = reached_from[free];
      of_right[free] = left;
      free = std::exchange(partners[left], free);  // what `start` had before is none
    }
  }
}

}  // namespace weir::shadow
