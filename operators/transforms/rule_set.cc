#include "operators/transforms/rule_set.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/limits.h"
#include "operators/partition_label.h"

namespace weir::internal {

StatusOr<ResolvedPlan> Resolve(const RulePlan& plan, const std::vector<std::string>& ports) {
  ResolvedPlan resolved;
  resolved.match_all = plan.match_all;
  auto index_of = [&](const RouteTo& to) -> StatusOr<uint16_t> {
    Route route{to.label.empty() ? to.port : to.label, 0};
    if (!IsPartitionLabel(route.label)) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' cannot be a label of a route, which names a folder: {}",
                      route.label.substr(0, kPartitionLabelCharsMax), kPartitionLabelRule));
    }
    if (!to.port.empty()) {
      const auto port = std::find(ports.begin(), ports.end(), to.port);
      if (port == ports.end()) {
        return absl::InvalidArgumentError(fmt::format(
            "a rule sends events to the port '{}', which Route() does not declare", to.port));
      }
      route.port = static_cast<int>(port - ports.begin()) + 1;
    }
    auto found = std::find(resolved.routes.begin(), resolved.routes.end(), route);
    if (found == resolved.routes.end()) found = resolved.routes.insert(found, std::move(route));
    return static_cast<uint16_t>(found - resolved.routes.begin());
  };
  for (const RouteTo& to : plan.to) {
    WEIR_ASSIGN_OR_RETURN(const uint16_t route, index_of(to));
    resolved.of_rule.push_back(route);
  }
  if (plan.fallback) {
    WEIR_ASSIGN_OR_RETURN(resolved.fallback, index_of(*plan.fallback));
  }
  return resolved;
}

}  // namespace weir::internal
