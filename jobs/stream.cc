#include "jobs/stream.h"

#include <fmt/format.h>

namespace weir {

std::string ToText(const RouterRules& rules) {
  return fmt::format("match={} rules={} labels={}", rules.match_all() ? "all" : "first",
                     rules.rules(), fmt::join(rules.labels(), ","));
}

namespace internal {

StatusOr<PluginStage> MakePluginStage(std::string_view name, const PluginResource& plugin,
                                      const EventFields& fields, const PluginOptions& options) {
  if (options.budget <= 0) {
    return absl::InvalidArgumentError("the budget of a plugin must be positive");
  }
  WEIR_ASSIGN_OR_RETURN(std::shared_ptr<const PluginLibrary> library,
                        PluginLibrary::Load(plugin.name, plugin.file.path, plugin.file.bytes));
  // An instance for nothing but its opinion of the settings, before anything is written.
  WEIR_ASSIGN_OR_RETURN(const PluginInstance instance, library->Create(plugin.settings));
  const PluginDeclaration& declaration = instance.declaration();
  for (const std::string& output : declaration.outputs) {
    if (fmt::format("{}-{}", plugin.name, output) != "dead-letters") continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: its output '{}' would have the route of "
                    "the dead letters: name it otherwise",
                    library->label(), output));
  }
  JsonWriter settings;
  settings.StartObject();
  for (const auto& [key, value] : plugin.settings) {
    settings.Key(key);
    settings.String(value);
  }
  settings.EndObject();
  PluginStage stage;
  stage.spec.name = std::string(name);
  stage.spec.kind = "plugin";
  stage.spec.component =
      fmt::format("{} {}", library->identity().name, library->identity().version);
  stage.spec.keyed_state = !declaration.states.empty();
  stage.spec.outputs = declaration.outputs;
  const std::string declared = ToText(declaration);
  stage.spec.options = fmt::format(
      "name={} version={} sha256={} fields=[{}|{}|{}|{}|{}] budget={} settings={}{}{}",
      library->identity().name, library->identity().version, plugin.file.sha256,
      fmt::join(fields.id, ","), fields.time, fields.type, fields.tenant, fields.priority,
      FormatDuration(options.budget), settings.text(), declared.empty() ? "" : " ", declared);
  stage.make = [library, settings = plugin.settings, declaration, fields, options] {
    return std::make_unique<PluginOperator>(library, settings, declaration, fields, options);
  };
  if (stage.spec.keyed_state) {
    stage.hash_keys = [declaration](BatchBase& batch) {
      FillKeyHashes<Event>(
          batch, [&](const Event& event) { return MakeStateKey(declaration.KeyOf(event)).hash; });
    };
  }
  return stage;
}

}  // namespace internal

}  // namespace weir
