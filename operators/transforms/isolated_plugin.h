// IsolatedPlugin: a plugin that is never loaded into this process. What there is to know of it (its
// version, whether it takes its settings, what it declares) comes from a process of its own, which
// may crash or hang over that.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "operators/transforms/plugin_declaration.h"
#include "operators/transforms/plugin_keeper.h"

namespace weir {

// Immutable; any thread may use it.
class IsolatedPlugin {
 public:
  // As PluginLibrary::Load and PluginLibrary::Create: the same errors, and those of a plugin that
  // ends its process or takes longer than limits::kIsolatedStartMax.
  static StatusOr<std::shared_ptr<const IsolatedPlugin>> Load(std::string_view name,
                                                              const std::string& path,
                                                              std::string_view bytes,
                                                              PluginSettings settings,
                                                              const PluginOptions& options);
  ~IsolatedPlugin();
  IsolatedPlugin(const IsolatedPlugin&) = delete;
  IsolatedPlugin& operator=(const IsolatedPlugin&) = delete;

  const PluginIdentity& identity() const { return identity_; }
  const std::string& label() const { return label_; }  // the identity's
  const PluginDeclaration& declaration() const { return declaration_; }
  const PluginOptions& options() const { return options_; }

  // Blocks, as StartHost() does: for a thread that may wait.
  StatusOr<std::unique_ptr<PluginKeeper>> StartKeeper() const;
  // Starts a host and waits until the plugin is set up in it, as it was when it was loaded; or
  // until `stop` is true.
  Status StartHost(PluginKeeper& keeper, const std::atomic<bool>* stop) const;

 private:
  IsolatedPlugin() = default;
  StatusOr<std::unique_ptr<PluginKeeper>> MakeKeeper() const;
  // What a new host says of the plugin. The host is there still, or has ended well.
  Status Ask(PluginKeeper& keeper, bool check_only, const std::atomic<bool>* stop,
             PluginIdentity& identity, PluginDeclaration& declaration, uint32_t& threads) const;

  std::string name_, path_;  // that were asked for
  PluginSettings settings_;
  PluginOptions options_;
  int fd_ = -1;  // the library
  PluginIdentity identity_;
  std::string label_;
  PluginDeclaration declaration_;
  bool starts_threads_ = false;  // when it is loaded: a copy of that process would lack them
};

}  // namespace weir
