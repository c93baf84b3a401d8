#include "jobs/stream.h"

#include <fmt/format.h>

namespace weir {

std::string ToText(const RouterRules& rules) {
  return fmt::format("match={} rules={} labels={}", rules.match_all() ? "all" : "first",
                     rules.rules(), fmt::join(rules.labels(), ","));
}

}  // namespace weir
