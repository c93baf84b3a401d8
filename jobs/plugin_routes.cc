#include "jobs/plugin_routes.h"

#include <fmt/format.h>

namespace weir {

Status PluginRoutes::Add(std::string_view plugin, std::string_view output) {
  const Origin origin{std::string(plugin), std::string(output)};
  const auto [at, added] = origins_.try_emplace(fmt::format("{}-{}", plugin, output), origin);
  // A plugin may be in several stages.
  if (added || at->second == origin) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "output '{}' of plugin '{}' has the route '{}', and so has output '{}' of plugin '{}': give "
      "one of the plugins, or of their outputs, another name",
      output, plugin, at->first, at->second.output, at->second.plugin));
}

Status PluginRoutes::CheckRule(std::string_view route) const {
  const auto at = origins_.find(route);
  if (at == origins_.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format(
      "a rule sends events to '{}', which is the route of output '{}' of plugin '{}': name another "
      "route in the rule, or give the output another name",
      route, at->second.output, at->second.plugin));
}

}  // namespace weir
