#include "operators/partition_label.h"

#include <algorithm>

namespace weir {

bool IsPartitionLabel(std::string_view label) {
  if (label.empty() || label.size() > kPartitionLabelCharsMax || label.front() == '.') return false;
  return std::all_of(label.begin(), label.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

}  // namespace weir
