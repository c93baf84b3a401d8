#include "jobs/stream.h"

#include <fmt/format.h>

#include <set>

#include "operators/partition_label.h"
#include "operators/transforms/isolated_plugin_operator.h"

namespace weir {

namespace internal {

namespace {

// What a stage needs to know of a plugin, and how its instances are made.
struct KnownPlugin {
  PluginIdentity identity;
  PluginDeclaration declaration;
  std::function<std::unique_ptr<Operator>()> make;
};

StatusOr<KnownPlugin> LoadIsolated(const PluginResource& plugin, const EventFields& fields,
                                   const PluginOptions& options) {
  if (options.timeout <= 0) {
    return absl::InvalidArgumentError("the timeout of an isolated plugin must be positive");
  }
  if (options.memory < limits::kIsolatedMemoryBytesMin) {
    return absl::InvalidArgumentError(
        fmt::format("an isolated plugin needs {} of memory at least, and is given {}",
                    FormatSize(limits::kIsolatedMemoryBytesMin), FormatSize(options.memory)));
  }
  WEIR_ASSIGN_OR_RETURN(std::shared_ptr<const IsolatedPlugin> isolated,
                        IsolatedPlugin::Load(plugin.name, plugin.file.path, plugin.file.bytes,
                                             plugin.settings, options));
  return KnownPlugin{isolated->identity(), isolated->declaration(), [isolated, fields] {
                       return std::make_unique<IsolatedPluginOperator>(isolated, fields);
                     }};
}

StatusOr<KnownPlugin> LoadHere(const PluginResource& plugin, const EventFields& fields,
                               const PluginOptions& options) {
  WEIR_ASSIGN_OR_RETURN(std::shared_ptr<const PluginLibrary> library,
                        PluginLibrary::Load(plugin.name, plugin.file.path, plugin.file.bytes));
  // An instance for nothing but its opinion of the settings, before anything is written.
  WEIR_ASSIGN_OR_RETURN(const PluginInstance instance, library->Create(plugin.settings));
  const PluginDeclaration& declaration = instance.declaration();
  return KnownPlugin{library->identity(), declaration,
                     [library, settings = plugin.settings, declaration, fields, options] {
                       return std::make_unique<PluginOperator>(library, settings, declaration,
                                                               fields, options);
                     }};
}

}  // namespace

StatusOr<PluginStage> MakePluginStage(std::string_view name, const PluginResource& plugin,
                                      const EventFields& fields, const PluginOptions& options) {
  if (options.budget <= 0) {
    return absl::InvalidArgumentError("the budget of a plugin must be positive");
  }
  WEIR_ASSIGN_OR_RETURN(KnownPlugin known, options.isolate ? LoadIsolated(plugin, fields, options)
                                                           : LoadHere(plugin, fields, options));
  const PluginDeclaration& declaration = known.declaration;
  for (const std::string& output : declaration.outputs) {
    if (fmt::format("{}-{}", plugin.name, output) != "dead-letters") continue;
    return absl::InvalidArgumentError(
        fmt::format("{}: its output '{}' would have the route of "
                    "the dead letters: name it otherwise",
                    known.identity.label(), output));
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
  stage.spec.component = fmt::format("{} {}{}", known.identity.name, known.identity.version,
                                     options.isolate ? ", isolated" : "");
  stage.spec.keyed_state = !declaration.states.empty();
  stage.spec.outputs = declaration.outputs;
  const std::string declared = ToText(declaration);
  stage.spec.options = fmt::format(
      "name={} version={} sha256={} fields=[{}|{}|{}|{}|{}] budget={}{} settings={}{}{}",
      known.identity.name, known.identity.version, plugin.file.sha256, fmt::join(fields.id, ","),
      fields.time, fields.type, fields.tenant, fields.priority, FormatDuration(options.budget),
      options.isolate ? fmt::format(" isolated timeout={} memory={}",
                                    FormatDuration(options.timeout), FormatSize(options.memory))
                      : "",
      settings.text(), declared.empty() ? "" : " ", declared);
  stage.make = std::move(known.make);
  if (stage.spec.keyed_state) {
    stage.spec.key = declaration.DescribeKey();
    stage.hash_keys = [declaration](BatchBase& batch) {
      FillKeyHashes<Event>(
          batch, [&](const Event& event) { return MakeStateKey(declaration.KeyOf(event)).hash; });
    };
  }
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

RouteSource RulesOf(const Resource& file, const std::vector<std::string>& ports,
                    std::shared_ptr<const PluginRoutes> taken) {
  if (!file.given()) return {RouteEverythingTo(kDefaultRoute), std::nullopt};
  auto compile = [path = file.path,
                  ports](std::string_view bytes) -> StatusOr<std::shared_ptr<const RouterRules>> {
    return ParseRouterRules(bytes, path, {.names = ports});
  };
  RouteSource source{compile(file.bytes), std::nullopt};
  source.reloadable =
      Reloadable{.resource = file.name,
                 .path = file.path,
                 .bytes = file.bytes,
                 .compile = [compile, taken = std::move(taken), path = file.path](
                                std::string_view bytes) -> StatusOr<std::shared_ptr<const void>> {
                   WEIR_ASSIGN_OR_RETURN(std::shared_ptr<const RouterRules> rules, compile(bytes));
                   for (const Route& route : rules->routes()) {
                     WEIR_RETURN_IF_ERROR(Annotate(taken->CheckRule(route.label), path));
                   }
                   return rules;
                 }};
  return source;
}

}  // namespace internal

}  // namespace weir
