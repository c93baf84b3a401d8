#include "operators/operator.h"

namespace weir {

uint64_t& OperatorCounters::Named(std::string_view name) {
  if (const auto at = named_.find(name); at != named_.end()) return at->second;
  // One place is kept for what finds none of its own.
  if (named_.size() + 1 >= limits::kNamedCountersMax) name = "others";
  return named_[std::string(name)];
}

}  // namespace weir
