#include "jobs/stream.h"

#include <fmt/format.h>

#include <set>

#include "operators/partition_label.h"

namespace weir {

namespace internal {

StatusOr<PluginStage> MakePluginStage(const PluginResource& plugin, const EventFields& fields) {
  WEIR_ASSIGN_OR_RETURN(std::shared_ptr<const PluginLibrary> library,
                        PluginLibrary::Load(plugin.name, plugin.file.path, plugin.file.bytes));
  // An instance for nothing but its opinion of the settings, before anything is written.
  WEIR_RETURN_IF_ERROR(library->Create(plugin.settings).status());
  JsonWriter settings;
  settings.StartObject();
  for (const auto& [key, value] : plugin.settings) {
    settings.Key(key);
    settings.String(value);
  }
  settings.EndObject();
  PluginStage stage;
  stage.options = fmt::format("name={} version={} sha256={} fields=[{}|{}|{}|{}|{}] settings={}",
                              library->name(), library->version(), plugin.file.sha256,
                              fmt::join(fields.id, ","), fields.time, fields.type, fields.tenant,
                              fields.priority, settings.text());
  stage.make = [library, settings = plugin.settings, fields] {
    return std::make_unique<PluginOperator>(library, settings, fields);
  };
  return stage;
}

Status CheckPorts(const std::vector<std::string>& ports) {
  if (ports.size() > limits::kRoutePortsMax) {
    return absl::InvalidArgumentError(fmt::format("there are {} ports; a router has at most {}",
                                                  ports.size(), limits::kRoutePortsMax));
  }
  std::set<std::string> seen;
  for (const std::string& port : ports) {
    if (!IsPartitionLabel(port)) {
      return absl::InvalidArgumentError(
          fmt::format("'{}' cannot be the name of a port: {}", port, kPartitionLabelRule));
    }
    if (!seen.insert(port).second) {
      return absl::InvalidArgumentError(fmt::format("the port '{}' is declared twice", port));
    }
  }
  return absl::OkStatus();
}

RouteSource RulesOf(const Resource& file, const std::vector<std::string>& ports) {
  if (!file.given()) return {RouteEverythingTo(kDefaultRoute), std::nullopt};
  auto compile = [path = file.path,
                  ports](std::string_view bytes) -> StatusOr<std::shared_ptr<const RouterRules>> {
    return ParseRouterRules(bytes, path, {.names = ports});
  };
  RouteSource source{compile(file.bytes), std::nullopt};
  source.reloadable = Reloadable{
      .resource = file.name,
      .path = file.path,
      .bytes = file.bytes,
      .compile = [compile](std::string_view bytes) -> StatusOr<std::shared_ptr<const void>> {
        return compile(bytes);
      }};
  return source;
}

}  // namespace internal

}  // namespace weir
