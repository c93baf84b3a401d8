// PluginLibrary: a plugin (operators/plugin.h) loaded into this process, and instances of it.
//
// Loaded is exactly what was hashed: the bytes that the job carries are put into a file in memory
// that has no name, and that is loaded, never the file they were read from, which may have changed
// since. A library is never unloaded: code, exceptions and rows may live as long as the process.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "core/status.h"
#include "operators/plugin_table.h"
#include "operators/transforms/plugin_declaration.h"
#include "operators/transforms/plugin_file.h"

namespace weir {

// Owns an instance; called from one thread at a time. Keeps nothing else alive.
class PluginInstance {
 public:
  PluginInstance() = default;
  PluginInstance(const WeirPluginTable* table, void* instance, PluginDeclaration declaration)
      : table_(table), instance_(instance), declaration_(std::move(declaration)) {}
  PluginInstance(PluginInstance&& other) noexcept;
  PluginInstance& operator=(PluginInstance&& other) noexcept;
  ~PluginInstance();

  // As WeirPluginTable::process. REQUIRES: not empty.
  int32_t Process(WeirPluginCall* call) { return table_->process(instance_, call); }
  // What it declared while it was created.
  const PluginDeclaration& declaration() const { return declaration_; }

 private:
  const WeirPluginTable* table_ = nullptr;
  void* instance_ = nullptr;
  PluginDeclaration declaration_;
};

// Immutable; any thread may use it.
class PluginLibrary {
 public:
  // `path` is where the bytes were read, for messages; `name` the plugin that was asked for.
  // FailedPrecondition: the bytes are no plugin, one for another version of Weir, or one of another
  // name.
  static StatusOr<std::shared_ptr<const PluginLibrary>> Load(std::string_view name,
                                                             const std::string& path,
                                                             std::string_view bytes);

  const PluginIdentity& identity() const { return identity_; }
  const std::string& label() const { return label_; }  // the identity's

  // InvalidArgument has all that is wrong with the settings, as the plugin says, and with what it
  // declares, a line each.
  StatusOr<PluginInstance> Create(const PluginSettings& settings) const;

 private:
  explicit PluginLibrary(const WeirPluginTable* table);

  const WeirPluginTable* const table_;
  const PluginIdentity identity_;
  const std::string label_;
};

}  // namespace weir
