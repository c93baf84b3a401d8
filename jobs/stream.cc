#include "jobs/stream.h"

#include <fmt/format.h>

namespace weir {

std::string ToText(const RouterRules& rules) {
  return fmt::format("match={} rules={} labels={}", rules.match_all() ? "all" : "first",
                     rules.rules(), fmt::join(rules.labels(), ","));
}

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

}  // namespace internal

}  // namespace weir
